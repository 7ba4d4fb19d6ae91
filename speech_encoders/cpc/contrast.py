"""InfoNCE (van den Oord et al., 2018): classify the coming frame among frames that do not come.

Computed by target: all twelve predictions of a frame are compared with the same candidates, the
frame itself and its negatives. One batched matrix product compares them, and no candidate is copied
for each horizon: memory is that of (T, 1 + N, C), not of (T, K, 1 + N, C).
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from speech_encoders.settings import NegativeSource

_IGNORED = -100


class Contrast(NamedTuple):
    """How well the coming frames are distinguished from others; index k - 1 is horizon k.

    Attributes:
        losses: Mean loss of each horizon, 0 where the clips are too short for it: (K,).
        accuracies: Share of the targets above all their negatives, likewise: (K,).
        is_reached: Horizons that the clips are long enough for: (K,).
    """

    losses: Tensor
    accuracies: Tensor
    is_reached: Tensor


def draw_negatives(
    num_clips: int,
    num_frames: int,
    num_negatives: int,
    source: NegativeSource,
    generator: torch.Generator,
) -> Tensor:
    """Draws negatives for every frame as a target, uniformly and with replacement.

    A target is never among its own negatives.

    Returns:
        Indices of frames of the batch, clip after clip, int64 of shape (B, T, N).

    Raises:
        ValueError: There is nothing to draw from.
    """
    shape = (num_clips, num_frames, num_negatives)
    if source == "same":
        if num_frames < 2:
            raise ValueError(
                f"negatives of the same clip need two frames or more, got {num_frames}; pass "
                "longer clips"
            )
        clips = torch.arange(num_clips)[:, None, None]
        frames = torch.randint(num_frames - 1, shape, generator=generator)
        frames += frames >= torch.arange(num_frames)[:, None]  # skips the target, still uniform
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
    the inner products within.

    Args:
        predictions: Prediction of the next K frames from each context, (B, T, K, C).
        latents: The frames, (B, T, C).
        negatives: Of each frame as a target, see `draw_negatives`, (B, T, N).
        temperature: Divides the inner products.
    """
    num_clips, num_frames, num_steps, size = predictions.shape
    own = torch.arange(num_clips * num_frames, device=latents.device).view(num_clips, num_frames, 1)
    numbers = torch.cat([own, negatives], dim=2)
    candidates = latents.flatten(0, 1)[numbers.flatten()].view(-1, numbers.size(2), size)
    logits = _by_target(predictions).flatten(0, 1) @ candidates.transpose(1, 2)
    # In float32: in half precision the sum over exponentials loses the small negatives.
    logits = logits.view(num_clips, num_frames, num_steps, -1).float() / temperature
    frames = torch.arange(num_frames, device=latents.device)
    # Horizon k reaches frame t only from frame t - k, which must not lie before the clip.
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
    """Moves each prediction to the frame it predicts, zero where there is none: (B, T, K, C), same.

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
