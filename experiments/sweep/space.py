"""What a search space varies: the settings that are its default, and all it may extract."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

from conversation_emotion.settings.features import EncoderSettings, FeatureSettings
from conversation_emotion.settings.flags import flatten

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

Settings = TypeVar("Settings")

SearchSpace = Callable[["BaseTrial", Any], Any]
"""Proposes the settings of one trial; each parameter bears the name of the setting it varies."""

_FEATURE_SETTINGS = {"row", "rows"} | {
    field.name for kind in (FeatureSettings, EncoderSettings) for field in dataclasses.fields(kind)
}


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
    """A trial that suggests given values, else the first choice or the lower bound; keeps both."""

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
