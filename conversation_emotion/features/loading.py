"""Loads an encoder by name, through the entry points of the packages that bring encoders.

The group ``conversation_emotion.encoders`` holds ``speech`` and ``text``, the loaders of the two
built-in packages; every other entry is an encoder NAME of another package, given as a factory.
"""

from importlib.metadata import entry_points

from conversation_emotion.features.encoders import Encoder

GROUP = "conversation_emotion.encoders"


def load_encoder(modality: str, name: str, device: str | None = None) -> Encoder:
    """Loads an encoder.

    Args:
        modality: ``speech`` or ``text``.
        name: Name of an entry point, else whatever the built-in loader of the modality takes.
        device: Where it computes; None takes a GPU if there is one.

    Raises:
        ModuleNotFoundError: The built-in loaders are not installed.
    """
    import torch

    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    found = {entry.name: entry for entry in entry_points(group=GROUP)}
    if name in found and name not in ("speech", "text"):
        return found[name].load()(device=device)
    if modality not in found:
        raise ModuleNotFoundError(
            f"no loader of {modality} encoders is installed; run 'pip install -e .' in the "
            "repository, or 'pip install conversation-emotion'"
        )
    return found[modality].load()(name, device=device)
