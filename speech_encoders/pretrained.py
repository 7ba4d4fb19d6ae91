"""Loads a pretrained Transformer checkpoint of any supported family as a speech encoder."""

from importlib import import_module
from pathlib import Path
from typing import Any

from torch import nn

from speech_encoders import read_model_type
from speech_encoders.checkpoint import (
    find_checkpoint,
    fingerprint,
    library_versions,
    load_whole,
    naming_errors,
)
from speech_encoders.contract import WaveformEncoder
from speech_encoders.waveforms import SAMPLE_RATE

FORMAT = 1
"""Number in the identity; grows when the same checkpoint gives other features."""

_PADDED = "padded:"

_PREPARATIONS = ("preprocessor_config.json", "processor_config.json")
"""Files of a checkpoint that say how its clips are prepared."""

_NOT_USED = "masked_spec_embed"  # only training masks frames, so many checkpoints lack it

_FAMILIES = {
    "wav2vec2": ("transformers.models.wav2vec2.modeling_wav2vec2", "Wav2Vec2Model", "sdpa"),
    "hubert": ("transformers.models.hubert.modeling_hubert", "HubertModel", "sdpa"),
    "wavlm": ("speech_encoders.wavlm", "WavLMModel", "eager"),  # fused in a way of its own
    "data2vec-audio": (
        "transformers.models.data2vec.modeling_data2vec_audio",
        "Data2VecAudioModel",
        "sdpa",
    ),
    "whisper": ("speech_encoders.whisper.modeling", "WhisperModel", "sdpa"),
}
"""Of each family: module and class of its model, and the fastest attention it has."""

_RENAMED = {"whisper": {r"^(?:model\.)?encoder\.": ""}}
"""How the weights of the part that is used are named in a whole model or a classifier."""


def identify(name: str) -> str:
    """Returns the identity of the encoder of a folder or hub id, from its files alone."""
    return _identify(name, *_find(name))


def _identify(name: str, folder: Path, model_type: str) -> str:
    version = f"format={FORMAT}"
    if model_type == "whisper":
        version = f"format=2 padded={name.startswith(_PADDED)}"
    return f"{model_type} {version} sha256={fingerprint(folder)} {library_versions()}"


def _find(name: str) -> tuple[Path, str]:
    """Returns the folder of a checkpoint, and its family."""
    folder = find_checkpoint(name.removeprefix(_PADDED))
    model_type = read_model_type(folder)
    if model_type is None or model_type not in _FAMILIES:
        raise ValueError(
            f"{name}: model type {model_type!r} is not supported; expected one of "
            f"{', '.join(_FAMILIES)}"
        )
    if name.startswith(_PADDED) and model_type != "whisper":
        raise ValueError(f"{name}: only Whisper is padded, not {model_type}; leave out {_PADDED}")
    return folder, model_type


def load(name: str, device: str) -> WaveformEncoder:
    """Loads a folder or hub id in float32, ``padded:`` before one of Whisper for windows of 30 s.

    Errors are those of `load_speech_encoder`.
    """
    from transformers import AutoConfig

    from speech_encoders.wav2vec2 import Wav2Vec2Encoder
    from speech_encoders.whisper.encoder import WhisperEncoder

    folder, model_type = _find(name)
    module, class_name, attention = _FAMILIES[model_type]
    model_class = getattr(import_module(module), class_name)
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
    identity = _identify(name, folder, model_type)
    if model_type == "whisper":
        _check_log_mel(folder, config.num_mel_bins)
        return WhisperEncoder(model, identity=identity, padded=name.startswith(_PADDED))
    is_normalised = bool(_read_preparation(folder).get("do_normalize", True))
    with naming_errors(folder):
        return Wav2Vec2Encoder(model, identity=identity, do_normalize=is_normalised)


def _has_preparation(folder: Path) -> bool:
    return any((folder / name).is_file() for name in _PREPARATIONS)


def _read_preparation(folder: Path) -> dict[str, Any]:
    """Reads how a model expects its clips.

    Raises:
        ValueError: The folder does not say, or the clips are of another sampling rate.
    """
    from transformers import SequenceFeatureExtractor

    if not _has_preparation(folder):
        raise ValueError(
            f"{folder}: has no {_PREPARATIONS[0]}, so how its clips must be prepared is unknown; "
            "copy that file from the checkpoint that this one was made of"
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
    from speech_encoders.whisper.log_mel import HOP, WINDOW

    if not _has_preparation(folder):  # of an encoder alone; every Whisper has the same windows
        print(f"note: {folder} has no {_PREPARATIONS[0]}; its spectra are those of Whisper")
        return
    settings = _read_preparation(folder)
    expected = {"feature_size": num_mel_bins, "n_fft": WINDOW, "hop_length": HOP}
    for name, value in expected.items():
        if (found := settings.get(name, value)) != value:
            raise ValueError(
                f"{folder}: its clips are prepared with {name} {found}, the model expects {value}; "
                "pass files that belong together"
            )
