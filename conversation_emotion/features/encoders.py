"""Encoders of whatever package: their interfaces, and loading them by name."""

import sys
from collections.abc import Callable, Sequence
from functools import cache, cached_property, partial
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Protocol, cast

import torch
from torch import Tensor

GROUP = "conversation_emotion.encoders"
"""Group of entry points. ``speech`` and ``text`` are the loaders of the built-in packages, which
take a name and a device; every other is an encoder of that name, and takes a device. A built-in
package that has ``identify`` gives the identity of a name without loading it, None where it cannot;
that of speech has ``load_transcriber`` as well.
"""


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


class Transcript(Protocol):
    """What is said in a clip, its language, and why there are no words."""

    @property
    def text(self) -> str:
        """The words; empty if there are none."""
        ...

    @property
    def language(self) -> str:
        """Code of the language, such as ``en``."""
        ...

    @property
    def problem(self) -> str:
        """Why there are no words; else empty."""
        ...


class Transcriber(Protocol):
    """Waveforms in, words out."""

    name: str
    max_samples: int

    @property
    def identity(self) -> str:
        """Text that identifies everything that the words depend on, but sound and language."""
        ...

    def find_language(self, name: str) -> str:
        """Returns the code of a language; a `ValueError` says that there is none of the name."""
        ...

    def detect(self, waveforms: Tensor, lengths: Tensor) -> Sequence[str]:
        """Returns the code of the language of each clip: (B, S), (B,) -> B."""
        ...

    def __call__(
        self, waveforms: Tensor, lengths: Tensor, languages: Sequence[str | None]
    ) -> Sequence[Transcript]:
        """Writes down clips of up to ``max_samples`` at 16 kHz, in given or detected languages."""
        ...


class LazyEncoder:
    """An encoder that is known by its files, and loaded when more than its identity is needed.

    So a corpus whose features are all stored needs neither weights nor the library that runs them.

    Args:
        identity: What the loaded encoder has as its own.
        load: Loads it.
    """

    def __init__(self, identity: str, load: Callable[[], Encoder]) -> None:
        self.identity = identity
        self._load = load

    @cached_property
    def _loaded(self) -> Any:
        encoder = self._load()
        if encoder.identity != self.identity:
            raise RuntimeError(
                f"an encoder changed while it was used: {encoder.identity}, expected "
                f"{self.identity}; start the command again"
            )
        return encoder

    def __call__(self, *inputs: Any) -> tuple[Tensor, Tensor]:
        """Encodes a batch, see `SpeechEncoder` and `TextEncoder`."""
        return self._loaded(*inputs)

    def __getattr__(self, name: str) -> Any:
        """Asks the loaded encoder."""
        if name.startswith("_"):  # of Python's own protocols, such as copying
            raise AttributeError(name)
        return getattr(self._loaded, name)


def load_encoder(modality: str, name: str, device: str | None = None) -> Encoder:
    """Loads a built-in encoder, or the one of another package with this name.

    One that its files identify is loaded when it first encodes, see `LazyEncoder`. The modality is
    ``speech`` or ``text``. The device is for instance ``cuda:0``; None is a GPU where there is one.

    Raises:
        ModuleNotFoundError: The project itself was never installed.
        ValueError: Two encoders have this name.
    """
    device = device or find_device()
    built_in = _find_package(modality)
    others = [entry for entry in list_entries(*sys.path) if entry.name == name != modality]
    package = import_module(built_in.module)
    if name in (*getattr(package, "BUILDERS", ()), getattr(package, "DEFAULT_ENCODER", None)):
        others.append(built_in)
    if len(others) > 1:
        places = " and ".join(entry.value for entry in others)
        raise ValueError(f"two encoders are named {name!r}: {places}; uninstall or rename one")
    if others and others[0] is not built_in:
        return others[0].load()(device=device)
    load = partial(built_in.load(), name, device=device)
    identify = getattr(package, "identify", None)
    identity = None if identify is None else identify(name)
    return load() if identity is None else cast(Encoder, LazyEncoder(identity, load))


def load_transcriber(name: str, device: str | None = None) -> Transcriber:
    """Loads what writes down words, of the package of speech encoders: Whisper by hub id or folder.

    Raises:
        FileNotFoundError: There is no such checkpoint, or it lacks files that words need.
        ModuleNotFoundError: The project itself was never installed.
        ValueError: The checkpoint is of another model family, or an encoder alone.
    """
    package = import_module(_find_package("speech").module)
    return package.load_transcriber(name, device=device or find_device())


def find_device() -> str:
    """Returns where encoders compute by default: a GPU where there is one."""
    return "cuda" if torch.cuda.is_available() else "cpu"


@cache
def list_entries(*folders: str) -> tuple[EntryPoint, ...]:
    """Lists the encoders of the packages installed in folders, all of ``sys.path``, once."""
    return tuple(entry_points(group=GROUP))


def _find_package(modality: str) -> EntryPoint:
    """Returns the entry point of a built-in package."""
    for entry in list_entries(*sys.path):
        if entry.name == modality:
            return entry
    raise ModuleNotFoundError(
        f"no package brings {modality} encoders (entry point {modality!r} of {GROUP}): install "
        "the project once with pip install -e ., a checkout alone has no entry points"
    )
