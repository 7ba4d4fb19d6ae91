"""Settings by the name of their flag: written, compared, and checked in its terms."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal, TypeVar

Settings = TypeVar("Settings")


def flatten(settings: object) -> dict[str, Any]:
    """Turns nested dataclasses into one dictionary of settings by flag name."""
    flat: dict[str, Any] = {}
    for field in dataclasses.fields(settings):  # type: ignore[arg-type]
        value = getattr(settings, field.name)
        flat.update(flatten(value) if dataclasses.is_dataclass(value) else {field.name: value})
    return flat


def change(settings: Settings, **values: object) -> Settings:
    """Returns settings with other values of some flags, in whichever group of fields they are."""
    for group, inner in vars(settings).items():
        if dataclasses.is_dataclass(inner):
            own = {name: values.pop(name) for name in flatten(inner) if name in values}
            values |= {group: change(inner, **own)} if own else {}
    return dataclasses.replace(settings, **values)  # type: ignore[type-var]


def pick(kind: type[Settings], settings: object, **others: object) -> Settings:
    """Makes settings of a kind: the fields that others have as well as these have them."""
    names = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    shared = {name: getattr(settings, name) for name in names if hasattr(settings, name)}
    return kind(**{**shared, **others})


def format_setting(value: object) -> str:
    """Formats a setting as the command line takes it."""
    return " ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)


def format_settings(settings: object) -> dict[str, str]:
    """Formats nested settings, by flag name."""
    return {name: format_setting(value) for name, value in flatten(settings).items()}


def flag_of(name: str) -> str:
    """Returns the flag of a setting."""
    return "--" + name.replace("_", "-")


def check_at_least(settings: object, least: float, *names: str) -> None:
    """Raises a `ValueError` that names the flag of the first number below; None passes."""
    for name in names:
        number = getattr(settings, name)
        if number is not None and number < least:
            raise ValueError(f"{flag_of(name)} must be {least:g} or more, got {number}")


def check_share(
    settings: object,
    *names: str,
    within: Literal["[0, 1)", "(0, 1)", "(0, 1]", "[0, 1]"] = "[0, 1)",
) -> None:
    """Raises a `ValueError` that names the flag of the first number outside of the interval."""
    for name in names:
        number = getattr(settings, name)
        is_open = (number == 0 and within[0] == "(") or (number == 1 and within[-1] == ")")
        if not 0 <= number <= 1 or is_open:
            raise ValueError(f"{flag_of(name)} must lie in {within}, got {number}")


def refuse_given(settings: object, why: str, *names: str) -> None:
    """Raises a `ValueError` that names the flag of the first setting that is not as by default."""
    for name in names:
        if getattr(settings, name) != getattr(type(settings), name):
            raise ValueError(f"{flag_of(name)} {why}")


def check_unique(flag: str, values: Sequence[object]) -> None:
    """Raises a `ValueError` where a flag has a value more than once."""
    if repeated := [value for value in dict.fromkeys(values) if values.count(value) > 1]:
        raise ValueError(f"{flag} names {repeated[0]} more than once")
