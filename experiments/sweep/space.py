"""What a search space varies: the settings that are its default, and all it may extract."""

import dataclasses
import difflib
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar, cast

from conversation_emotion.settings.features import EncoderSettings, FeatureSettings
from conversation_emotion.settings.flags import change, flag_of, flatten
from experiments.framework.commandline import parse

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

Settings = TypeVar("Settings")

SearchSpace = Callable[["BaseTrial", Any], Any]
"""Proposes the settings of one trial; each parameter bears the name of the setting it varies."""

_FEATURE_SETTINGS = {"row", "rows"} | {
    field.name for kind in (FeatureSettings, EncoderSettings) for field in dataclasses.fields(kind)
}


def read_varied(vary: Sequence[str], settings: object) -> dict[str, dict[str, object]]:
    """Reads NAME=VALUE,VALUE of ``--vary`` -> the values of each setting as written and as read.

    A value that the experiment's own flag would not take ends the process with its usage error.

    Raises:
        ValueError: A setting is none of the experiment, or has fewer than two values.
    """
    found: dict[str, dict[str, object]] = {}
    for one in vary:
        name, _, values = one.partition("=")
        name, written = name.strip().replace("-", "_"), [*dict.fromkeys(values.split(","))]
        if name not in flatten(settings):
            close = difflib.get_close_matches(name, flatten(settings), n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise ValueError(f"--vary {one}: the experiment has no setting {name!r}{hint}")
        if len(written) < 2 or "" in written:
            raise ValueError(f"--vary {one}: name two values or more, such as {name}=A,B")
        values = {value: _read_value(type(settings), name, value) for value in written}
        now = flatten(settings)[name]  # comes first, as the choice of the default trial
        found[name] = dict(sorted(values.items(), key=lambda pair: pair[1] != now))
    return found


@cache
def _read_value(kind: type, name: str, written: str) -> object:
    """Reads a value of a setting as the flag of the experiment reads it, once for all trials."""
    return flatten(parse(kind, [flag_of(name), written]))[name]


def widen(space: SearchSpace, vary: Sequence[str]) -> SearchSpace:
    """Returns a space that also varies what ``--vary`` names, which it then leaves as it is.

    In the order that they are named in, and each where all of its values fit what was drawn before:
    an encoder of speech is not drawn for text alone.
    """
    if not vary:
        return space

    def propose(trial: "BaseTrial", settings: Any) -> Any:
        chosen: dict[str, Any] = {}
        for name, values in read_varied(vary, settings).items():
            if all(_fits(settings, name, value) for value in values.values()):
                chosen[name] = values[trial.suggest_categorical(name, [*values])]
                settings = change(settings, **{name: chosen[name]})
        return space(cast("BaseTrial", _Narrowed(trial, chosen)), settings)

    return propose


def _fits(settings: Any, name: str, value: object) -> bool:
    """Returns whether a setting has an effect next to the others, such as an encoder of speech."""
    try:
        change(settings, **{name: value})
    except ValueError:
        return False
    return True


class _Narrowed:
    """A trial some of whose parameters are drawn already."""

    def __init__(self, trial: "BaseTrial", drawn: Mapping[str, Any]) -> None:
        self._trial = trial
        self._drawn = drawn

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        return (
            self._drawn[name]
            if name in self._drawn
            else self._trial.suggest_categorical(name, choices)
        )

    def suggest_float(self, name: str, low: float, high: float, **options: Any) -> Any:
        return (
            self._drawn[name]
            if name in self._drawn
            else self._trial.suggest_float(name, low, high, **options)
        )

    def suggest_int(self, name: str, low: int, high: int) -> Any:
        return (
            self._drawn[name] if name in self._drawn else self._trial.suggest_int(name, low, high)
        )


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
