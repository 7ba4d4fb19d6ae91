"""Loads encoders by name from whatever package offers them."""

from importlib.metadata import entry_points

from conversation_emotion.features.encoders import Encoder


def load_encoder(modality: str, name: str, device: str | None = None) -> Encoder:
    """Loads an encoder; the device is a GPU where there is one, unless it is given."""
    import torch

    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    (loader,) = entry_points(group="conversation_emotion.encoders", name=modality)
    return loader.load()(name, device=device)
