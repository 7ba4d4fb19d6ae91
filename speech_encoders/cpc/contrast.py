"""InfoNCE (van den Oord et al., 2018): tell the frame that comes from frames that do not.

Written by target: all twelve predictions of a frame meet the same candidates, the frame itself and
its negatives. One batched matrix product compares them, and no frame of a candidate is copied for
each horizon: memory is that of (T, 1 + N, C), not of (T, K, 1 + N, C).
"""

from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

Source = Literal["same", "other"]
"""Whether negatives come from the target's own clip or from the other clips of the batch."""

_IGNORED = -100


class Contrast(NamedTuple):
    """How well the coming frames are told from others; horizon k stands at k - 1.

    Attributes:
        losses: Mean loss of each horizon, 0 where the clips are too short for it: (K,).
        accuracies: Share of the targets above all their negatives, likewise: (K,).
        is_reached: Horizons that the clips are long enough for: (K,).
    """

    losses: Tensor
    accuracies: Tensor
    is_reached: Tensor


def draw_negatives(
    num_clips: int, num_frames: int, num_negatives: int, source: Source, generator: torch.Generator
) -> Tensor:
    """Draws negatives for every frame as a target, uniformly and with replacement.

    A target is never among its own negatives.

    Returns:
        Numbers of frames of the batch, clip after clip, int64 of shape (B, T, N).

    Raises:
        ValueError: There is nothing to draw from.
    """
    shape = (num_clips, num_frames, num_negatives)
    if source == "same":
        if num_frames < 2:
            raise ValueError(
                f"negatives of the same clip need two frames or more, got {num_frames}; hear "
                "longer clips"
            )
        clips = torch.arange(num_clips)[:, None, None]
        frames = torch.randint(num_frames - 1, shape, generator=generator)
        frames += frames >= torch.arange(num_frames)[:, None]
    else:
        if num_clips < 2:
            raise ValueError(
                "negatives of other clips need two clips in a batch or more, got 1; raise "
                "--batch-samples, or take them from the same clip"
            )
        clips = torch.randint(num_clips - 1, shape, generator=generator)
        clips += clips >= torch.arange(num_clips)[:, None, None]
        frames = torch.randint(num_frames, shape, generator=generator)
    return clips * num_frames + frames


def contrast(
    predictions: Tensor, latents: Tensor, negatives: Tensor, temperature: float = 1.0
) -> Contrast:
    """Compares every prediction with its target and the target's negatives.

    The paper prints the temperature outside of the exponential, where it cancels; here it divides
    the products within.

    Args:
        predictions: What each context says of the next K frames, (B, T, K, C).
        latents: The frames, (B, T, C).
        negatives: Of each frame as a target, see `draw_negatives`, (B, T, N).
        temperature: Divides the inner products.
    """
    num_clips, num_frames, num_steps, size = predictions.shape
    own = torch.arange(num_clips * num_frames, device=latents.device).view(num_clips, num_frames, 1)
    numbers = torch.cat([own, negatives], dim=2)
    candidates = latents.flatten(0, 1)[numbers.flatten()].view(-1, numbers.size(2), size)
    logits = _by_target(predictions).flatten(0, 1) @ candidates.transpose(1, 2)
    logits = logits.view(num_clips, num_frames, num_steps, -1).float() / temperature
    frames = torch.arange(num_frames, device=latents.device)
    is_predicted = frames[:, None] > torch.arange(num_steps, device=latents.device)
    targets = torch.where(is_predicted, 0, _IGNORED).expand(num_clips, -1, -1)
    losses = F.cross_entropy(
        logits.flatten(0, 2), targets.flatten(), ignore_index=_IGNORED, reduction="none"
    )
    counts = num_clips * is_predicted.sum(dim=0)
    is_best = (logits[..., 0] > logits[..., 1:].amax(dim=-1)) & is_predicted
    return Contrast(
        losses=losses.view(-1, num_steps).sum(dim=0) / counts.clamp(min=1),
        accuracies=is_best.sum(dim=(0, 1)) / counts.clamp(min=1),
        is_reached=counts > 0,
    )


def _by_target(predictions: Tensor) -> Tensor:
    """Puts what was said of a frame at that frame, zero where nothing was: (B, T, K, C), same.

    Horizon k at frame t becomes horizon k at frame t + k.
    """
    num_frames = predictions.size(1)
    moved = [
        F.pad(
            predictions[:, : max(0, num_frames - step), step - 1], (0, 0, min(step, num_frames), 0)
        )
        for step in range(1, predictions.size(2) + 1)
    ]
    return torch.stack(moved, dim=2)
