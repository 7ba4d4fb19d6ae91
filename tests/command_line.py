"""What the command line of an experiment offers and refuses."""

import re
from typing import get_args, get_type_hints

import pytest

from experiments.commandline import parse


def choices(settings: type, name: str) -> set[str]:
    """Values that a setting may take."""
    return set(get_args(get_type_hints(settings)[name]))


def usage_error(settings: type, flags: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What the user reads when the flags are refused, its frame and line breaks taken out."""
    with pytest.raises(SystemExit, match="2"):
        parse(settings, flags)
    return re.sub(r"[\s│]+", " ", capsys.readouterr().err)
