"""Resampling of a waveform to the rate of the encoders."""

import math

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 16_000
"""Samples per second of every waveform."""

_MAX_KERNEL = 1 << 20  # weights of torchaudio's filter, 4 MiB; 44.1 kHz needs less than a tenth
_TAPS, _ROLLOFF = 6, 0.99  # torchaudio's: zero crossings of its filter, and its edge


def resample(mono: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
    """Brings a waveform to 16 kHz: (S,) -> (S,)."""
    mono = np.ascontiguousarray(mono)
    if rate == SAMPLE_RATE:
        return mono
    divisor = math.gcd(rate, SAMPLE_RATE)
    if rate * SAMPLE_RATE // divisor**2 > _MAX_KERNEL:
        return _resample_odd(mono, rate)
    import torch
    from torchaudio import functional

    return functional.resample(torch.from_numpy(mono), rate, SAMPLE_RATE).numpy()


def _resample_odd(mono: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
    """Computes what torchaudio does, one output at a time: (S,) -> (S,).

    torchaudio holds a filter for each phase, and rates without a common divisor have as many
    phases as samples per second. Here, each output has its own few weights: the sinc function that
    cuts at the lower rate, under a Hann window (Smith, Digital Audio Resampling, 2002).
    """
    num_outputs = -(-len(mono) * SAMPLE_RATE // rate)
    edge = _ROLLOFF * min(rate, SAMPLE_RATE) / rate  # in half cycles per input
    reach = math.ceil(_TAPS / edge)
    padded = np.pad(mono, reach + 1)
    taps = np.arange(-reach, reach + 2)
    output = np.empty(num_outputs, dtype=np.float32)
    size = max(1, _MAX_KERNEL // len(taps))
    for first in range(0, num_outputs, size):
        places = np.arange(first, min(first + size, num_outputs)) * (rate / SAMPLE_RATE)
        nearest = places.astype(np.int64)
        distances = edge * (nearest[:, None] + taps - places[:, None])
        window = np.cos(np.pi * np.clip(distances, -_TAPS, _TAPS) / _TAPS / 2) ** 2
        weights = edge * np.sinc(distances) * window
        inputs = padded[nearest[:, None] + taps + reach + 1]
        output[first : first + size] = np.einsum("nk,nk->n", inputs, weights)
    return output
