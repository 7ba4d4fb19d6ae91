"""MSP-IMPROV (Busso et al., 2017): twelve actors in six sessions, improvised, read and natural.

Reads the release as distributed, whose label file is misspelt, with or without a folder Audio::

    Evalution.txt                                       or Evaluation.txt
    Audio/session1/S01A/P/MSP-IMPROV-S01A-F01-P-FM01.wav

A line of the consensus names the video, and lines of the raters follow::

    UTD-IMPROV-S01A-F01-P-FM01.avi; A; A:3.0; V:2.1; D:3.5; N:4.2;
    WORKER12; Angry; Angry,Frustrated; A:3; V:2; D:4; N:4;

The emotion is what raters perceived: the letter behind the name (A anger, H happiness, N neutral, S
sadness, O other, X no agreement, which leaves the turn unlabelled), not the letter in S01A, which
is the emotion that the scene aims at. ``F01`` is the speaker, a woman of session 1. The letter
behind it is the condition; which is which is not said in the files, so it stays a letter. A is
``arousal``, N ``naturalness``. In which order turns were spoken is not in the names, so each is its
own dialogue. Votes are what raters named first; what is none of these emotions is other.

Columns behind the contract: ``scene``, ``target``, ``condition``, ``naturalness``.
"""

import math
import re
from collections.abc import Iterator
from pathlib import Path

from conversation_emotion.corpora.annotations import (
    find_files,
    name_primary,
    read_optional,
    report,
)
from conversation_emotion.settings.corpus import CorpusSource
from conversation_emotion.utterances.labels import four_classes
from conversation_emotion.utterances.table import Utterances, build_utterances
from conversation_emotion.utterances.votes import write_votes

EMOTIONS = {
    "A": "anger", "H": "happiness", "N": "neutral", "O": "other", "S": "sadness", "X": None,
}  # fmt: skip

_ROOT = "the MSP-IMPROV folder, the one that holds Evalution.txt"
_LINE = re.compile(
    r"UTD-IMPROV-(?P<name>(?P<scene>S\d\d)(?P<target>[AHNS])-(?P<speaker>[FM]0(?P<session>\d))-"
    r"(?P<condition>[PRST])-\w+)\.avi\s*;\s*(?P<emotion>[A-Z])\s*;(?P<ratings>.*)"
)
_RATING = re.compile(r"([AVDN])\s*:\s*([-\d.]+|nan)\s*(?:;|$)", re.IGNORECASE)


def load_msp_improv(root: Path) -> Utterances:
    """Reads the consensus of the raters into the utterance table.

    Raises:
        FileNotFoundError: There is no label file.
        ValueError: A line that begins as one of the consensus is not one.
    """
    labels = find_files(root, ("Evalution.txt", "Evaluation.txt"), "msp-improv", _ROOT)[0]
    audio = root / "Audio" if (root / "Audio").is_dir() else root
    return build_utterances(_read_lines(labels, audio), "msp-improv")


def _read_lines(labels: Path, audio: Path) -> Iterator[dict[str, object]]:
    lines = read_optional(labels, "msp-improv").splitlines()
    for number, (line, raters) in _group_raters(lines, labels).items():
        match = _LINE.fullmatch(line.strip())
        if not match or match["emotion"] not in EMOTIONS:
            raise ValueError(
                f"msp-improv: {labels} line {number} is {line!r}, expected one such as "
                f"'UTD-IMPROV-S01A-F01-P-FM01.avi; A; A:3.0; V:2.1;' with an emotion "
                f"({', '.join(EMOTIONS)})"
            )
        utterance_id = f"MSP-IMPROV-{match['name']}"
        session = f"session{match['session']}"
        folder = audio / session / f"{match['scene']}{match['target']}" / match["condition"]
        ratings = {name.upper(): float(cell) for name, cell in _RATING.findall(match["ratings"])}
        yield {
            "utterance_id": utterance_id,
            "speaker": match["speaker"],
            "gender": "female" if match["speaker"].startswith("F") else "male",
            "language": "en",
            "audio": str(folder / f"{utterance_id}.wav"),
            "emotion": EMOTIONS[match["emotion"]],
            "votes": write_votes(raters.items()),
            "valence": ratings.get("V"),
            "arousal": ratings.get("A"),
            "dominance": ratings.get("D"),
            "session": session,
            "scene": match["scene"],
            "target": EMOTIONS[match["target"]],
            "condition": match["condition"],
            "naturalness": ratings.get("N", math.nan),
        }


def _group_raters(lines: list[str], labels: Path) -> dict[int, tuple[str, dict[str, list[str]]]]:
    """Returns the lines of the consensus by number, with what each rater below them named."""
    found: dict[int, tuple[str, dict[str, list[str]]]] = {}
    raters: dict[str, list[str]] = {}
    odd = []
    for number, line in enumerate(lines, start=1):
        if line.startswith("UTD-IMPROV"):
            raters = {}
            found[number] = line, raters
            continue
        rater, named, *_ = [*(field.strip() for field in line.split(";")), ""]
        emotion = name_primary(named, EMOTIONS.values()) if ":" not in named else None
        if emotion and rater and rater not in raters:
            raters[rater] = [emotion]
        elif line.strip():
            odd.append(f"{labels.name} line {number}")
    report("msp-improv", "lines of raters name no emotion or a rater again, and are no votes", odd)
    return found


CORPUS = CorpusSource(
    load=load_msp_improv,
    root=_ROOT,
    labels="4-class",
    split="leave-one-session-out",
    label_maps={"4-class": four_classes(EMOTIONS.values())},
)
