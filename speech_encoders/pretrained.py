"""Loads a pretrained Transformer checkpoint of any supported family as a speech encoder."""

from importlib import import_module
from pathlib import Path

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

_NOT_USED = "masked_spec_embed"  # only training masks frames, so many checkpoints lack it

_FAMILIES = {
    "wav2vec2": ("wav2vec2.modeling_wav2vec2", "Wav2Vec2Model", "sdpa"),
    "hubert": ("hubert.modeling_hubert", "HubertModel", "sdpa"),
    "wavlm": ("wavlm.modeling_wavlm", "WavLMModel", "eager"),
    "data2vec-audio": ("data2vec.modeling_data2vec_audio", "Data2VecAudioModel", "sdpa"),
    "whisper": ("whisper.modeling_whisper", "WhisperEncoder", "sdpa"),
}
"""Of each family: module and class of its model, and the fastest attention it has."""

_RENAMED = {"whisper": {r"^(?:model\.)?encoder\.": ""}}
"""How the weights of the part that is used are named in a whole model or a classifier."""


def identify(name: str) -> str:
    """Returns the identity of the encoder of a folder or hub id, from its files alone."""
    return _identify(*_find(name))


def _identify(folder: Path, model_type: str) -> str:
    return f"{model_type} format={FORMAT} sha256={fingerprint(folder)} {library_versions()}"


def _find(name: str) -> tuple[Path, str]:
    """Returns the folder of a checkpoint, and its family."""
    folder = find_checkpoint(name)
    model_type = read_model_type(folder)
    if model_type is None or model_type not in _FAMILIES:
        raise ValueError(
            f"{name}: model type {model_type!r} is not supported; expected one of "
            f"{', '.join(_FAMILIES)}"
        )
    return folder, model_type


def load(name: str, device: str) -> WaveformEncoder:
    """Loads a folder or hub id in float32; errors as of `load_speech_encoder`."""
    from transformers import AutoConfig

    from speech_encoders.wav2vec2 import Wav2Vec2Encoder
    from speech_encoders.whisper import WhisperEncoder

    folder, model_type = _find(name)
    module, class_name, attention = _FAMILIES[model_type]
    model_class = getattr(import_module(f"transformers.models.{module}"), class_name)
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
    identity = _identify(folder, model_type)
    do_normalize = _expects_normalised(folder)
    with naming_errors(folder):
        if model_type == "whisper":
            return WhisperEncoder(model, identity=identity)
        return Wav2Vec2Encoder(model, identity=identity, do_normalize=do_normalize)


def _expects_normalised(folder: Path) -> bool:
    """Returns whether a model expects clips of zero mean and unit variance."""
    from transformers import Wav2Vec2FeatureExtractor

    extractor = Wav2Vec2FeatureExtractor()
    names = ("preprocessor_config.json", "processor_config.json")
    if any((folder / name).is_file() for name in names):
        with naming_errors(folder):
            extractor = Wav2Vec2FeatureExtractor.from_pretrained(folder, local_files_only=True)
    if extractor.sampling_rate != SAMPLE_RATE:
        raise ValueError(
            f"{folder}: expects speech at {extractor.sampling_rate} Hz, but waveforms have "
            f"{SAMPLE_RATE} Hz; choose another checkpoint"
        )
    return bool(extractor.do_normalize)
