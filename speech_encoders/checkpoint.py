"""Finds, digests and loads pretrained checkpoints: a local folder, the hub's cache, or the hub."""

import hashlib
import queue
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar, cast

import torch
from huggingface_hub import HfApi, ModelInfo, snapshot_download
from huggingface_hub.constants import HF_HUB_OFFLINE
from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.utils import logging

from speech_encoders import read_model_type

Model = TypeVar("Model", bound=PreTrainedModel)

_CONFIGS = ("config.json", "preprocessor_config.json", "processor_config.json")
_WEIGHTS = (
    ("model.safetensors",),
    ("model.safetensors.index.json", "model-*-of-*.safetensors"),
    ("pytorch_model.bin",),
    ("pytorch_model.bin.index.json", "pytorch_model-*-of-*.bin"),
)
_HUB_SECONDS = 4.0


def find_checkpoint(name: str) -> Path:
    """Returns the folder with a checkpoint's files, downloaded only if nothing local has them.

    Args:
        name: Local folder or Hugging Face hub id.

    Raises:
        FileNotFoundError: The folder is incomplete, or there is no such checkpoint.
    """
    folder = Path(name).expanduser()
    if not folder.is_dir():
        folder = _find_cached(name) or _download(name)
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
    """Digests weights and configuration: the same files give the same digest in any folder."""
    digest = hashlib.sha256()
    configs = [folder / name for name in _CONFIGS if (folder / name).is_file()]
    for path in [*configs, *weight_files(folder)]:
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{path.name} {content}\n".encode())
    return digest.hexdigest()


def digest_weights(weights: Mapping[str, Tensor], header: str = "") -> str:
    """Digests a header, and tensors with their names and shapes."""
    digest = hashlib.sha256(header.encode())
    for name, tensor in sorted(weights.items()):
        digest.update(f"{name} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().data)
    return digest.hexdigest()


def library_versions() -> str:
    """Returns the library versions that hidden states depend on."""
    return f"torch={version('torch')} transformers={version('transformers')}"


def load_model(
    model_class: type[Model],
    folder: Path,
    config: PreTrainedConfig | None = None,
    attention: str | None = None,
) -> tuple[Model, list[str]]:
    """Loads a folder in float32 -> the model, and the names of the weights that it lacks."""
    with quiet_loading():
        loaded = model_class.from_pretrained(
            folder,
            dtype=torch.float32,
            local_files_only=True,
            output_loading_info=True,
            config=config,
            attn_implementation=attention,
        )
    model, report = cast("tuple[Model, dict[str, set[str]]]", loaded)
    return model, sorted(report["missing_keys"])


def load_whole(
    model_class: type[Model],
    name: str,
    folder: Path,
    *,
    optional: tuple[str, ...] = (),
    config: PreTrainedConfig | None = None,
    attention: str | None = None,
) -> Model:
    """Loads a folder in float32, and in evaluation mode.

    Args:
        model_class: Class that holds the weights.
        name: What the user asked for, for errors.
        folder: Folder of the checkpoint.
        optional: Endings of weights that may be missing.
        config: Configuration, that of the folder if None.
        attention: Implementation of attention, the library's choice if None.

    Raises:
        ValueError: The checkpoint lacks weights.
    """
    model, missing = load_model(model_class, folder, config, attention)
    if missing := [key for key in missing if not key.endswith(optional)]:
        raise ValueError(
            f"{name}: the checkpoint lacks {len(missing)} weights of {type(model).__name__}, "
            f"first {missing[0]!r}; without them the features would be random"
        )
    return model.eval()


def load_encoder(model_class: type[Model], name: str) -> Model:
    """Loads the encoder of a model of this package, without decoders and heads.

    Args:
        model_class: Class of the encoder.
        name: Folder or Hugging Face hub id.

    Raises:
        FileNotFoundError: There is no such checkpoint.
        ValueError: It lacks weights, or is of another model.
    """
    folder = find_checkpoint(name)
    expected = model_class.config_class.model_type  # pyright: ignore[reportOptionalMemberAccess]
    if (model_type := read_model_type(folder)) != expected:
        raise ValueError(
            f"{name}: model type {model_type!r} is not {expected}; leave out the prefix"
        )
    return load_whole(model_class, name, folder)


@contextmanager
def quiet_loading() -> Iterator[None]:
    """Keeps transformers from printing progress and reports of weights that are not needed."""
    verbosity, has_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if has_bars:
            logging.enable_progress_bar()


def _find_cached(name: str) -> Path | None:
    try:
        folder = Path(snapshot_download(name, local_files_only=True))
    except (HFValidationError, LocalEntryNotFoundError):
        return None
    return folder if (folder / "config.json").is_file() and weight_files(folder) else None


def _download(name: str) -> Path:
    release = _ask_hub(name)
    if isinstance(release, str):
        raise FileNotFoundError(
            f"{name}: no such local folder, not in the hub's cache, and the hub gave nothing "
            f"({release}); pass the folder of a checkpoint, fbank or mfcc, or run "
            f"'hf download {name}' on a machine with internet and copy its cache"
        )
    files = [file.rfilename for file in release.siblings or []]
    patterns = [*_CONFIGS, *next((item for item in _WEIGHTS if item[0] in files), ("*.bin",))]
    return Path(snapshot_download(name, revision=release.sha, allow_patterns=patterns))


def _ask_hub(name: str) -> ModelInfo | str:
    """Asks the hub for the newest release, for a few seconds at most; a string is the error."""
    if HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    answer: queue.SimpleQueue[ModelInfo | str] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answer.put(HfApi().model_info(name, timeout=_HUB_SECONDS))
        except Exception as error:  # network libraries differ; the message reaches the user
            answer.put(f"{type(error).__name__}: {error}".splitlines()[0])

    # A thread, because resolving the host's name may hang beyond any timeout.
    threading.Thread(target=ask, daemon=True).start()
    try:
        return answer.get(timeout=_HUB_SECONDS)
    except queue.Empty:
        return f"no answer within {_HUB_SECONDS:g} s"
