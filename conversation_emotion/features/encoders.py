"""Encoders of whatever package: their interfaces, and loading them by name."""

from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import entry_points
from typing import Protocol

import torch
from torch import Tensor

GROUP = "conversation_emotion.encoders"
"""Group of entry points. ``speech`` and ``text`` are the loaders of the built-in packages, which
take a name and a device; every other is an encoder of that name, and takes a device."""


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


def load_encoder(modality: str, name: str, device: str | None = None) -> Encoder:
    """Loads a built-in encoder, or the one of another package with this name.

    The modality is ``speech`` or ``text``. The device is for instance ``cuda:0``; None is a GPU
    where there is one.

    Raises:
        ModuleNotFoundError: The project itself was never installed.
        ValueError: Two encoders have this name.
    """
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    entries = entry_points(group=GROUP)
    built_in = next((entry for entry in entries if entry.name == modality), None)
    if built_in is None:
        raise ModuleNotFoundError(
            f"no package brings {modality} encoders (entry point {modality!r} of {GROUP}): install "
            "the project once with pip install -e ., a checkout alone has no entry points"
        )
    others = [entry for entry in entries if entry.name == name != modality]
    package = import_module(built_in.module)
    if name in (*getattr(package, "BUILDERS", ()), getattr(package, "DEFAULT_ENCODER", None)):
        others.append(built_in)
    if len(others) > 1:
        places = " and ".join(entry.value for entry in others)
        raise ValueError(f"two encoders are named {name!r}: {places}; uninstall or rename one")
    if others and others[0] is not built_in:
        return others[0].load()(device=device)
    return built_in.load()(name, device=device)
