"""Finds, digests and loads pretrained checkpoints: a local folder, the hub's cache, or the hub.

Shared with the text encoders, whose folders have other files beside the weights.
"""

import hashlib
import json
import logging
import queue
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

import torch
from huggingface_hub import HfApi, ModelInfo, snapshot_download
from huggingface_hub.constants import HF_HUB_OFFLINE
from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError
from safetensors import SafetensorError, safe_open
from torch import Tensor

from speech_encoders import read_model_type

if TYPE_CHECKING:  # what only identifies a checkpoint does without its import, which takes seconds
    from transformers import PreTrainedConfig, PreTrainedModel

Model = TypeVar("Model", bound="PreTrainedModel")

_logger = logging.getLogger(__name__)

_CONFIGS = ("config.json", "preprocessor_config.json", "processor_config.json")
_WEIGHTS = (
    ("model.safetensors",),
    ("model.safetensors.index.json", "model-*-of-*.safetensors"),
    ("pytorch_model.bin",),
    ("pytorch_model.bin.index.json", "pytorch_model-*-of-*.bin"),
)
_ADAPTER = "adapter_config.json"
_HUB_SECONDS = 4.0


def find_checkpoint(
    name: str,
    configs: Sequence[str] = _CONFIGS,
    *,
    shipped: Path | None = None,
    remedy: str = "pass the folder of a checkpoint, fbank or mfcc",
) -> Path:
    """Returns the folder with a checkpoint's files, downloaded only if nothing local has them.

    Args:
        name: Local folder or Hugging Face hub id.
        configs: Patterns of the files to download besides the weights.
        shipped: Folder of an installed package with the same files, for want of the hub.
        remedy: What to do without the hub, for errors.

    Raises:
        FileNotFoundError: The folder is incomplete, or there is no such checkpoint.
        ValueError: A file of weights is broken.
    """
    folder = Path(name).expanduser()
    if not folder.is_dir():
        folder = _find_cached(name) or _download(name, configs, shipped, remedy)
    if not _is_complete(folder):
        if (folder / _ADAPTER).is_file():
            raise FileNotFoundError(
                f"{name}: {folder} holds a low-rank adapter alone ({_ADAPTER}); merge it into its "
                "model (peft's merge_and_unload), and pass the folder that save_pretrained writes"
            )
        raise FileNotFoundError(
            f"{name}: {folder} lacks config.json or weights (model.safetensors or "
            "pytorch_model.bin); pass a folder that save_pretrained wrote"
        )
    for file in weight_files(folder):
        if fault := _find_fault(file):
            raise ValueError(f"{name}: {file} {fault}")
    return folder


def weight_files(folder: Path) -> list[Path]:
    """Lists the weight files that transformers would load; empty if there are none."""
    for patterns in _WEIGHTS:
        if files := sorted(path for pattern in patterns for path in folder.glob(pattern)):
            return files
    return []


def fingerprint(folder: Path, configs: Sequence[str] = _CONFIGS) -> str:
    """Digests weights and configurations: the same files give the same digest in any folder."""
    digest = hashlib.sha256()
    found = {path for pattern in configs for path in folder.glob(pattern) if path.is_file()}
    for path in [*sorted(found), *weight_files(folder)]:
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{path.relative_to(folder)} {content}\n".encode())
    return digest.hexdigest()


def digest_weights(weights: Mapping[str, Tensor], header: str = "") -> str:
    """Digests a header, and tensors with their names and shapes."""
    digest = hashlib.sha256(header.encode())
    for name, tensor in sorted(weights.items()):
        digest.update(f"{name} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().data)
    return digest.hexdigest()


def library_versions(*packages: str) -> str:
    """Returns versions of packages, by default of those that hidden states depend on."""
    packages = packages or ("torch", "transformers")
    return " ".join(f"{package}={version(package)}" for package in packages)


@contextmanager
def naming_errors(folder: Path) -> Iterator[None]:
    """Turns whatever a library raises on a checkpoint into an error of one line with its folder.

    Raises:
        ValueError: The library raised anything but a lack of memory.
    """
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:  # torch, safetensors and configurations raise kinds of their own
        files = ", ".join(file.name for file in (folder / "config.json", *weight_files(folder)))
        first = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
        raise ValueError(
            f"{folder}: the checkpoint does not load ({type(error).__name__}: {first[:200]}); its "
            f"files are {files}: fetch them again, or pass a folder that save_pretrained wrote"
        ) from error


def load_model(
    model_class: type[Model],
    folder: Path,
    config: "PreTrainedConfig | None" = None,
    attention: str | None = None,
    renamed: dict[str, str] | None = None,
) -> tuple[Model, list[str]]:
    """Loads a folder in float32 -> the model, and the names of the weights that it lacks.

    ``renamed`` are patterns of the names of weights with what replaces them.

    Raises:
        ValueError: The folder does not load, or its weights have other shapes than the model.
    """
    with quiet_loading(), naming_errors(folder):
        _check_size(model_class, folder, config)
        loaded = model_class.from_pretrained(
            folder,
            dtype=torch.float32,
            local_files_only=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # the library's own error does not say which
            config=config,
            attn_implementation=attention,
            key_mapping=renamed,
        )
    model, report = cast("tuple[Model, dict[str, set]]", loaded)
    if wrong := sorted(report["mismatched_keys"]):
        key, found, expected = wrong[0]
        raise ValueError(
            f"{folder}: {len(wrong)} weights do not fit config.json, first {key!r} of shape "
            f"{tuple(found)} instead of {tuple(expected)}; pass files that belong together"
        )
    if renamed:  # else the library undoes this when it saves, by a pattern that is no name
        vars(model).pop("_weight_conversions", None)
    return model, sorted(report["missing_keys"])


def _check_size(model_class: type[Model], folder: Path, config: "PreTrainedConfig | None") -> None:
    """Refuses a configuration of more numbers than the weights have bytes: they would be made up.

    Raises:
        ValueError: It does, whatever memory it would take.
    """
    from transformers import AutoConfig

    kind = getattr(model_class, "config_class", None) or AutoConfig
    make = getattr(model_class, "from_config", model_class)  # of AutoModel, which is no class
    with torch.device("meta"):  # takes no memory
        model = make(config or kind.from_pretrained(folder))
    described = sum(weight.numel() for weight in model.parameters())
    held = sum(file.stat().st_size for file in weight_files(folder))
    if described > held:
        raise ValueError(
            f"config.json describes {described:,} numbers, weights have {held:,} bytes"
        )


def load_whole(
    model_class: type[Model],
    name: str,
    folder: Path,
    *,
    optional: str = "",
    config: "PreTrainedConfig | None" = None,
    attention: str | None = None,
    renamed: dict[str, str] | None = None,
) -> Model:
    """Loads a folder in float32, and in evaluation mode.

    Args:
        model_class: Class that holds the weights.
        name: What the user asked for, for errors.
        folder: Folder of the checkpoint.
        optional: Part of the name of weights that may be missing; none if empty.
        config: Configuration, that of the folder if None.
        attention: Implementation of attention, the library's choice if None.
        renamed: Patterns of the names of weights with what replaces them.

    Raises:
        ValueError: The checkpoint does not load, or lacks weights.
    """
    model, missing = load_model(model_class, folder, config, attention, renamed)
    if missing := [key for key in missing if not optional or optional not in key]:
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
    from transformers.utils import logging as messages

    verbosity, has_bars = messages.get_verbosity(), messages.is_progress_bar_enabled()
    messages.set_verbosity_error()
    messages.disable_progress_bar()
    try:
        yield
    finally:
        messages.set_verbosity(verbosity)
        if has_bars:
            messages.enable_progress_bar()


def _is_complete(folder: Path) -> bool:
    return (folder / "config.json").is_file() and bool(weight_files(folder))


def _find_fault(file: Path) -> str | None:
    """Returns what is wrong with a file of weights and what to do, None if nothing is seen."""
    with file.open("rb") as opened:
        start = opened.read(100)
    if start.startswith(b"version https://git-lfs"):
        return "is a pointer of git-lfs; run 'git lfs pull' in its folder"
    if re.match(rb"\s*<(!doctype|html|head|\?xml)", start, re.IGNORECASE):
        return "is a web page; download the file itself"
    if not start:
        return "is empty; fetch it again"
    if file.suffix == ".safetensors":
        try:
            with safe_open(file, framework="pt"):  # reads the header, and compares the size
                pass
        except SafetensorError as error:
            return f"is cut or broken ({error}); fetch it again"
    if file.name.endswith(".index.json"):
        try:
            parts = json.loads(file.read_text("utf-8"))["weight_map"].values()
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return f"is no index of weights ({type(error).__name__}: {error}); fetch it again"
        if absent := sorted({x for x in parts if not (file.parent / x).is_file()}):
            return f"lists {len(absent)} files that are missing, first {absent[0]}; fetch them"
    return None


def _find_cached(name: str) -> Path | None:
    try:
        folder = Path(snapshot_download(name, local_files_only=True))
    except (HFValidationError, LocalEntryNotFoundError):
        return None
    return folder if _is_complete(folder) else None


def _download(name: str, configs: Sequence[str], shipped: Path | None, remedy: str) -> Path:
    release = ask_hub(name)
    if not isinstance(release, str):
        files = [file.rfilename for file in release.siblings or []]
        patterns = [*configs, *next((item for item in _WEIGHTS if item[0] in files), ("*.bin",))]
        return Path(snapshot_download(name, revision=release.sha, allow_patterns=patterns))
    if shipped is not None:
        _logger.info("%s: weights of the pip package %s (%s)", name, shipped.parent.name, release)
        return shipped
    raise FileNotFoundError(
        f"{name}: no such local folder, not in the hub's cache, and the hub gave nothing "
        f"({release}); {remedy}, or run 'hf download {name}' on a machine with internet and copy "
        "its cache"
    )


def ask_hub(name: str) -> ModelInfo | str:
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
