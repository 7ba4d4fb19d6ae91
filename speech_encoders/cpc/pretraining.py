"""CPC's pre-training: from each context, linear maps predict the latents of the next frames."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import torch
from torch import Tensor, nn
from transformers import Wav2Vec2FeatureExtractor

from speech_encoders.contract import ObjectiveLoss
from speech_encoders.cpc.configuration import CpcConfig
from speech_encoders.cpc.contrast import contrast, draw_negatives
from speech_encoders.cpc.modeling import CpcModel, CpcPreTrainedModel
from speech_encoders.settings import ContrastSettings


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
        """Encodes clips of one length: (B, S) -> predictions (B, T, K, C), latents (B, T, C)."""
        output = self.cpc(input_values)
        predictions = self.predictors(output.last_hidden_state)
        return predictions.unflatten(-1, (self.config.num_steps, -1)), output.latents


class ContrastivePrediction(nn.Module):
    """The objective: InfoNCE over all frames and horizons, with negatives drawn from a seed.

    Args:
        model: The model to train.
        settings: Negatives and temperature.

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
        negatives = draw_negatives(
            num_clips,
            num_frames,
            self.settings.negatives,
            self.settings.negatives_from,
            generator,
        )
        found = contrast(
            predictions, latents, negatives.to(latents.device), self.settings.temperature
        )
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
