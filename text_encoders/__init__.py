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
    from pathlib import Path

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
    folder, is_sentence = _find(name)
    if is_sentence:
        from text_encoders.sentence import load_sentence_encoder

        return load_sentence_encoder(folder, device)
    from text_encoders.bert import load_bert

    return load_bert(name.removeprefix(_TOKENS), folder, device)


def identify(name: str = DEFAULT_ENCODER) -> str:
    """Returns the ``identity`` of the encoder that has a name, from its files: none is loaded.

    Raises:
        FileNotFoundError: The checkpoint is neither local nor available from the hub.
    """
    folder, is_sentence = _find(name)
    if is_sentence:
        from text_encoders.sentence import identify
    else:
        from text_encoders.bert import identify
    return identify(folder)


def _find(name: str) -> tuple[Path, bool]:
    """Returns the folder of a checkpoint, and whether its sentence embeddings are wanted."""
    from text_encoders.checkpoint import find_checkpoint

    folder = find_checkpoint(name.removeprefix(_TOKENS))
    return folder, not name.startswith(_TOKENS) and (folder / "modules.json").is_file()
