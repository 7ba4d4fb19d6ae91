"""CPC's pre-training: from each context, linear maps predict the latents of the next frames.

The loss is InfoNCE (van den Oord et al., 2018): classify the coming frame among frames that do not
come. Computed by target: all twelve predictions of a frame are compared with the same candidates,
the frame itself and its negatives. One batched matrix product compares them, and no candidate is
copied for each horizon: memory is that of (T, 1 + N, C), not of (T, K, 1 + N, C).
"""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from transformers import Wav2Vec2FeatureExtractor

from speech_encoders.contract import ObjectiveLoss
from speech_encoders.cpc.modeling import CpcConfig, CpcModel, CpcPreTrainedModel
from speech_encoders.settings import ContrastSettings, NegativeSource

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


class CpcForPreTraining(CpcPreTrainedModel):
    """The encoder with its twelve predictors."""

    def __init__(self, config: CpcConfig) -> None:
        super().__init__(config)
        self.cpc = CpcModel(config)
        self.predictors = nn.Linear(
            config.hidden_size, config.num_steps * config.conv_dim, bias=False
        )
        self.post_init()

    def forward(self, input_values: Tensor) -> tuple[Tensor, Tensor]:
        """Encodes clips of one length: (B, S) -> predictions (B, T, K, C), latents (B, T, C)."""
        output = self.cpc(input_values)
        predictions = self.predictors(output.last_hidden_state)
        return predictions.unflatten(-1, (self.config.num_steps, -1)), output.latents


class ContrastivePrediction(nn.Module):
    """The objective: InfoNCE over all frames and horizons, with negatives drawn from a seed.

    Attributes:
        learning_rate: Peak step size, that of Li et al. (2021).
        no_decay: No weights but biases and norms.
        least_deviations: None: constant predictions are no minimum of InfoNCE.
    """

    learning_rate = 2e-4
    no_decay: tuple[str, ...] = ()
    least_deviations: Mapping[str, float] = MappingProxyType({})

    def __init__(self, model: CpcForPreTraining, settings: ContrastSettings) -> None:
        super().__init__()
        self.model = model
        self.settings = settings

    def forward(self, waveforms: Tensor, seed: int) -> ObjectiveLoss:
        """Computes the loss of clips of one length: (B, S) -> mean over the horizons, accuracies.

        Raises:
            ValueError: There is nothing to predict, or there are no negatives.
        """
        predictions, latents = self.model(waveforms)
        generator = torch.Generator().manual_seed(seed)
        num_clips, num_frames, _ = latents.shape
        settings = self.settings
        negatives = draw_negatives(
            num_clips, num_frames, settings.negatives, settings.negatives_from, generator
        )
        found = contrast(predictions, latents, negatives.to(latents.device), settings.temperature)
        loss = found.losses.sum() / found.is_reached.sum()
        accuracies = {
            f"accuracy_{step:02}": accuracy
            for step, accuracy in enumerate(found.accuracies.unbind(), start=1)
        }
        return ObjectiveLoss(loss, {"loss": loss.detach(), **accuracies})

    def after_step(self, progress: float) -> None:
        """Does nothing: there is no teacher to move."""

    def save(self, folder: Path) -> None:
        """Writes the encoder with its predictors, and an extractor that changes no sample."""
        self.model.save_pretrained(folder)
        extractor = Wav2Vec2FeatureExtractor(do_normalize=False, return_attention_mask=True)
        extractor.save_pretrained(folder)
