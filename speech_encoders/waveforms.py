"""The input of every speech encoder: which waveforms are valid, and which positions are real."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

SAMPLE_RATE = 16_000
"""Samples per second of every waveform."""


class Framing(NamedTuple):
    """How frames lie on samples.

    Attributes:
        hop: Samples from one frame to the next.
        receptive_field: Samples that a frame depends on.
    """

    hop: int
    receptive_field: int

    def count(self, num_samples: int) -> int:
        """Returns the frames of a clip; none below the receptive field."""
        return max(0, (num_samples - self.receptive_field) // self.hop + 1)

    def count_each(self, lengths: Tensor) -> Tensor:
        """Returns the frames of clips that are long enough: (B,) -> (B,)."""
        return (lengths - self.receptive_field) // self.hop + 1

    def require(self, num_samples: int) -> int:
        """Returns the frames of a clip.

        Raises:
            ValueError: The clip is too short for a frame.
        """
        if num_samples < self.receptive_field:
            raise ValueError(
                f"a clip has {num_samples} samples, expected {self.receptive_field} or more; "
                "leave out shorter clips"
            )
        return self.count(num_samples)

    def mask(self, attention_mask: Tensor) -> Tensor:
        """Marks the frames that depend only on real samples: (B, S) -> (B, T), boolean.

        Raises:
            ValueError: Padding lies before real samples, or a clip is too short for a frame.
        """
        is_real = attention_mask.bool()
        if bool((is_real[:, 1:] & ~is_real[:, :-1]).any()):
            raise ValueError(
                "attention_mask has padding before real samples; pad clips on the right"
            )
        lengths = is_real.sum(dim=1)
        self.require(int(lengths.min()))
        return real_positions(self.count_each(lengths), self.count(is_real.size(1)))


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


def split_windows(inputs: Tensor, lengths: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Cuts clips into windows that follow each other: (B, N, ...), (B,) -> (R, n, ...), (R,).

    The windows of a clip stand in a row, the last one shorter, and none is empty. Clips that fit
    into one window stay as they are.
    """
    if inputs.size(1) <= size:
        return inputs, lengths
    count = -(-inputs.size(1) // size)
    padding = [0, 0] * (inputs.ndim - 2) + [0, count * size - inputs.size(1)]
    windows = pad(inputs, padding).unflatten(1, (count, size)).flatten(0, 1)
    sizes = window_sizes(lengths, size, count).flatten()
    return windows[sizes > 0], sizes[sizes > 0]


def join_windows(windows: Tensor, lengths: Tensor, size: int) -> Tensor:
    """Undoes `split_windows` on the frames of windows: (R, n, D), (B,) -> (B, N, D)."""
    longest = int(lengths.max())
    if longest <= size:
        return windows
    count = -(-longest // size)
    is_window = window_sizes(lengths, size, count).flatten() > 0
    joined = windows.new_zeros(len(is_window), *windows.shape[1:])
    joined[is_window] = windows
    return joined.unflatten(0, (-1, count)).flatten(1, 2)[:, :longest]


def window_sizes(lengths: Tensor, size: int, count: int) -> Tensor:
    """Returns what each clip has in each window: (B,) -> (B, count), 0 where it has ended."""
    starts = torch.arange(count, device=lengths.device) * size
    return (lengths[:, None] - starts).clamp(0, size)


def encode_by_length(
    encode: Callable[[Tensor, Tensor], Tensor], inputs: Tensor, lengths: Tensor
) -> Tensor:
    """Encodes clips of equal length together, so that none is padded.

    Args:
        encode: (b, N, ...) inputs of (b,) equal lengths -> (b, ..., T', D).
        inputs: Padded inputs, (B, N, ...).
        lengths: Real positions of each, (B,).

    Returns:
        What ``encode`` gives, padded with zeros on the right, (B, ..., T, D).
    """
    rows = [(lengths == length).nonzero().flatten() for length in lengths.unique().tolist()]
    parts = [encode(inputs[some, : int(lengths[some[0]])], lengths[some]) for some in rows]
    num_frames = max(part.size(-2) for part in parts)
    padded = [pad(part, (0, 0, 0, num_frames - part.size(-2))) for part in parts]
    return torch.cat(padded)[torch.cat(rows).argsort()]
