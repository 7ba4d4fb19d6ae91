"""A conversation of two synthetic voices with known turns: a dialogue of the demo corpus."""

from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from conversation_emotion.corpora import demo
from conversation_emotion.utterances.audio import SAMPLE_RATE, read_audio

_FOLDER = Path(demo.__path__[0]) / "data"

RECORDING = _FOLDER / "Ses01_00.ogg"
"""Mono, half a minute; a woman and a man take turns."""


def read_truth() -> pd.DataFrame:
    """Returns the utterances of the recording: ``speaker``, ``start``, ``end``, ``text``."""
    utterances = pd.read_csv(_FOLDER / "utterances.csv")
    return utterances[utterances["audio"] == RECORDING.name].reset_index(drop=True)


def write_channels(path: Path, leak: float) -> tuple[Path, pd.DataFrame]:
    """Writes a channel for each voice, and a share of each in the other; adds ``channel``."""
    truth = read_truth()
    truth["channel"] = truth["speaker"].ne(truth["speaker"].iloc[0]).astype(int)
    waveform = read_audio(RECORDING)
    own = np.zeros((2, len(waveform)))
    for start, end, channel in truth[["start", "end", "channel"]].itertuples(index=False):
        part = slice(int(start * SAMPLE_RATE), int(end * SAMPLE_RATE))
        own[channel, part] = waveform[part]
    soundfile.write(path, (own + leak * own[::-1]).T, SAMPLE_RATE)
    return path, truth
