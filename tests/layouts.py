"""Small corpora in the layouts of the real ones, litter included."""

import csv
import os
from pathlib import Path

import pytest

MELD_COLUMNS = [
    "Sr No.",
    "Utterance",
    "Speaker",
    "Emotion",
    "Sentiment",
    "Dialogue_ID",
    "Utterance_ID",
    "Season",
    "Episode",
    "StartTime",
    "EndTime",
]

IEMOCAP_EVALUATION = """\
% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]

[6.2901 - 8.2357]\tSes01F_impro01_F000\tneu\t[2.5000, 2.0000, 3.5000]
C-E2:\tNeutral;\t()
C-E4:\tNeutral; Anger;\t()
C-F1:\tNeutral;\t(curious (a little))
A-E3:\tval 3; act 2; dom  1;\t()
A-F1:\tval 2; act ; dom  2;\t(calm)

[11.0000 - 12.5000]\tSes01F_impro01_M000\txxx\t[3.0000, 3.0000, 3.0000]
C-E2:\tSadness;\t()

[10.0000 - 11.4000]\tSes01F_impro01_F001\tang\t[1.5000, 4.0000, 4.5000]
C-E2:\tAnger;\t()
"""

IEMOCAP_TRANSCRIPT = """\
Ses01F_impro01_F000 [006.2901-008.2357]: Excuse me.
M: Yeah.
Ses01F_impro01_M000 [011.0000-012.5000]: Did you get the mail?
Ses01F_impro01_MXX0 [009.0000-009.5000]: [LAUGHTER]
Ses01F_impro01_F001 [010.0000-011.4000]: Not yet.
"""


def write_iemocap_dialogue(
    root: Path,
    dialogue_id: str = "Ses01F_impro01",
    evaluation: str = IEMOCAP_EVALUATION,
    transcript: str | bytes = IEMOCAP_TRANSCRIPT,
) -> Path:
    """Writes one dialogue in the layout of IEMOCAP_full_release, with macOS litter."""
    session = root / f"Session{dialogue_id[4]}"
    evaluations, transcripts = session / "dialog/EmoEvaluation", session / "dialog/transcriptions"
    wavs = session / "sentences/wav" / dialogue_id
    for folder in (evaluations / "Attribute", transcripts, wavs):
        folder.mkdir(parents=True, exist_ok=True)
    name = f"{dialogue_id}.txt"
    (evaluations / name).write_text(evaluation.replace("Ses01F_impro01", dialogue_id), "utf-8")
    if isinstance(transcript, str):
        transcript = transcript.replace("Ses01F_impro01", dialogue_id).encode()
    (transcripts / name).write_bytes(transcript)
    for folder in (evaluations, transcripts, wavs):
        (folder / f"._{name}").write_bytes(b"\x00\x05\x16\x07")
    (evaluations / "Attribute" / f"{dialogue_id}_e1_atr.anvil").write_text("<annotation/>")
    (wavs / f"{dialogue_id}_F000.wav").touch()
    return root


def meld_row(dialogue: int, utterance: int, speaker: str = "Joey", **cells: str) -> dict[str, str]:
    """One row of a MELD annotation; utterance 3 lasts from 10:06 to 10:07."""
    seconds = 2 * utterance
    return {
        "Sr No.": "1",
        "Utterance": f"Line {utterance}.",
        "Speaker": speaker,
        "Emotion": "neutral",
        "Sentiment": "neutral",
        "Dialogue_ID": str(dialogue),
        "Utterance_ID": str(utterance),
        "Season": "8",
        "Episode": "21",
        "StartTime": f"00:10:{seconds:02d},000",
        "EndTime": f"00:10:{seconds + 1:02d},000",
        **cells,
    }


def write_meld(root: Path, **splits: list[dict[str, str]]) -> Path:
    """Writes the three annotations of MELD.Raw; a split that is not named has one utterance."""
    for split in ("train", "dev", "test"):
        write_meld_annotation(root / f"{split}_sent_emo.csv", splits.get(split, [meld_row(0, 0)]))
    return root


def write_meld_annotation(path: Path, rows: list[dict[str, str]], encoding: str = "utf-8") -> None:
    """Writes one annotation as distributed: commas, quotes where needed, CRLF."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding=encoding, newline="") as file:
        writer = csv.DictWriter(file, MELD_COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def write_meld_clips(folder: Path, *names: str) -> None:
    """Writes empty clips and the litter that lies among the real ones."""
    folder.mkdir(parents=True)
    for name in (*names, "._dia0_utt0.mp4", "final_videos_testdia0_utt0.mp4"):
        (folder / name).touch()


def write_emodb(root: Path, *names: str) -> Path:
    """Writes empty recordings in the layout of EmoDB, with macOS litter and its other folders."""
    for folder in ("wav", "lablaut", "silb"):
        (root / folder).mkdir(parents=True)
        (root / folder / "._.DS_Store").touch()
    (root / "silb" / "03a01Fa.silb").touch()
    for name in (*names, "._03a01Fa"):
        (root / "wav" / f"{name}.wav").touch()
    return root


def write_recordings(root: Path, *paths: str) -> Path:
    """Writes empty recordings at paths below a root, and what macOS leaves beside them."""
    for path in paths:
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
        (file.parent / f"._{file.name}").touch()
        (file.parent / ".DS_Store").touch()
        archived = root / "__MACOSX" / path
        archived.parent.mkdir(parents=True, exist_ok=True)
        archived.touch()
    return root


def find_data(name: str) -> Path:
    """Finds a folder of real data beside the project, or skips the test, saying so."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("CONVERSATION_EMOTION_DATA", default)) / name
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; CONVERSATION_EMOTION_DATA names another place")
    return folder
