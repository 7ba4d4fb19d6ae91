"""Text encoders: strings in, hidden states of every layer out.

Leaves of the suite: no encoder depends on tables, corpora or experiments. `load_text_encoder` loads
one by its name; all are a `text_encoders.contract.StringEncoder`.

Tensor shapes are written with one alphabet:

    B  texts in a batch     L  layers of an encoder
    T  tokens               D  features
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from text_encoders.contract import StringEncoder

DEFAULT_ENCODER = "all-MiniLM-L6-v2"
"""Small sentence encoder whose weights also come as a pip package, so that it works offline."""

_TOKENS = "tokens:"


def load_text_encoder(name: str = DEFAULT_ENCODER, *, device: str = "cpu") -> StringEncoder:
    """Loads a text encoder.

    A sentence-transformers model gives one vector per text, its own pooling and normalisation
    included; any other BERT-like checkpoint gives a vector per token and layer, and so does a
    sentence-transformers model with the prefix ``tokens:``.

    Args:
        name: Hugging Face hub id, local folder, or ``all-MiniLM-L6-v2``, the default.
        device: Where it computes, for instance ``cpu`` or ``cuda:0``.

    Raises:
        FileNotFoundError: The checkpoint is neither local nor available from the hub.
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
