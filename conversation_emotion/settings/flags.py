"""Settings by the name of their flag, as the tracking and sweeps keep and compare them."""

import dataclasses
from typing import Any


def flatten(settings: object) -> dict[str, Any]:
    """Turns nested dataclasses into one dictionary of settings by flag name."""
    flat: dict[str, Any] = {}
    for field in dataclasses.fields(settings):  # type: ignore[arg-type]
        value = getattr(settings, field.name)
        flat.update(flatten(value) if dataclasses.is_dataclass(value) else {field.name: value})
    return flat


def format_setting(value: object) -> str:
    """Formats a setting as the command line takes it."""
    return " ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)


def format_settings(settings: object) -> dict[str, str]:
    """Formats nested settings, by flag name."""
    return {name: format_setting(value) for name, value in flatten(settings).items()}
