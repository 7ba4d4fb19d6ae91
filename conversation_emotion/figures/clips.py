"""Recordings within a page: compressed, as text, up to a limit that is reported."""

import base64
import io
from typing import NamedTuple

import numpy as np
import pandas as pd
import soundfile
from numpy.typing import NDArray

from conversation_emotion.utterances.audio import SAMPLE_RATE, explain, read_audio


class Clips(NamedTuple):
    """Sound of some utterances for a page: Ogg Opus as base64, by utterance id.

    ``num_bytes`` is their size together, ``num_left_out`` counts utterances beyond the limit, and
    ``failures`` has the reason why a clip could not be read, by utterance id.
    """

    sounds: dict[str, str]
    num_bytes: int
    num_left_out: int
    failures: dict[str, str]

    def describe(self, limit_bytes: int) -> str:
        """Describes how much sound there is and what is missing."""
        lines = [f"sound of {len(self.sounds)} utterances, {self.num_bytes / 2**20:.1f} MiB"]
        if self.num_left_out:
            limit = f"{limit_bytes / 2**20:.3g} MiB"
            lines.append(f"{self.num_left_out} left silent by the limit of {limit}")
        if self.failures:
            names = ", ".join(sorted(self.failures)[:5])
            lines.append(f"{len(self.failures)} cannot be read: {names}")
        return "; ".join(lines)


def encode_clips(utterances: pd.DataFrame, rows: NDArray[np.int64], limit_bytes: int) -> Clips:
    """Compresses the recordings of some rows as mono Ogg Opus, in their order, up to a size.

    The size is that of the text in the page, a third more than the sound's.
    """
    sounds: dict[str, str] = {}
    failures: dict[str, str] = {}
    num_bytes = num_left_out = 0
    columns = ["utterance_id", "audio", "offset", "duration", "channel"]
    recorded = utterances.iloc[rows][columns].dropna(subset="audio")
    for utterance_id, audio, *place in recorded.itertuples(index=False):
        if num_left_out:
            num_left_out += 1
            continue
        offset, duration, channel = (None if pd.isna(value) else value for value in place)
        number = None if channel is None else int(channel)
        try:
            sound = _compress(str(audio), offset, duration, number)
        except Exception as error:  # of libraries, on one clip
            failures[str(utterance_id)] = explain(str(audio), error)
            continue
        if num_bytes + len(sound) > limit_bytes:
            num_left_out = 1
            continue
        sounds[str(utterance_id)] = sound
        num_bytes += len(sound)
    return Clips(sounds, num_bytes, num_left_out, failures)


def _compress(audio: str, offset: float | None, duration: float | None, channel: int | None) -> str:
    waveform = read_audio(audio, offset=offset, duration=duration, channel=channel)
    file = io.BytesIO()
    soundfile.write(file, waveform, SAMPLE_RATE, format="OGG", subtype="OPUS")
    return base64.b64encode(file.getvalue()).decode("ascii")
