"""Interfaces of encoders, of whatever package, for extraction."""

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor


class Encoder(Protocol):
    """Properties of speech and text encoders."""

    @property
    def identity(self) -> str:
        """Text that identifies everything that the features depend on."""
        ...

    @property
    def num_layers(self) -> int:
        """Layers of hidden states (L)."""
        ...

    @property
    def hidden_size(self) -> int:
        """Features of a frame or token (D)."""
        ...


class SpeechEncoder(Encoder, Protocol):
    """Waveforms in, hidden states of all layers out."""

    @property
    def frame_rate(self) -> float:
        """Frames per second."""
        ...

    @property
    def min_samples(self) -> int:
        """Samples of the shortest clip that gives a frame."""
        ...

    def __call__(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encodes (B, S) samples at 16 kHz of (B,) lengths -> (B, L, T, D), (B,) frames."""
        ...


class TextEncoder(Encoder, Protocol):
    """Texts in, hidden states of all layers out."""

    def __call__(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Encodes B texts -> (B, L, T, D), (B,) tokens."""
        ...
