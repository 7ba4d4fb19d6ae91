"""Resampling of a waveform to the rate of the encoders."""

import math
from collections.abc import Iterable, Iterator

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


def resample_blocks(
    blocks: Iterable[NDArray[np.float32]], rate: int
) -> Iterator[NDArray[np.float32]]:
    """Brings blocks in a row, (C, S) each, to 16 kHz: joined, they are what `resample` returns.

    The last inputs wait for the next block: as many as the filter reaches, in whole periods after
    which inputs and outputs fall together again.
    """
    if rate == SAMPLE_RATE:
        yield from blocks
        return
    divisor = math.gcd(rate, SAMPLE_RATE)
    num_inputs, num_outputs = rate // divisor, SAMPLE_RATE // divisor  # of a period
    reach = math.ceil(_TAPS / _ROLLOFF * max(1.0, rate / SAMPLE_RATE)) + 1
    num_edge = math.ceil(reach / num_inputs)  # periods that the filter reaches to each side
    held: NDArray[np.float32] | None = None
    num_before = 0  # periods of what is held that were already yielded
    for block in blocks:
        held = block if held is None else np.concatenate([held, block], axis=1)
        num_whole = held.shape[1] // num_inputs - num_edge
        if num_whole > num_before:
            yield _resample_all(held, rate)[:, num_before * num_outputs : num_whole * num_outputs]
            num_gone = max(0, num_whole - num_edge)
            held, num_before = held[:, num_gone * num_inputs :], num_whole - num_gone
    if held is not None:
        yield _resample_all(held, rate)[:, num_before * num_outputs :]


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
