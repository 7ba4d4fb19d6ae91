"""What search spaces have in common: features, and what pools them."""

import dataclasses
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_type_hints

from conversation_emotion.settings.features import (
    ONE_LAYER,
    ONE_VECTOR,
    EncoderSettings,
    FeatureSettings,
    check_aggregator,
    split_encoder,
)

if TYPE_CHECKING:
    import optuna

Features = TypeVar("Features", FeatureSettings, EncoderSettings)

_LAYERS = ("last", "last-4", "all")
_POOLED = ("mean", "statistics")
_KEPT = ("frames", "auto")


def propose_features(trial: "optuna.trial.BaseTrial", features: Features) -> Features:
    """Proposes layers, and what pools frames: before training, or within the model if it has them.

    Only what makes a difference to the encoders at hand is varied; a layer chosen by its number
    stays.
    """
    changes: dict[str, Any] = {}
    speech = _speech_encoders(features)
    if speech:
        changes |= _propose(trial, features, "speech", set(speech) - {*ONE_LAYER}, speech)
    if isinstance(features, FeatureSettings) and "text" in features.modalities():
        text = (features.text_encoder,)
        changes |= _propose(trial, features, "text", set(text), text)
    keeps_frames = speech and features.speech_pooling in _KEPT and {*speech} - {*ONE_VECTOR}
    if keeps_frames or getattr(features, "text_pooling", None) == "frames":
        changes["aggregator"] = trial.suggest_categorical("aggregator", _aggregators(features))
    return dataclasses.replace(features, **changes)


def list_choices(settings: type, name: str) -> list[Any]:
    """Returns the values that a setting may take, in order."""
    return list(get_args(get_type_hints(settings)[name]))


def _propose(
    trial: "optuna.trial.BaseTrial",
    features: Features,
    modality: str,
    layered: set[str],
    encoders: tuple[str, ...],
) -> dict[str, Any]:
    """Proposes the layers of a modality, and how its frames or tokens are pooled."""
    changes: dict[str, Any] = {}
    layers, pooling = f"{modality}_layers", f"{modality}_pooling"
    if layered and getattr(features, layers) in _LAYERS:
        changes[layers] = trial.suggest_categorical(layers, _LAYERS)
    has_frames = any(
        name.startswith("tokens:") if modality == "text" else name not in ONE_VECTOR
        for name in encoders
    )
    if has_frames and getattr(features, pooling) in _POOLED:
        changes[pooling] = trial.suggest_categorical(pooling, _POOLED)
    return changes


def _aggregators(features: FeatureSettings | EncoderSettings) -> list[str]:
    """Returns the aggregators that take the size, if one is given."""
    fitting = []
    for name in list_choices(type(features), "aggregator"):
        try:
            check_aggregator(name, features.aggregator_size)
        except ValueError:
            continue
        fitting.append(name)
    return fitting


def _speech_encoders(features: FeatureSettings | EncoderSettings) -> tuple[str, ...]:
    if isinstance(features, EncoderSettings):
        named = features.encoders
    else:
        named = (features.speech_encoder,) if "speech" in features.modalities() else ()
    return tuple(encoder for name in named for encoder in split_encoder(name))
