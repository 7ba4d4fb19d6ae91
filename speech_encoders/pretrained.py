"""Loads a pretrained Transformer checkpoint of any supported family as a speech encoder."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from torch import nn
from transformers import (
    AutoConfig,
    Data2VecAudioModel,
    HubertModel,
    PreTrainedModel,
    Wav2Vec2Model,
    WavLMModel,
    WhisperModel,
)

from speech_encoders import read_model_type
from speech_encoders.checkpoint import find_checkpoint, fingerprint, library_versions, load_whole
from speech_encoders.contract import WaveformEncoder
from speech_encoders.wav2vec2 import Wav2Vec2Encoder
from speech_encoders.whisper import WhisperEncoder

FORMAT = 1
"""Number in the identity; grows when the same checkpoint gives other features."""

_NOT_USED = ("masked_spec_embed",)  # only training masks frames, so many checkpoints lack it


class _Family(NamedTuple):
    """How the checkpoints of one model family become an encoder.

    Attributes:
        model: Class that holds the weights.
        attention: Implementation of attention: the fastest that the family has.
        build: (model, folder, identity) -> encoder.
    """

    model: type[PreTrainedModel]
    attention: str
    build: Callable[[PreTrainedModel, Path, str], WaveformEncoder]


_FAMILIES: dict[str, _Family] = {
    "wav2vec2": _Family(Wav2Vec2Model, "sdpa", Wav2Vec2Encoder.from_checkpoint),
    "hubert": _Family(HubertModel, "sdpa", Wav2Vec2Encoder.from_checkpoint),
    "wavlm": _Family(WavLMModel, "eager", Wav2Vec2Encoder.from_checkpoint),
    "data2vec-audio": _Family(Data2VecAudioModel, "sdpa", Wav2Vec2Encoder.from_checkpoint),
    "whisper": _Family(WhisperModel, "sdpa", WhisperEncoder.from_checkpoint),
}


def load(name: str, device: str) -> WaveformEncoder:
    """Loads a checkpoint in float32.

    Args:
        name: Local folder or Hugging Face hub id.
        device: Where to compute.

    Raises:
        FileNotFoundError: The checkpoint is neither local nor available from the hub.
        ValueError: The checkpoint is of another family, or lacks weights.
    """
    folder = find_checkpoint(name)
    model_type = read_model_type(folder)
    if model_type is None or model_type not in _FAMILIES:
        raise ValueError(
            f"{name}: model type {model_type!r} is not supported; expected one of "
            f"{', '.join(_FAMILIES)}"
        )
    family = _FAMILIES[model_type]
    model = _load_model(name, folder, family)
    nn.Module.to(model, device)
    identity = f"{model_type} format={FORMAT} sha256={fingerprint(folder)} {library_versions()}"
    return family.build(model, folder, identity)


def _load_model(name: str, folder: Path, family: _Family) -> PreTrainedModel:
    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    if hasattr(config, "add_adapter"):
        config.add_adapter = False  # it shortens only the model's output, after the layers
    return load_whole(
        family.model,
        name,
        folder,
        optional=_NOT_USED,
        config=config,
        attention=family.attention,
    )
