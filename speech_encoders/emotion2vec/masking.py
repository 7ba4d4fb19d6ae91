"""Masks of emotion2vec's pre-training: blocks of frames, equally many frames in every clip.

Public code has two ways to draw them, and they do not give the same masks (data2vec 2.0, Baevski et
al., 2023): ``blocks`` masks exactly the given share, ``spans`` less, because its spans overlap:
41 % of one clip for a share of one half, then as many as in the least masked of a batch.
"""

from collections.abc import Callable

import torch
from torch import Generator, Tensor
from torch.nn import functional as F  # noqa: N812

from speech_encoders.settings import MaskKind

_SURPLUS = 0.05  # blocks overlap: more are drawn than the share needs


def draw_masks(
    kind: MaskKind,
    num_clips: int,
    num_frames: int,
    *,
    share: float = 0.5,
    length: int = 5,
    generator: Generator | None = None,
) -> Tensor:
    """Draws the masked frames of clips of one length: -> boolean (B, T), True where masked.

    Args:
        kind: How to draw, a key of `MASKS`.
        num_clips: Rows to draw (B); they mask equally many frames.
        num_frames: Frames of each clip (T).
        share: Share of the frames to mask.
        length: Frames of a block.
        generator: Random numbers, on the CPU, so that masks do not depend on the device.

    Raises:
        ValueError: The clips are too short to mask a block and keep a frame.
    """
    if not 0 < share < 1 or int(num_frames * share) < 1 or num_frames <= length:
        raise ValueError(
            f"cannot mask {share:.0%} of {num_frames} frames in blocks of {length}; "
            f"pass a share between 0 and 1, and clips longer than {length} frames"
        )
    return MASKS[kind](num_clips, num_frames, share, length, generator)


def _draw_blocks(
    num_clips: int, num_frames: int, share: float, length: int, generator: Generator | None
) -> Tensor:
    """Centres drawn with replacement, then single frames added or removed until the share fits."""
    num_blocks = max(1, int(num_frames * (share + _SURPLUS) / length))
    centres = torch.randint(num_frames, (num_clips, num_blocks), generator=generator)
    covered = _cover(torch.zeros(num_clips, num_frames).scatter_(1, centres, 1.0), length)
    return _mask_exactly(covered, int(num_frames * share), generator)


def _draw_spans(
    num_clips: int, num_frames: int, share: float, length: int, generator: Generator | None
) -> Tensor:
    """Starts drawn without replacement, then frames unmasked down to the least masked clip."""
    chance = float(torch.rand((), generator=generator))
    num_spans = max(1, int(num_frames * share / length + chance))
    scores = torch.rand(num_clips, num_frames - length, generator=generator)
    starts = scores.topk(min(num_spans, scores.size(1)), dim=1).indices
    centres = torch.zeros(num_clips, num_frames).scatter_(1, starts + length // 2, 1.0)
    covered = _cover(centres, length)
    return _mask_exactly(covered, int(covered.sum(dim=1).min()), generator)


MASKS: dict[MaskKind, Callable[[int, int, float, int, Generator | None], Tensor]] = {
    "blocks": _draw_blocks,
    "spans": _draw_spans,
}
"""Ways to draw masks by name."""


def _cover(centres: Tensor, length: int) -> Tensor:
    """Masks ``length`` frames around every centre, within the clip: (B, T) -> (B, T)."""
    padded = F.pad(centres, ((length - 1) // 2, length // 2))
    return F.max_pool1d(padded, kernel_size=length, stride=1)


def _mask_exactly(covered: Tensor, count: int, generator: Generator | None) -> Tensor:
    """Masks ``count`` frames of each clip at random, those in ``covered`` first: -> boolean."""
    # A covered frame scores 1 to 2, any other 0 to 1: the highest scores are covered ones.
    order = covered + torch.rand(covered.shape, generator=generator)
    rows = order.topk(count, dim=1).indices
    return torch.zeros_like(covered, dtype=torch.bool).scatter_(1, rows, value=True)
