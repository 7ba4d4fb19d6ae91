"""A model that trains an encoder: one vector per utterance, a linear head, and maybe a second one.

The second head spells the transcript, a character or blank per frame, as in Cai et al. (2021). The
encoder comes as an argument, by the protocol `Encoding`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple, Protocol, cast

import torch
from torch import Tensor, nn

from conversation_emotion.features.encoders import Encoder

TimePooling = Literal["mean", "sum"]
"""How the frames of an utterance are pooled."""


class Encoding(Protocol):
    """An encoder with gradients; `speech_encoders.tunable.TunableEncoder` is one.

    It has frames of ``hidden_size`` features (D) and L Transformer blocks; ``adapted`` names the
    linear maps that low-rank adapters change.
    """

    hidden_size: int
    num_blocks: int
    adapted: tuple[str, ...]

    @property
    def reader(self) -> Encoder:
        """Encoder of the input: a frozen front end, or the samples themselves."""
        ...

    @property
    def identity(self) -> str:
        """Text that identifies the weights."""
        ...

    def keep_blocks(self, count: int) -> None:
        """Keeps the lowest blocks alone."""

    def recompute_activations(self) -> None:
        """Computes activations twice instead of keeping them."""

    def save(self, folder: Path, settings: Mapping[str, object]) -> None:
        """Writes the encoder as a folder of transformers, with settings in its configuration."""

    def __call__(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encodes (B, N, D') inputs of (B,) lengths -> frames (B, T, D), their number (B,)."""
        ...


class ClipOutputs(NamedTuple):
    """Logits of the classes (B, C), and ``num_frames`` real frames of each clip (B,).

    ``characters`` are logits of each character and the blank in every frame, (B, T, V); None
    without the second head.
    """

    logits: Tensor
    characters: Tensor | None
    num_frames: Tensor


class EncoderModel(nn.Module):
    """An encoder with the interface of `Encoding`, its real frames pooled, and linear heads.

    Pooling by sum is that of Cai et al. (2021). ``num_characters`` counts those of the second head,
    the blank included (V); with 0 there is none. Dropout is on the frames before the heads.
    """

    def __init__(
        self,
        encoder: nn.Module,
        num_classes: int,
        *,
        pooling: TimePooling = "mean",
        num_characters: int = 0,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        size = cast(Encoding, encoder).hidden_size
        self.pooling: TimePooling = pooling
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(size, num_classes)
        self.spelling = nn.Linear(size, num_characters) if num_characters else None

    def forward(self, inputs: Tensor, lengths: Tensor) -> ClipOutputs:
        """Predicts a batch: (B, N, D'), (B,); see `ClipOutputs`."""
        frames, num_frames = self.encoder(inputs, lengths)
        frames = self.dropout(frames)
        logits = self.head(pool_time(frames, num_frames, self.pooling))
        characters = None if self.spelling is None else self.spelling(frames)
        return ClipOutputs(logits, characters, num_frames)


def pool_time(frames: Tensor, num_frames: Tensor, pooling: TimePooling) -> Tensor:
    """Pools the real frames alone: (B, T, D), (B,) -> (B, D).

    The code released with Cai et al. (2021) averages over padded frames as well, so that there a
    clip's result depends on the longest of its batch.
    """
    is_real = torch.arange(frames.size(1), device=frames.device) < num_frames[:, None]
    total = frames.masked_fill(~is_real[..., None], 0.0).sum(dim=1)
    return total if pooling == "sum" else total / num_frames[:, None]
