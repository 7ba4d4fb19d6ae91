"""Measures how well the speakers of conversations are told apart, against the truth.

    python -m benchmarks.speakers --root MELD_COMPOSITE --part test

Each dialogue of a corpus in the layout of MELD.Raw becomes one recording: its clips, half a second
apart. Turns are found and named as `predict` does, with the number of speakers given, and, by
encoders of voices, without. Needs pyannote.metrics. Shown are, over all dialogues: speech that is
missed or invented, the diarisation error rate (missed, invented and confused speech per speech,
without a collar), and the mean difference of the number of speakers.
"""

import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
import tyro
from pyannote.core import Annotation, Segment  # pyright: ignore[reportMissingImports]
from pyannote.metrics.diarization import DiarizationErrorRate  # pyright: ignore[reportMissingImports]

from conversation_emotion.features.voice_activity import FRAME_SECONDS, SpeechDetector
from conversation_emotion.inference.turns import Turn, find_turns, name_speakers
from conversation_emotion.settings.turns import TurnSettings
from conversation_emotion.utterances.audio import SAMPLE_RATE, AudioError, read_audio

_FOLDERS = {"dev": "dev_splits_complete", "test": "output_repeated_splits_test"}
_PAUSE = 0.5


@dataclass(frozen=True, kw_only=True)
class SpeakerSettings:
    """Which dialogues, and which encoders."""

    root: Path
    """Folder of the corpus."""

    speech_encoder: tuple[str, ...] = ("resemblyzer", "emotion2vec-mini")
    """Encoders to compare."""

    part: str = "test"
    """dev or test; dialogues of both chose the distance of Resemblyzer."""

    dialogues: int = 20
    """Dialogues of two speakers or more, and six utterances or more, from the first on."""


def main(settings: SpeakerSettings) -> None:
    """Makes the recordings, and prints a row for each encoder."""
    with tempfile.TemporaryDirectory() as folder:
        truths = make_recordings(settings, Path(folder))
        found = [
            turn
            for recording in truths
            for turn in find_turns(recording, TurnSettings(speakers="unknown"))
        ]
        num_speakers = {recording: len(truth.labels()) for recording, truth in truths.items()}
        print(f"{len(truths)} dialogues, {len(found)} turns, silero-vad {version('silero-vad')}")
        print("| encoder | speakers | missed | invented | DER | speakers too many or few |")
        print("|---|---|---|---|---|---|")
        for encoder in settings.speech_encoder:
            for is_given in (True, False):
                try:
                    named = name_all(found, encoder, num_speakers if is_given else {})
                except ValueError:  # an encoder that has to be told how many there are
                    continue
                row = score(truths, named)
                print(f"| {encoder} | {'given' if is_given else 'found'} | {row} |", flush=True)


def name_all(turns: list[Turn], encoder: str, num_speakers: dict[str, int]) -> list[Turn]:
    """Names the speakers of turns, by their number in each recording if that is given."""
    named = []
    for number in sorted({*num_speakers.values()}) or [None]:
        own = [turn for turn in turns if num_speakers.get(str(turn.recording)) == number]
        named += name_speakers(own, TurnSettings(speaker_encoder=encoder, num_speakers=number))
    return named


def make_recordings(settings: SpeakerSettings, folder: Path) -> dict[str, Annotation]:
    """Writes a recording for each dialogue; returns who speaks when, by voice activity in clips."""
    utterances = pd.read_csv(settings.root / f"{settings.part}_sent_emo.csv")
    truths: dict[str, Annotation] = {}
    for number, rows in utterances.groupby("Dialogue_ID"):
        if rows["Speaker"].nunique() < 2 or len(rows) < 6 or len(truths) == settings.dialogues:
            continue
        parts, truth, start = [], Annotation(), 0.0
        for utterance, speaker in zip(rows["Utterance_ID"], rows["Speaker"], strict=True):
            clip = settings.root / _FOLDERS[settings.part] / f"dia{number}_utt{utterance}.mp4"
            try:
                waveform = read_audio(clip)
            except AudioError:
                continue
            spoken = np.flatnonzero(SpeechDetector(1).push(waveform[None])[0][0] >= 0.5)
            if len(spoken):
                span = start + np.array([spoken[0], spoken[-1] + 1]) * FRAME_SECONDS
                truth[Segment(*span)] = speaker
            parts += [waveform, np.zeros(round(_PAUSE * SAMPLE_RATE), dtype=np.float32)]
            start += len(waveform) / SAMPLE_RATE + _PAUSE
        recording = folder / f"{number}.wav"
        soundfile.write(recording, np.concatenate(parts), SAMPLE_RATE)
        truths[str(recording)] = truth
    return truths


def score(truths: dict[str, Annotation], turns: list[Turn]) -> str:
    """Returns the cells of a row of the table."""
    metric, differences = DiarizationErrorRate(), []
    for recording, truth in truths.items():
        found = Annotation()
        for number, turn in enumerate(turns):
            if turn.recording == recording and turn.start is not None and turn.end is not None:
                found[Segment(turn.start, turn.end), number] = turn.speaker or "unknown"
        metric(truth, found)
        differences.append(abs(len(found.labels()) - len(truth.labels())))
    total = metric.accumulated_["total"]
    shares = [metric.accumulated_[name] / total for name in ("missed detection", "false alarm")]
    cells = [f"{share:.1%}" for share in (*shares, abs(metric))]
    return " | ".join([*cells, f"{np.mean(differences):.2f}"])


if __name__ == "__main__":
    main(tyro.cli(SpeakerSettings))
