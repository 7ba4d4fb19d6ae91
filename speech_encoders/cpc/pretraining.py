"""CPC's pre-training: from each context, linear maps predict the latents of the next frames."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from speech_encoders.cpc.configuration import CpcConfig
from speech_encoders.cpc.contrast import Source, contrast, draw_negatives
from speech_encoders.cpc.modeling import CpcModel, CpcPreTrainedModel


@dataclass(frozen=True, kw_only=True)
class ContrastSettings:
    """What is told from what.

    Attributes:
        num_negatives: Negatives of each target (N).
        source: Where they come from.
        temperature: Divides the inner products.
    """

    num_negatives: int = 50
    source: Source = "same"
    temperature: float = 1.0


class ContrastOutput(NamedTuple):
    """What the training makes of a batch.

    Attributes:
        loss: Mean over the horizons, to minimise.
        metrics: The loss, and the accuracy at each horizon as ``accuracy_01`` and so on.
    """

    loss: Tensor
    metrics: dict[str, Tensor]


class CpcForPreTraining(CpcPreTrainedModel):
    """The encoder with its twelve predictors.

    Args:
        config: Shape of both.
    """

    def __init__(self, config: CpcConfig) -> None:
        super().__init__(config)
        self.cpc = CpcModel(config)
        self.predictors = nn.Linear(
            config.hidden_size, config.num_steps * config.conv_dim, bias=False
        )
        self.post_init()

    def forward(self, input_values: Tensor) -> tuple[Tensor, Tensor]:
        """Hears clips of one length: (B, S) -> predictions (B, T, K, C), latents (B, T, C)."""
        output = self.cpc(input_values)
        predictions = self.predictors(output.last_hidden_state)
        return predictions.unflatten(-1, (self.config.num_steps, -1)), output.latents


class ContrastivePrediction(nn.Module):
    """The objective: InfoNCE over all frames and horizons, with negatives drawn from a seed.

    Args:
        model: What learns.
        settings: What is told from what.
    """

    def __init__(self, model: CpcForPreTraining, settings: ContrastSettings) -> None:
        super().__init__()
        self.model = model
        self.settings = settings

    def forward(self, waveforms: Tensor, seed: int) -> ContrastOutput:
        """Answers clips of one length: (B, S) -> loss and metrics.

        Raises:
            ValueError: There is nothing to predict, or nothing to tell it from.
        """
        predictions, latents = self.model(waveforms)
        generator = torch.Generator().manual_seed(seed)
        num_clips, num_frames, _ = latents.shape
        negatives = draw_negatives(
            num_clips, num_frames, self.settings.num_negatives, self.settings.source, generator
        )
        found = contrast(
            predictions, latents, negatives.to(latents.device), self.settings.temperature
        )
        loss = found.losses.sum() / found.is_reached.sum()
        accuracies = {
            f"accuracy_{step:02}": accuracy
            for step, accuracy in enumerate(found.accuracies.unbind(), start=1)
        }
        return ContrastOutput(loss, {"loss": loss.detach(), **accuracies})

    def after_step(self, progress: float) -> None:
        """Does nothing: there is no teacher to move."""
