"""Loads a pretrained Transformer checkpoint as a speech encoder, whichever family it is of."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

import torch
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

from speech_encoders.checkpoint import (
    find_checkpoint,
    fingerprint,
    library_versions,
    quiet_loading,
)
from speech_encoders.wav2vec2 import Wav2Vec2Encoder
from speech_encoders.whisper import WhisperEncoder

if TYPE_CHECKING:
    from speech_encoders import SpeechEncoder

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
    build: "Callable[[PreTrainedModel, Path, str], SpeechEncoder]"


_FAMILIES: dict[str, _Family] = {
    "wav2vec2": _Family(Wav2Vec2Model, "sdpa", Wav2Vec2Encoder.from_checkpoint),
    "hubert": _Family(HubertModel, "sdpa", Wav2Vec2Encoder.from_checkpoint),
    "wavlm": _Family(WavLMModel, "eager", Wav2Vec2Encoder.from_checkpoint),
    "data2vec-audio": _Family(Data2VecAudioModel, "sdpa", Wav2Vec2Encoder.from_checkpoint),
    "whisper": _Family(WhisperModel, "sdpa", WhisperEncoder.from_checkpoint),
}


def load_pretrained(name: str, device: str) -> "SpeechEncoder":
    """Loads a checkpoint in float32.

    Args:
        name: Local folder or Hugging Face hub id.
        device: Where to compute.

    Raises:
        FileNotFoundError: The checkpoint is neither here nor to be had from the hub.
        ValueError: The checkpoint is of another family, or lacks weights.
    """
    folder = find_checkpoint(name)
    model_type = json.loads((folder / "config.json").read_text()).get("model_type")
    if model_type not in _FAMILIES:
        raise ValueError(
            f"{name}: model type {model_type!r} is not supported; expected one of "
            f"{', '.join(_FAMILIES)}"
        )
    family = _FAMILIES[model_type]
    model = _load_model(name, folder, family).eval()
    nn.Module.to(model, device)
    identity = f"{model_type} format={FORMAT} sha256={fingerprint(folder)} {library_versions()}"
    return family.build(model, folder, identity)


def _load_model(name: str, folder: Path, family: _Family) -> PreTrainedModel:
    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    if hasattr(config, "add_adapter"):
        config.add_adapter = False  # it shortens only the model's output, behind the layers
    with quiet_loading():
        loaded = family.model.from_pretrained(
            folder,
            config=config,
            attn_implementation=family.attention,
            dtype=torch.float32,
            local_files_only=True,
            output_loading_info=True,
        )
    model, report = cast("tuple[PreTrainedModel, dict[str, set[str]]]", loaded)
    if missing := sorted(key for key in report["missing_keys"] if not key.endswith(_NOT_USED)):
        raise ValueError(
            f"{name}: the checkpoint lacks {len(missing)} weights of {type(model).__name__}, "
            f"first {missing[0]!r}; without them the features would be random"
        )
    return model
