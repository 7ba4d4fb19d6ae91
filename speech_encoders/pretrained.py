"""Loads a pretrained Transformer checkpoint of any supported family as a speech encoder."""

from pathlib import Path
from typing import Any

from torch import nn
from transformers import (
    AutoConfig,
    Data2VecAudioModel,
    HubertModel,
    PreTrainedModel,
    SequenceFeatureExtractor,
    Wav2Vec2Model,
    WavLMModel,
)

from speech_encoders import read_model_type
from speech_encoders.checkpoint import (
    find_checkpoint,
    fingerprint,
    library_versions,
    load_whole,
    naming_errors,
)
from speech_encoders.contract import WaveformEncoder
from speech_encoders.wav2vec2 import Wav2Vec2Encoder
from speech_encoders.waveforms import SAMPLE_RATE
from speech_encoders.whisper.encoder import WhisperEncoder
from speech_encoders.whisper.log_mel import HOP, WINDOW
from speech_encoders.whisper.modeling import WhisperModel

FORMAT = 1
"""Number in the identity; grows when the same checkpoint gives other features."""

_PADDED = "padded:"

_NOT_USED = "masked_spec_embed"  # only training masks frames, so many checkpoints lack it

_FAMILIES: dict[str, tuple[type[PreTrainedModel], str]] = {
    "wav2vec2": (Wav2Vec2Model, "sdpa"),
    "hubert": (HubertModel, "sdpa"),
    "wavlm": (WavLMModel, "eager"),
    "data2vec-audio": (Data2VecAudioModel, "sdpa"),
    "whisper": (WhisperModel, "sdpa"),
}
"""Of each family: its class, and the fastest attention it has."""

_RENAMED = {"whisper": {r"^(?:model\.)?encoder\.": ""}}
"""How the weights of the part that is used are named in a whole model or a classifier."""


def load(name: str, device: str) -> WaveformEncoder:
    """Loads a folder or hub id in float32, ``padded:`` before one of Whisper for windows of 30 s.

    Errors are those of `load_speech_encoder`.
    """
    source = name.removeprefix(_PADDED)
    folder = find_checkpoint(source)
    model_type = read_model_type(folder)
    if model_type is None or model_type not in _FAMILIES:
        raise ValueError(
            f"{name}: model type {model_type!r} is not supported; expected one of "
            f"{', '.join(_FAMILIES)}"
        )
    is_padded = source != name
    if is_padded and model_type != "whisper":
        raise ValueError(f"{name}: only Whisper is padded, not {model_type}; leave out {_PADDED}")
    model_class, attention = _FAMILIES[model_type]
    with naming_errors(folder):
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
    if hasattr(config, "add_adapter"):
        config.add_adapter = False  # it shortens only the model's output, after the layers
    model = load_whole(
        model_class,
        name,
        folder,
        optional=_NOT_USED,
        config=config,
        attention=attention,
        renamed=_RENAMED.get(model_type),
    )
    nn.Module.to(model, device)
    digest = f"sha256={fingerprint(folder)} {library_versions()}"
    if isinstance(model, WhisperModel):
        _check_log_mel(folder, model.num_mel_bins)
        identity = f"whisper format=2 padded={is_padded} {digest}"
        return WhisperEncoder(model, identity=identity, padded=is_padded)
    is_normalised = bool(_read_preparation(folder).get("do_normalize", True))
    identity = f"{model_type} format={FORMAT} {digest}"
    with naming_errors(folder):
        return Wav2Vec2Encoder(model, identity=identity, do_normalize=is_normalised)


def _read_preparation(folder: Path) -> dict[str, Any]:
    """Reads how a model expects its clips.

    Raises:
        ValueError: The folder does not say, or the clips are of another sampling rate.
    """
    names = ("preprocessor_config.json", "processor_config.json")
    if not any((folder / name).is_file() for name in names):
        raise ValueError(
            f"{folder}: has no {names[0]}, so how its clips must be prepared is unknown; copy that "
            "file from the checkpoint that this one was made of"
        )
    with naming_errors(folder):
        settings, _ = SequenceFeatureExtractor.get_feature_extractor_dict(
            folder, local_files_only=True
        )
    if (rate := settings.get("sampling_rate", SAMPLE_RATE)) != SAMPLE_RATE:
        raise ValueError(
            f"{folder}: expects speech at {rate} Hz, but waveforms have {SAMPLE_RATE} Hz; choose "
            "another checkpoint"
        )
    return settings


def _check_log_mel(folder: Path, num_mel_bins: int) -> None:
    """Raises a `ValueError` unless the spectra are those that Whisper reads."""
    settings = _read_preparation(folder)
    expected = {"feature_size": num_mel_bins, "n_fft": WINDOW, "hop_length": HOP}
    for name, value in expected.items():
        if (found := settings.get(name, value)) != value:
            raise ValueError(
                f"{folder}: its clips are prepared with {name} {found}, the model expects {value}; "
                "pass files that belong together"
            )
