"""What a search space varies: its default settings, its features, and the flags of a setting."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from optuna.trial import BaseTrial, FixedTrial

from conversation_emotion.settings.features import EncoderSettings, FeatureSettings

Config = TypeVar("Config")

SearchSpace = Callable[[BaseTrial, Any], Any]
"""Proposes the settings of one trial; each parameter bears the name of the setting it varies."""

_FEATURE_SETTINGS = {"encoder", "row", "rows"} | {
    field.name for kind in (FeatureSettings, EncoderSettings) for field in dataclasses.fields(kind)
}


class _RecordingTrial(FixedTrial):
    """Answers with given values, else with the first choice or the lower bound, and records."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        super().__init__({})
        self.given = given
        self.choices: dict[str, Sequence[Any]] = {}
        self.answers: dict[str, Any] = {}

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        is_given = name in self.given and self.given[name] in choices
        self.choices[name] = choices
        return self._answer(name, self.given[name] if is_given else choices[0])

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        return int(self._answer(name, self._within(name, low, high)))

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        return float(self._answer(name, self._within(name, low, high)))

    def _within(self, name: str, low: float, high: float) -> float:
        given = self.given.get(name)
        return given if isinstance(given, int | float) and low <= given <= high else low

    def _answer(self, name: str, value: Any) -> Any:
        self.answers[name] = value
        return value


def default_parameters(space: SearchSpace, config: object) -> dict[str, Any]:
    """Returns the parameters that leave a config as it is, where the space allows that."""
    trial = _RecordingTrial(settings_of(config))
    space(trial, config)
    return trial.answers


def feature_variants(space: SearchSpace, config: Config) -> list[Config]:
    """Returns a config for each combination of features that the space may ask for.

    The parameters that no encoder depends on keep their defaults.
    """
    defaults = settings_of(config)
    variants: list[Config] = []
    waiting: list[dict[str, Any]] = [{}]
    while waiting:
        chosen = waiting.pop()
        trial = _RecordingTrial({**defaults, **chosen})
        variant = space(trial, config)
        fresh = [name for name in trial.choices if name in _FEATURE_SETTINGS - set(chosen)]
        if fresh:
            choices = trial.choices[fresh[0]]
            waiting += [{**chosen, fresh[0]: choice} for choice in choices]
        elif variant not in variants:
            variants.append(variant)
    return variants


def settings_of(config: object) -> dict[str, Any]:
    """Turns nested settings into one dictionary by the name of the flag."""
    flat: dict[str, Any] = {}
    for field in dataclasses.fields(config):  # type: ignore[arg-type]
        value = getattr(config, field.name)
        flat.update(settings_of(value) if dataclasses.is_dataclass(value) else {field.name: value})
    return flat


def written(config: object) -> dict[str, str]:
    """Writes settings as they are kept and compared, by the name of the flag."""
    return {name: write_value(value) for name, value in settings_of(config).items()}


def write_value(value: object) -> str:
    """Writes a setting as the command line does."""
    return " ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)
