"""Loads a pretrained Transformer checkpoint of any supported family as a speech encoder."""

from collections.abc import Callable
from pathlib import Path

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

_NOT_USED = "masked_spec_embed"  # only training masks frames, so many checkpoints lack it


_FAMILIES: dict[
    str, tuple[type[PreTrainedModel], str, Callable[[PreTrainedModel, Path, str], WaveformEncoder]]
] = {
    "wav2vec2": (Wav2Vec2Model, "sdpa", Wav2Vec2Encoder.from_checkpoint),
    "hubert": (HubertModel, "sdpa", Wav2Vec2Encoder.from_checkpoint),
    "wavlm": (WavLMModel, "eager", Wav2Vec2Encoder.from_checkpoint),
    "data2vec-audio": (Data2VecAudioModel, "sdpa", Wav2Vec2Encoder.from_checkpoint),
    "whisper": (WhisperModel, "sdpa", WhisperEncoder.from_checkpoint),
}
"""Of each family: its class, the fastest attention it has, (model, folder, identity) -> encoder."""


def load(name: str, device: str) -> WaveformEncoder:
    """Loads a folder or hub id in float32; errors as of `load_speech_encoder`."""
    folder = find_checkpoint(name)
    model_type = read_model_type(folder)
    if model_type is None or model_type not in _FAMILIES:
        raise ValueError(
            f"{name}: model type {model_type!r} is not supported; expected one of "
            f"{', '.join(_FAMILIES)}"
        )
    model_class, attention, build = _FAMILIES[model_type]
    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    if hasattr(config, "add_adapter"):
        config.add_adapter = False  # it shortens only the model's output, after the layers
    model = load_whole(
        model_class, name, folder, optional=_NOT_USED, config=config, attention=attention
    )
    nn.Module.to(model, device)
    identity = f"{model_type} format={FORMAT} sha256={fingerprint(folder)} {library_versions()}"
    return build(model, folder, identity)
