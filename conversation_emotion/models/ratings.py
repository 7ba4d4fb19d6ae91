"""A model that rates utterances: frames, attention over them, their statistics, two layers.

This is the recogniser of Li et al. (2021). Its frames are stored hidden states, or those of an
encoder that is trained with it from the waveforms.
"""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from conversation_emotion.datasets.batches import Batch
from conversation_emotion.models.conversation import Outputs
from conversation_emotion.models.perception import Frames, Standardisation, StatisticsPooling


class FeatureFront(nn.Module):
    """Makes frames of stored hidden states; an utterance without any becomes the train mean.

    ``mixture`` makes one layer of the encoder's; every ``stride`` frames are averaged to one.
    """

    def __init__(
        self, standardisation: Standardisation, mixture: nn.Module, stride: int = 1
    ) -> None:
        super().__init__()
        self.standardisation, self.mixture, self.stride = standardisation, mixture, stride
        self.output_size = int(mixture.output_size)  # type: ignore[arg-type]

    def forward(self, states: Tensor, mask: Tensor) -> Frames:
        """Makes frames: (B, L, T, D), real ones (B, T)."""
        frames = self.mixture(self.standardisation(states)) * mask[..., None]
        frames, mask = _average_neighbours(frames, mask, self.stride)
        return Frames(frames, mask | ~mask.any(dim=-1, keepdim=True))


class WaveformFront(nn.Module):
    """Encodes waveforms with an encoder that is trained with the rest: end to end.

    The encoder maps waveforms (B, S) and real samples (B, S) to ``last_hidden_state`` (B, T, D)
    and ``frame_mask`` (B, T); clips below ``min_samples`` are padded, and a missing one becomes as
    much silence. Every ``stride`` frames are averaged to one.
    """

    def __init__(
        self, encoder: nn.Module, output_size: int, min_samples: int, stride: int = 1
    ) -> None:
        super().__init__()
        self.encoder, self.output_size = encoder, output_size
        self.min_samples, self.stride = min_samples, stride

    def forward(self, states: Tensor, mask: Tensor) -> Frames:
        """Makes frames of samples, stored as frames of one feature: (B, 1, S, 1), (B, S)."""
        missing = max(0, self.min_samples - states.size(2))
        waveforms, mask = F.pad(states[:, 0, :, 0], (0, missing)), F.pad(mask, (0, missing))
        samples = torch.arange(mask.size(1), device=mask.device)
        mask = mask | (~mask.any(dim=-1, keepdim=True) & (samples < self.min_samples))
        encoded = self.encoder(waveforms, mask)
        frames = encoded.last_hidden_state * encoded.frame_mask[..., None]
        return Frames(*_average_neighbours(frames, encoded.frame_mask, self.stride))


class AttentionHead(nn.Module):
    """Attends from every frame to every frame, and rates by their mean and deviation.

    Attention has ``attention_size`` units in all heads together and keeps the features of a frame
    (D); two layers of ``hidden_size`` units follow, each with dropout.
    """

    def __init__(
        self,
        input_size: int,
        num_outputs: int,
        num_heads: int = 8,
        attention_size: int = 512,
        hidden_size: int = 128,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.attend = nn.Linear(input_size, 3 * attention_size)
        self.join = nn.Linear(attention_size, input_size)
        self.pooling = StatisticsPooling(input_size)
        self.layers = nn.Sequential()
        for size in (2 * input_size, hidden_size):
            self.layers.extend([nn.Linear(size, hidden_size), nn.ReLU(), nn.Dropout(dropout)])
        self.output = nn.Linear(hidden_size, num_outputs)

    def forward(self, frames: Frames) -> Tensor:
        """Rates: (B, T, D), (B, T) -> (B, outputs)."""
        split = self.attend(frames.states).unflatten(-1, (3, self.num_heads, -1))
        query, key, value = split.permute(2, 0, 3, 1, 4)
        mask = frames.mask[:, None, None]
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        joined = self.join(attended.transpose(1, 2).flatten(2))
        return self.output(self.layers(self.pooling(joined, frames.mask)))


class RatingModel(nn.Module):
    """Rates each utterance of a batch by its speech alone; `ScaledOutput` gives the scale."""

    def __init__(self, front: nn.Module, head: AttentionHead) -> None:
        super().__init__()
        self.front, self.head = front, head

    def forward(self, batch: Batch) -> Outputs:
        """Rates a batch in which each window is one utterance: logits (B, D)."""
        assert batch.mask.size(1) == 1, "a rating model takes no context"
        frames = cast(Frames, self.front(batch.states["speech"], batch.frames["speech"]))
        return Outputs(self.head(frames), None, None)


class ScaledOutput(nn.Module):
    """Rates by the D outputs of a model of batches, on the corpus' own scale.

    ``centre`` and ``scale`` are mean and deviation of the ratings of train, (D,) each.
    """

    centre: Tensor
    scale: Tensor

    def __init__(self, model: nn.Module, centre: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.judge = model  # by this name in saved weights
        self.register_buffer("centre", centre)
        self.register_buffer("scale", scale)

    def forward(self, batch: Batch) -> Tensor:
        """Rates a batch -> (B, D)."""
        return self.centre + self.scale * cast(Outputs, self.judge(batch)).logits


def _average_neighbours(frames: Tensor, mask: Tensor, stride: int) -> tuple[Tensor, Tensor]:
    """Averages the real ones of every ``stride`` frames: (B, T, D), (B, T) -> (B, T', D), (B, T').

    Padded frames have to be zero; a stride of 1 leaves all as they are.
    """
    if stride == 1:
        return frames, mask
    missing = -mask.size(1) % stride
    mask = F.pad(mask, (0, missing)).unflatten(1, (-1, stride))
    frames = F.pad(frames, (0, 0, 0, missing)).unflatten(1, (-1, stride))
    counts = mask.sum(dim=2, keepdim=True).clamp(min=1)
    return frames.sum(dim=2) / counts, mask.any(dim=2)
