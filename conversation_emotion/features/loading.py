"""Encoders by name, from whatever package has them as an entry point."""

from importlib import import_module
from importlib.metadata import entry_points

from conversation_emotion.features.encoders import Encoder

GROUP = "conversation_emotion.encoders"
"""Group of entry points. ``speech`` and ``text`` are the loaders of the built-in packages, which
take a name and a device; every other is an encoder of that name, and takes a device."""


def load_encoder(modality: str, name: str, device: str | None = None) -> Encoder:
    """Loads a built-in encoder, or the one of another package with this name.

    The modality is ``speech`` or ``text``. The device is for instance ``cuda:0``; None is a GPU
    where there is one.

    Raises:
        ModuleNotFoundError: The project itself was never installed.
        ValueError: Two encoders have this name.
    """
    import torch

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
