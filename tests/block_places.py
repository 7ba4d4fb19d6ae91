"""A folder with all that the documents name: small corpora, recordings, encoders."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd
import pytest
import soundfile

from conversation_emotion.corpora import demo
from conversation_emotion.figures import representation
from conversation_emotion.utterances.audio import read_audio
from experiments.sweep import figures, search
from experiments.tracking import runs, server
from speech_encoders.cpc import CpcConfig, CpcModel
from tests.commands import interrupt
from tests.emotion2vec_models import make_model
from tests.hums import write_emodb_hums, write_hum, write_ravdess_hums
from tests.layouts import meld_row, write_iemocap_dialogue, write_meld
from tests.small_corpus import write_corpus
from tests.speech_encoders.test_pretrained_speech import SMALL
from tests.speech_encoders.test_pretrained_speech import save_model as save_speech
from tests.text_encoders.test_text_encoders import save_model as save_bert
from tests.utterances.test_audio import write_mp4
from tests.whisper_writers import save_writer

UTTERANCES = 14
"""Utterances of each dialogue of the demo corpus, of which there is one in each session."""

FIFTY_HERTZ = {
    **SMALL,
    "conv_dim": (8,) * 7,
    "conv_kernel": (10, 3, 3, 3, 3, 2, 2),
    "conv_stride": (5, 2, 2, 2, 2, 2, 2),
    "num_feat_extract_layers": 7,
}
"""A small shape with the frame rate of released checkpoints."""

CHECKPOINTS = {
    "facebook/wav2vec2-base": "Wav2Vec2",
    "facebook/wav2vec2-base-960h": "Wav2Vec2",
    "facebook/data2vec-audio-base": "Data2VecAudio",
    "microsoft/wavlm-base": "WavLM",
}
"""Ids of the hub, and of what family a folder of this name is."""


@contextmanager
def documented_places(folder: Path) -> Iterator[Path]:
    """Works in a folder in which every block of the documents can be run."""
    with pytest.MonkeyPatch.context() as patch:
        write_corpus(folder, num_train=2)
        (folder / "manifest.csv").rename(folder / "my.csv")
        patch.setattr(demo, "DATA", write_demo(folder / "demo"))
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setenv("CONVERSATION_EMOTION_CACHE", str(folder / "cache"))
        write_corpora()
        write_recordings()
        write_encoders()
        stay_in_this_process(patch)
        yield folder


def stay_in_this_process(patch: pytest.MonkeyPatch) -> None:
    """Runs the work of a sweep here, draws no figures of it, no UMAP, and ends servers at once.

    What each run says of versions is looked up once.
    """
    patch.setattr(runs, "versions", cache(runs.versions))
    patch.setattr(search, "WorkerPool", Worker)
    patch.setattr(search, "run_jobs", lambda work, jobs, **_: (work(*job) for job in jobs))
    patch.setattr(figures, "log_figures", lambda *given: None)
    patch.setattr(representation, "project_to_plane", lambda points, **_: points[:, :2])
    patch.setattr(server, "serve", interrupt)
    patch.setitem(sys.modules, "experiments.models.demo_pages", OnePage)


class Worker:
    """In place of the pool of workers: does the work of one, at once."""

    def __init__(self, work: Callable[[int], None], *given: object, **more: object) -> None:
        work(0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Ends nothing."""

    def watch(self, seconds: float) -> bool:
        return False


class OnePage:
    """In place of the pages of the demo: predicts a recording, and ends as by Ctrl-C."""

    @staticmethod
    def open_pages(predict: Callable[[Path], str], *given: object, **more: object) -> None:
        assert "<html" in predict(Path("a.wav"))
        raise KeyboardInterrupt


def write_demo(folder: Path) -> Path:
    """Writes the first utterances of a dialogue of each session of the demo corpus.

    It is the dialogue whose rarest class has most of them.
    """
    table = pd.read_csv(demo.DATA / demo.TABLE).groupby("dialogue_id").head(UTTERANCES)
    counts = pd.crosstab(table["dialogue_id"], table["emotion"]).min(axis=1)
    sessions = table.groupby("dialogue_id")["session"].first()
    table = table[table["dialogue_id"].isin(counts.groupby(sessions).idxmax())]
    folder.mkdir()
    for name, end in table.groupby("audio")["end"].max().items():
        samples = read_audio(demo.DATA / str(name), duration=float(end))
        soundfile.write(folder / str(name), samples, 16_000)
    table.to_csv(folder / demo.TABLE, index=False)
    return folder


def write_corpora() -> None:
    """Writes corpora in their layouts, whose emotions are tones."""
    write_emodb_hums(Path("EmoDB"), ("03", "08", "09", "10", "11"), "WLEAFTN", 1)
    tones = {"01": 0, "03": 1, "04": 2, "05": 3}
    for channel in ("01", "02"):
        write_ravdess_hums(Path("RAVDESS"), (1, 2, 3, 4, 5), tones, channel=channel)
    for number, speaker in enumerate(("DC", "JE", "JK", "KL")):
        for tone, emotion in enumerate(("a", "h", "n", "sa")):
            write_hum(Path(f"SAVEE/AudioData/{speaker}/{emotion}01.wav"), tone, number)
    for actor in range(1, 6):
        for tone, emotion in enumerate("CJNT"):
            write_hum(Path(f"CaFE/CaFE_48k/{actor:02}-{emotion}-1-1.wav"), tone, actor)
    write_iemocap(Path("IEMOCAP_full_release"))
    write_spoken_meld(Path("MELD.Raw"))


def write_iemocap(root: Path) -> None:
    """Writes two dialogues of each session, each with all four classes, twice."""
    for session in range(1, 6):
        for place in ("F_impro01", "M_impro02"):
            name = f"Ses{session:02}{place}"
            turns = [
                (f"{name}_{who}{n:03}", 4 * n + 2 * (who == "M")) for n in range(4) for who in "FM"
            ]
            emotions = ("neu", "ang", "hap", "sad", "ang", "neu", "sad", "hap")
            evaluation, words = "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n", ""
            for number, ((turn, start), emotion) in enumerate(zip(turns, emotions, strict=True)):
                times = f"{start:.4f} - {start + 1:.4f}"
                evaluation += (
                    f"\n[{times}]\t{turn}\t{emotion}\t[{1 + number % 5:.4f}, 2.5000, 3.0000]\n"
                )
                words += f"{turn} [{start:08.4f}-{start + 1:08.4f}]: I am so {emotion} today.\n"
                wav = root / f"Session{session}/sentences/wav/{name}/{turn}.wav"
                write_hum(wav, ("neu", "ang", "hap", "sad").index(emotion), number)
            write_iemocap_dialogue(root, name, evaluation, words)


def write_spoken_meld(root: Path) -> None:
    """Writes two dialogues for each part, with their clips."""
    signs = {"neutral": "neutral", "joy": "positive", "anger": "negative", "sadness": "negative"}
    emotions = [*signs] * 2
    rows = [
        meld_row(dialogue, number, "JR"[number % 2], Emotion=emotion, Sentiment=signs[emotion])
        for dialogue in range(2)
        for number, emotion in enumerate(emotions[dialogue:] + emotions[:dialogue])
    ]
    clip = np.sin(np.arange(8_000, dtype=np.float32) / 8)[None]
    write_meld(root, train=rows, dev=rows, test=rows)
    for folder in ("train_splits", "dev_splits_complete", "output_repeated_splits_test"):
        (root / folder).mkdir()
        for row in rows:
            name = f"dia{row['Dialogue_ID']}_utt{row['Utterance_ID']}.mp4"
            write_mp4(root / folder / name, (0.1 + 0.1 * len(row["Emotion"])) * clip / 2, 16_000)


def write_recordings() -> None:
    """Writes recordings under all names that the documents have, and annotation of one."""
    speech = read_audio(next(demo.DATA.glob("*.wav"), next(demo.DATA.glob("*.ogg"))), duration=6.0)
    for name in ("a.wav", "b.wav", "interview.wav", "RECORDING.wav"):
        soundfile.write(name, speech[:32_000], 16_000)
    Path("RECORDING.wav").rename("RECORDING")
    for name in ("interview.mp4", "meeting.mp4"):
        write_mp4(Path(name), speech[None, :48_000], 16_000)
    for folder in ("FOLDER", "RECORDINGS"):
        Path(folder).mkdir()
        soundfile.write(Path(folder) / "talk.wav", speech[:48_000], 16_000)
    lines = [
        f"SPEAKER talk 1 {start} 0.8 <NA> <NA> {who} <NA> <NA>"
        for start, who in ((0.1, "Ann"), (1.5, "Bob"))
    ]
    Path("turns.rttm").write_text("\n".join(lines) + "\n")
    Path("labelled.csv").write_text("audio,emotion\na.wav,anger\nb.wav,neutral\n")
    columns = {"audio": ["a.wav", None], "text": ["I am so angry!", None], "order": [0, 1]}
    rows = pd.DataFrame({"utterance_id": ["x", "y"], "dialogue_id": "a", "speaker": ["A", "B"]})
    rows.assign(**columns).to_csv("conversations.csv", index=False)
    for folder in ("recordings", "speech"):
        Path(folder).mkdir()
        for number in range(4):
            soundfile.write(f"{folder}/{number}.wav", speech[20_000 * number :][:20_000], 16_000)


def write_encoders() -> None:
    """Writes tiny checkpoints with random weights under the names of the hub."""
    for name, family in CHECKPOINTS.items():
        extra = {"conv_pos_kernel_size": 5} if family == "Data2VecAudio" else {}
        save_speech(Path(name), family, {**FIFTY_HERTZ, **extra})
    make_model(num_hidden_layers=2).save_pretrained("emotion2vec_base")
    save_bert(Path("google-bert/bert-base-uncased"))
    save_writer(Path("openai/whisper-base"), ["Guten", "Morgen"])
    CpcModel(CpcConfig(hidden_size=16)).save_pretrained("CPC_FOLDER")
