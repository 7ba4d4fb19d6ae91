"""The contract of every text encoder: strings in, hidden states of every layer out."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

_BATCH_SIZE = 64


class StringEncoder(ABC):
    """Strings in, hidden states out; padding and batch-mates never change a text's result.

    Attributes:
        identity: All that the features depend on: kind, settings, weights, format, library
            versions.
        num_layers: Layers of hidden states (L).
        hidden_size: Features of a token or sentence (D).
    """

    identity: str
    num_layers: int
    hidden_size: int

    @torch.inference_mode()
    def __call__(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Encodes texts in inference mode, in batches of similar length.

        Args:
            texts: Texts, none of them empty.

        Returns:
            Hidden states of shape (B, L, T, D), zero at padded tokens, and the number of real
            tokens of each text, shape (B,), both on the encoder's device.

        Raises:
            ValueError: There are no texts, or one is empty.
        """
        if isinstance(texts, str) or not texts:
            raise ValueError(f"texts are {texts!r}, expected a sequence of one text or more")
        if empty := [position for position, text in enumerate(texts) if not text.strip()]:
            raise ValueError(
                f"text {empty[0]} is empty ({len(empty)} of {len(texts)} are); "
                "mask utterances without words before encoding"
            )
        order = sorted(range(len(texts)), key=lambda position: len(texts[position]))
        states: list[Tensor] = [torch.empty(0)] * len(texts)
        for first in range(0, len(order), _BATCH_SIZE):
            positions = order[first : first + _BATCH_SIZE]
            batch, counts = self.encode([texts[position] for position in positions])
            for position, state, count in zip(positions, batch, counts.tolist(), strict=True):
                states[position] = state[:count]
        num_tokens = torch.tensor([len(state) for state in states], device=states[0].device)
        return nn.utils.rnn.pad_sequence(states, batch_first=True).transpose(1, 2), num_tokens

    @abstractmethod
    def encode(self, texts: list[str]) -> tuple[Tensor, Tensor]:
        """Encodes one batch: B texts -> (B, T, L, D), (B,)."""
