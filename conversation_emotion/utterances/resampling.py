"""Resampling of a waveform to the rate of the encoders."""

import math
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torchaudio.transforms

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

    return _make_filter(rate)(torch.from_numpy(mono)).numpy()


@lru_cache(maxsize=16)
def _make_filter(rate: int) -> "torchaudio.transforms.Resample":
    """Returns torchaudio's resampling with its filter, which takes longer than a short piece."""
    import torch
    from torchaudio.transforms import Resample

    return Resample(rate, SAMPLE_RATE, dtype=torch.float32)


class Resampler:
    """Brings samples that come in pieces to 16 kHz: joined, they are what `resample` returns.

    The last inputs wait for the next piece: as many as the filter reaches, in whole periods after
    which inputs and outputs fall together again.

    Args:
        rate: Samples per second that come.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        divisor = math.gcd(rate, SAMPLE_RATE)
        self._num_inputs, self._num_outputs = rate // divisor, SAMPLE_RATE // divisor  # of a period
        reach = math.ceil(_TAPS / _ROLLOFF * max(1.0, rate / SAMPLE_RATE)) + 1
        self._num_edge = math.ceil(reach / self._num_inputs)  # periods the filter reaches each side
        self._held: NDArray[np.float32] | None = None
        self._num_before = 0  # periods of what is held that were already returned

    def push(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Takes the next samples; returns what they complete, if anything: (C, S) -> (C, S)."""
        if self._rate == SAMPLE_RATE:
            return samples
        held = samples if self._held is None else np.concatenate([self._held, samples], axis=1)
        self._held = held
        num_whole = held.shape[1] // self._num_inputs - self._num_edge
        if num_whole <= self._num_before:
            return held[:, :0]
        first, last = (count * self._num_outputs for count in (self._num_before, num_whole))
        num_gone = max(0, num_whole - self._num_edge)
        self._held = held[:, num_gone * self._num_inputs :]
        self._num_before = num_whole - num_gone
        return _resample_all(held, self._rate)[:, first:last]

    def finish(self) -> NDArray[np.float32] | None:
        """Returns the rest, (C, S); None where nothing is held."""
        if self._held is None:
            return None
        return _resample_all(self._held, self._rate)[:, self._num_before * self._num_outputs :]


def resample_blocks(
    blocks: Iterable[NDArray[np.float32]], rate: int
) -> Iterator[NDArray[np.float32]]:
    """Brings blocks in a row, (C, S) each, to 16 kHz, see `Resampler`."""
    resampler = Resampler(rate)
    for block in blocks:
        if (samples := resampler.push(block)).shape[1]:
            yield samples
    if (rest := resampler.finish()) is not None:
        yield rest


def _resample_all(samples: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
    """Brings each channel to 16 kHz: (C, S) -> (C, S)."""
    return np.stack([resample(channel, rate) for channel in samples])


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
