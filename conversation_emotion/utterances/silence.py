"""Where a clip begins to sound, and where it ends."""

import numpy as np
from numpy.typing import NDArray

from conversation_emotion.utterances.resampling import SAMPLE_RATE

_FRAME = 320  # samples, 20 ms
_FALL = 35.0  # decibels below the loud frames at which a clip is silent
_MARGIN = 0.1  # seconds that are kept before and after, as around the turns of a recording


def find_sound(waveform: NDArray[np.float32]) -> tuple[float, float]:
    """Finds the sound of a clip by its loudness: (S,) samples at 16 kHz -> begin and end in s.

    Silent are frames of 20 ms that lie 35 dB below the loudest twentieth. A clip of nothing else,
    or shorter than a frame, is kept whole.
    """
    whole = waveform[: len(waveform) // _FRAME * _FRAME].reshape(-1, _FRAME)
    seconds = len(waveform) / SAMPLE_RATE
    if not len(whole):
        return 0.0, seconds
    levels = 10 * np.log10(np.square(whole, dtype=np.float64).mean(axis=1) + 1e-12)
    loud = np.flatnonzero(levels >= np.quantile(levels, 0.95) - _FALL)
    frame = _FRAME / SAMPLE_RATE
    begin = max(0.0, float(loud[0]) * frame - _MARGIN)
    return begin, min(seconds, float(loud[-1] + 1) * frame + _MARGIN)
