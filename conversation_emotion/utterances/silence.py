"""Where a clip begins to sound, and where it ends."""

import numpy as np
from numpy.typing import NDArray

from conversation_emotion.utterances.resampling import SAMPLE_RATE

FRAME_SECONDS = 0.02
"""Length of the frames whose loudness is compared."""

_FALL = 35.0  # decibels below the loud frames at which a clip is silent
_MARGIN = 0.1  # seconds that are kept before and after, as around the turns of a recording


def frame_levels(waveform: NDArray[np.float32], rate: int = SAMPLE_RATE) -> NDArray[np.float64]:
    """Returns the level of each whole frame of 20 ms: (S,) samples -> (T,) in dB of full scale."""
    size = round(FRAME_SECONDS * rate)
    whole = waveform[: len(waveform) // size * size].reshape(-1, size)
    return 10 * np.log10(np.square(whole, dtype=np.float64).mean(axis=1) + 1e-12)


def mark_sound(levels: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Marks the frames that lie less than 35 dB below the loudest twentieth: (T,) -> (T,)."""
    return levels >= np.quantile(levels, 0.95) - _FALL


def find_sound(waveform: NDArray[np.float32]) -> tuple[float, float]:
    """Finds the sound of a clip by its loudness: (S,) samples at 16 kHz -> begin and end in s.

    What `mark_sound` leaves is silent. A clip of nothing else, or shorter than a frame, is kept
    whole.
    """
    levels, seconds = frame_levels(waveform), len(waveform) / SAMPLE_RATE
    if not len(levels):
        return 0.0, seconds
    loud = np.flatnonzero(mark_sound(levels))
    begin = max(0.0, float(loud[0]) * FRAME_SECONDS - _MARGIN)
    return begin, min(seconds, float(loud[-1] + 1) * FRAME_SECONDS + _MARGIN)
