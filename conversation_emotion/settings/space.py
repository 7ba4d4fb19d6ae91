"""What search spaces are made of: ranges and choices by flag, features, the optimizer."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar, get_args

from conversation_emotion.settings.features import (
    ONE_LAYER,
    ONE_VECTOR,
    Aggregator,
    EncoderSettings,
    FeatureSettings,
    SpeechEncoderSettings,
    check_aggregator,
    split_encoder,
)
from conversation_emotion.settings.flags import change
from conversation_emotion.settings.training import OptimizerName

Settings = TypeVar("Settings")
Features = TypeVar("Features", FeatureSettings, SpeechEncoderSettings, EncoderSettings)

_LAYERS = ("last", "last-4", "all")
_POOLED = ("mean", "statistics")
_KEPT = ("frames", "auto")


class Trial(Protocol):
    """What is asked of a trial; `optuna.trial.BaseTrial` is one."""

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """Suggests one of the choices."""
        ...

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """Suggests a number between two bounds."""
        ...

    def suggest_int(self, name: str, low: int, high: int) -> int:
        """Suggests a whole number between two bounds."""
        ...


class Range(NamedTuple):
    """Bounds of a number, which is a whole one if they are; ``log`` draws its logarithm."""

    low: float
    high: float
    log: bool = False


OPTIMIZER: Mapping[str, Sequence[str] | Range] = {
    "optimizer": get_args(OptimizerName),
    "learning_rate": Range(1e-4, 1e-2, log=True),
}
"""Search space of what trains a model on frozen features."""


def propose(trial: Trial, settings: Settings, **space: Sequence[Any] | Range) -> Settings:
    """Proposes settings by their flags, in this order: a number of a range, or one of a list."""
    values: dict[str, Any] = {}
    for name, one in space.items():
        if not isinstance(one, Range):
            values[name] = trial.suggest_categorical(name, one)
        elif isinstance(one.low, int) and isinstance(one.high, int):
            values[name] = trial.suggest_int(name, one.low, one.high)
        else:
            values[name] = trial.suggest_float(name, one.low, one.high, log=one.log)
    return change(settings, **values)


def propose_features(trial: Trial, features: Features) -> Features:
    """Proposes layers, and what pools frames: before training, or within the model if it has them.

    Only what makes a difference to the chosen encoders is varied; a layer chosen by its number
    stays.
    """
    speech, text = _encoders(features)
    with_frames = {"speech": speech - {*ONE_VECTOR}}
    with_frames["text"] = {name for name in text if name.startswith("tokens:")}
    changes: dict[str, Any] = {}
    for modality, with_layers in (("speech", speech - {*ONE_LAYER}), ("text", text)):
        layers, pooling = f"{modality}_layers", f"{modality}_pooling"
        if with_layers and getattr(features, layers) in _LAYERS:
            changes[layers] = trial.suggest_categorical(layers, _LAYERS)
        if with_frames[modality] and getattr(features, pooling, None) in _POOLED:
            changes[pooling] = trial.suggest_categorical(pooling, _POOLED)
    keeps_frames = with_frames["speech"] and features.speech_pooling in _KEPT
    if keeps_frames or getattr(features, "text_pooling", None) == "frames":
        changes["aggregator"] = trial.suggest_categorical("aggregator", _aggregators(features))
    return dataclasses.replace(features, **changes)


def _encoders(features: FeatureSettings | SpeechEncoderSettings) -> tuple[set[str], set[str]]:
    """Returns the speech encoders and the text encoders that are used."""
    if isinstance(features, EncoderSettings) and features.modality == "text":
        return set(), {features.text_encoder}
    if isinstance(features, SpeechEncoderSettings):
        return {name for joined in features.speech_encoder for name in split_encoder(joined)}, set()
    used = features.modalities()
    speech = set(split_encoder(features.speech_encoder)) if "speech" in used else set()
    return speech, {features.text_encoder} if "text" in used else set()


def _aggregators(features: FeatureSettings | SpeechEncoderSettings) -> list[str]:
    """Returns the aggregators that take the size, if one is given."""
    fitting = []
    for name in get_args(Aggregator):
        try:
            check_aggregator(name, features.aggregator_size)
        except ValueError:
            continue
        fitting.append(name)
    return fitting
