"""Levels of a clip: how loud it is, how much of it is clipped, and how much is silence."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from conversation_emotion.utterances.decoding import Block
from conversation_emotion.utterances.silence import frame_levels, mark_sound

FULL_SCALE = 0.999
"""Size of a sample from which on it is at full scale; codecs miss the last digits."""

_LEAST_RUN = 3  # samples in a row at full scale that are no peak but a cut one
_NOTHING = -70.0  # decibels of full scale below which a frame is silent, however soft the others
_LOWEST = 1e-6  # amplitude that stands for 0, so that digital silence has a level: -120 dB


@dataclass(frozen=True, kw_only=True)
class Levels:
    """The levels of a clip.

    Attributes:
        seconds: Its length.
        level: Root mean square, in dB of full scale: -3 of a full sine, -120 of nothing.
        peak: Largest sample, in dB of full scale.
        clipped: Share of its samples that lie in runs of three or more at full scale.
        silence: Share of its frames of 20 ms that lie 35 dB below the loudest twentieth, or below
            -70 dB of full scale.
        digest: The same for the same samples, whichever file holds them.
    """

    seconds: float
    level: float
    peak: float
    clipped: float
    silence: float
    digest: str


def measure_levels(blocks: Sequence[Block]) -> Levels:
    """Measures a clip by its samples as they were recorded, (1, S) each, of `read_native`."""
    frames = np.concatenate([frame_levels(samples[0], rate) for samples, rate in blocks])
    size = sum(samples.size for samples, _ in blocks)
    power = sum(float(np.square(samples, dtype=np.float64).sum()) for samples, _ in blocks)
    peak = max(float(np.abs(samples).max(initial=0.0)) for samples, _ in blocks)
    silent = ~mark_sound(frames) | (frames < _NOTHING) if len(frames) else np.zeros(1, dtype=bool)
    digest = hashlib.sha256()
    for samples, rate in blocks:
        # As whole numbers: a file that holds fractions of the same samples is the same sound.
        whole = np.rint(samples[0] * 2**15).clip(-(2**15), 2**15 - 1)
        digest.update(f"{rate}:".encode() + whole.astype("<i2").tobytes())
    return Levels(
        seconds=sum(block.samples.shape[1] / block.rate for block in blocks),
        level=_decibels((power / size) ** 0.5),
        peak=_decibels(peak),
        clipped=sum(_count_clipped(samples[0]) for samples, _ in blocks) / size,
        silence=float(silent.mean()),
        digest=digest.hexdigest(),
    )


def _count_clipped(waveform: NDArray[np.float32]) -> int:
    """Counts the samples that lie in a run at full scale: (S,)."""
    full = np.abs(waveform) >= FULL_SCALE
    edges = np.flatnonzero(np.diff(np.concatenate([[False], full, [False]]).astype(np.int8)))
    runs = edges[1::2] - edges[::2]
    return int(runs[runs >= _LEAST_RUN].sum())


def _decibels(amplitude: float) -> float:
    return float(20 * np.log10(max(amplitude, _LOWEST)))
