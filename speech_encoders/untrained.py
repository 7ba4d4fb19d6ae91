"""An encoder whose weights are random: what its architecture gives before any training."""

from pathlib import Path

import torch
from torch import nn

from speech_encoders import read_model_type
from speech_encoders.emotion2vec.configuration import SIZES, Emotion2vecConfig
from speech_encoders.emotion2vec.encoder import Emotion2vecEncoder
from speech_encoders.emotion2vec.modeling import Emotion2vecModel

PREFIX = "untrained:"

SEED = 0
"""Seed of the random weights, so that the same name always gives the same encoder."""


def load(name: str, device: str) -> Emotion2vecEncoder:
    """Builds emotion2vec of a size, or of a folder's shape; errors as of `load_speech_encoder`."""
    config = _find_config(name.removeprefix(PREFIX))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        model = Emotion2vecModel(config)
    nn.Module.to(model.eval(), device)
    return Emotion2vecEncoder(model)


def _find_config(source: str) -> Emotion2vecConfig:
    for size in SIZES:
        if source == size:
            return Emotion2vecConfig.of_size(size)
    folder = Path(source).expanduser()
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(
            f"{PREFIX}{source}: no config.json in {folder}; pass a folder of emotion2vec, or one "
            f"of its sizes: {', '.join(SIZES)}"
        )
    if (model_type := read_model_type(folder)) != Emotion2vecConfig.model_type:
        raise ValueError(
            f"{PREFIX}{source}: model type {model_type!r} is not emotion2vec, the only one that "
            "can be untrained"
        )
    return Emotion2vecConfig.from_pretrained(folder, local_files_only=True)
