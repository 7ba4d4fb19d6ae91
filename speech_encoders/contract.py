"""The contracts of this package: encoders that features come from, and losses of pre-training."""

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor

from speech_encoders.waveforms import SAMPLE_RATE, check_waveforms, real_positions


class WaveformEncoder(ABC):
    """Waveforms in, hidden states out; padding and batch-mates never change a clip's result.

    Attributes:
        identity: All that the features depend on: kind, settings, weights, format, library
            versions.
        num_layers: Layers of hidden states (L), the input of the first Transformer layer included.
        hidden_size: Features of a frame (D).
        frame_rate: Frames per second.
        min_samples: Samples of the shortest clip that gives a frame.
    """

    identity: str
    num_layers: int
    hidden_size: int
    frame_rate: float
    min_samples: int

    @torch.inference_mode()
    def __call__(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encodes a batch in inference mode.

        Args:
            waveforms: Mono speech at 16 kHz in [-1, 1], float32 of shape (B, S); samples after a
                clip's length are ignored.
            lengths: Real samples of each clip, shape (B,).

        Returns:
            Hidden states of shape (B, L, T, D), zero at padded frames, and the number of real
            frames of each clip, shape (B,), both on the encoder's device.

        Raises:
            ValueError: The shapes do not fit, or a clip is shorter than `min_samples`.
        """
        check_waveforms(waveforms, lengths, self.min_samples)
        states, num_frames = self.encode(waveforms[:, : int(lengths.max())], lengths)
        padding = ~real_positions(num_frames, states.size(2))
        # In place, because the states of an hour of speech take gigabytes.
        return states.masked_fill_(padding[:, None, :, None], 0.0), num_frames

    @abstractmethod
    def encode(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encodes a valid batch: (B, S), (B,) -> (B, L, T, D) of its own memory, (B,).

        Samples after a clip's length may be anything, and so may the padded frames.
        """


class SampleEncoder(WaveformEncoder):
    """Returns its input, for models that are trained end to end: frames of one feature.

    Args:
        min_samples: The shortest clip that the model on the samples accepts.
    """

    identity = "samples format=1"
    num_layers = 1
    hidden_size = 1
    frame_rate = float(SAMPLE_RATE)

    def __init__(self, min_samples: int) -> None:
        self.min_samples = min_samples

    def encode(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Copies the samples: (B, S), (B,) -> (B, 1, S, 1), (B,)."""
        return waveforms.clone()[:, None, :, None], lengths


class ObjectiveLoss(NamedTuple):
    """The loss of a pre-training objective on a batch.

    Attributes:
        loss: What to minimise.
        metrics: Losses, accuracies and deviations by name, detached, the loss included.
    """

    loss: Tensor
    metrics: dict[str, Tensor]
