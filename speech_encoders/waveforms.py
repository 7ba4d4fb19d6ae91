"""The border of every speech encoder: what it accepts, and what is real in it."""

import torch
from torch import Tensor

SAMPLE_RATE = 16_000
"""Samples per second of every waveform."""


def check_waveforms(waveforms: Tensor, lengths: Tensor, min_samples: int) -> None:
    """Checks a batch before it is encoded: (B, S), (B,).

    Raises:
        ValueError: The shapes do not fit, the samples are not float32, or a clip is shorter than
            ``min_samples`` or longer than the batch.
    """
    if waveforms.ndim != 2 or lengths.shape != waveforms.shape[:1] or not len(lengths):
        raise ValueError(
            f"waveforms have shape {tuple(waveforms.shape)} and lengths {tuple(lengths.shape)}, "
            "expected (B, S) and (B,) with one clip or more"
        )
    if waveforms.dtype != torch.float32:
        raise ValueError(f"waveforms are {waveforms.dtype}, expected torch.float32 in [-1, 1]")
    for clip, length in enumerate(lengths.tolist()):
        if not min_samples <= length <= waveforms.size(1):
            raise ValueError(
                f"clip {clip} has {length} samples, expected {min_samples} to "
                f"{waveforms.size(1)}; leave out clips shorter than "
                f"{1000 * min_samples / SAMPLE_RATE:g} ms"
            )


def real_positions(lengths: Tensor, size: int) -> Tensor:
    """Marks what is real: (B,), size -> (B, size), boolean."""
    return torch.arange(size, device=lengths.device) < lengths[:, None]
