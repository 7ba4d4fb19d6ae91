"""What a search space varies: features, the settings that are its default, all it may extract."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast, get_args, get_type_hints

from conversation_emotion.settings.features import (
    ONE_LAYER,
    ONE_VECTOR,
    EncoderSettings,
    FeatureSettings,
    check_aggregator,
    split_encoder,
)
from conversation_emotion.settings.flags import flatten
from conversation_emotion.settings.recognition import SERSettings
from conversation_emotion.settings.training import OptimizerName, TrainingSettings

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

Settings = TypeVar("Settings")
Features = TypeVar("Features", FeatureSettings, EncoderSettings)

SearchSpace = Callable[["BaseTrial", Any], Any]
"""Proposes the settings of one trial; each parameter bears the name of the setting it varies."""

_LAYERS = ("last", "last-4", "all")
_POOLED = ("mean", "statistics")
_KEPT = ("frames", "auto")
_FEATURE_SETTINGS = {"encoder", "row", "rows"} | {
    field.name for kind in (FeatureSettings, EncoderSettings) for field in dataclasses.fields(kind)
}


def propose_features(trial: "BaseTrial", features: Features) -> Features:
    """Proposes layers, and what pools frames: before training, or within the model if it has them.

    Only what makes a difference to the encoders at hand is varied; a layer chosen by its number
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
        if with_frames[modality] and getattr(features, pooling) in _POOLED:
            changes[pooling] = trial.suggest_categorical(pooling, _POOLED)
    keeps_frames = with_frames["speech"] and features.speech_pooling in _KEPT
    if keeps_frames or getattr(features, "text_pooling", None) == "frames":
        changes["aggregator"] = trial.suggest_categorical("aggregator", _aggregators(features))
    return dataclasses.replace(features, **changes)


def propose_training(
    trial: "BaseTrial", training: TrainingSettings, *, most_decay: float
) -> TrainingSettings:
    """Proposes the optimizer, its step size and its weight decay up to the most given."""
    return dataclasses.replace(
        training,
        optimizer=trial.suggest_categorical("optimizer", get_args(OptimizerName)),
        learning_rate=trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True),
        weight_decay=trial.suggest_float("weight_decay", 1e-4, most_decay, log=True),
    )


def propose_recognition(trial: "BaseTrial", settings: SERSettings) -> SERSettings:
    """Proposes the encoder, its features, and the head's size, dropout and optimizer.

    Of linear discriminants, which are solved, features alone are varied.
    """
    encoders = settings.features.speech_encoder
    if len(encoders) > 1:
        settings = settings.for_encoder(trial.suggest_categorical("speech_encoder", encoders))
    if settings.model.head == "lda":
        pooled = dataclasses.replace(settings.features, speech_pooling="mean", aggregator="mean")
        return dataclasses.replace(settings, features=propose_features(trial, pooled))
    return dataclasses.replace(
        settings,
        features=propose_features(trial, settings.features),
        model=dataclasses.replace(
            settings.model,
            hidden_size=trial.suggest_categorical("hidden_size", [64, 128, 256]),
            dropout=trial.suggest_float("dropout", 0.0, 0.6),
        ),
        training=propose_training(trial, settings.training, most_decay=0.5),
    )


def list_choices(settings: type, name: str) -> list[Any]:
    """Returns the values that a setting may take, in order."""
    return list(get_args(get_type_hints(settings)[name]))


def default_parameters(space: SearchSpace, settings: object) -> dict[str, Any]:
    """Returns the parameters that leave settings as they are, where the space allows that."""
    trial = _DefaultTrial(flatten(settings))
    space(cast("BaseTrial", trial), settings)
    return trial.params


def feature_variants(space: SearchSpace, settings: Settings) -> list[Settings]:
    """Returns the settings for each combination of features that the space may ask for.

    The parameters that no encoder depends on keep their defaults.
    """
    defaults = flatten(settings)
    variants: list[Settings] = []
    waiting: list[dict[str, Any]] = [{}]
    while waiting:
        chosen = waiting.pop()
        trial = _DefaultTrial({**defaults, **chosen})
        variant = space(cast("BaseTrial", trial), settings)
        open_choices = [name for name in trial.choices if name in _FEATURE_SETTINGS - set(chosen)]
        if open_choices:
            name = open_choices[0]
            waiting += [{**chosen, name: choice} for choice in trial.choices[name]]
        elif variant not in variants:
            variants.append(variant)
    return variants


class _DefaultTrial:
    """A trial that suggests given values, else the first choice or the lower bound; records both.

    It is no Optuna trial, so that the settings of a command load without Optuna.
    """

    def __init__(self, given: Mapping[str, Any]) -> None:
        self.given = given
        self.choices: dict[str, Sequence[Any]] = {}
        self.params: dict[str, Any] = {}

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        self.choices[name] = choices
        given = self.given.get(name)
        self.params[name] = given if name in self.given and given in choices else choices[0]
        return self.params[name]

    def suggest_float(self, name: str, low: float, high: float, **options: object) -> Any:
        given = self.given.get(name)
        is_inside = isinstance(given, int | float) and low <= given <= high
        self.params[name] = given if is_inside else low
        return self.params[name]

    suggest_int = suggest_float


def _encoders(features: FeatureSettings | EncoderSettings) -> tuple[set[str], set[str]]:
    """Returns the speech encoders and the text encoders that are used."""
    if isinstance(features, EncoderSettings):
        return {name for joined in features.speech_encoder for name in split_encoder(joined)}, set()
    used = features.modalities()
    speech = set(split_encoder(features.speech_encoder)) if "speech" in used else set()
    return speech, {features.text_encoder} if "text" in used else set()


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
