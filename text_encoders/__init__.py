"""Text encoders: strings in, hidden states of every layer out.

Leaves of the suite: no encoder knows tables, corpora or experiments. `load_text_encoder` turns a
name into one; all of them answer the same call, `TextEncoder`.

Tensor shapes are written with one alphabet:

    B  texts in a batch     L  layers of an encoder
    T  tokens               D  features
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor

DEFAULT_ENCODER = "all-MiniLM-L6-v2"
"""Small sentence encoder whose weights also come as a pip package, so that it works offline."""

_TOKENS = "tokens:"


class TextEncoder(Protocol):
    """Turns texts into hidden states; padding and batch-mates never change a text's result."""

    @property
    def identity(self) -> str:
        """All that the features depend on: kind, settings, weights, format, library versions."""
        ...

    @property
    def num_layers(self) -> int:
        """Layers of hidden states (L)."""
        ...

    @property
    def hidden_size(self) -> int:
        """Features of a token or sentence (D)."""
        ...

    def __call__(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Encodes texts in inference mode; batches of similar length are formed inside.

        Args:
            texts: Texts, none of them empty.

        Returns:
            Hidden states of shape (B, L, T, D), zero at padded tokens, and the number of real
            tokens of each text, shape (B,), both on the encoder's device.

        Raises:
            ValueError: There are no texts, or one is empty.
        """
        ...


def load_text_encoder(name: str = DEFAULT_ENCODER, *, device: str = "cpu") -> TextEncoder:
    """Loads a text encoder.

    A sentence-transformers model gives one vector per text, its own pooling and normalisation
    included; any other BERT-like checkpoint gives a vector per token and layer, and so does a
    sentence-transformers model behind the prefix ``tokens:``.

    Args:
        name: Hugging Face hub id, local folder, or ``all-MiniLM-L6-v2``, the default.
        device: Where it computes, for instance ``cpu`` or ``cuda:0``.

    Raises:
        FileNotFoundError: The checkpoint is neither here nor to be had from the hub.
        ValueError: The checkpoint is no text encoder, or lacks weights.
    """
    from text_encoders.checkpoint import find_checkpoint

    wants_tokens = name.startswith(_TOKENS)
    name = name.removeprefix(_TOKENS)
    folder = find_checkpoint(name)
    if not wants_tokens and (folder / "modules.json").is_file():
        from text_encoders.sentence import load_sentence_encoder

        return load_sentence_encoder(folder, device)
    from text_encoders.bert import load_bert

    return load_bert(name, folder, device)
