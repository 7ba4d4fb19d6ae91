"""What the command line of an experiment offers and refuses."""

import re
import shlex
from typing import get_args, get_type_hints

import pytest

from experiments.framework.commandline import parse


def choices(settings: type, name: str) -> set[str]:
    """Values that a setting may take."""
    return set(get_args(get_type_hints(settings)[name]))


def usage_error(settings: type, flags: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What the user reads when the flags are refused, its frame and line breaks taken out."""
    with pytest.raises(SystemExit, match="2"):
        parse(settings, flags)
    return re.sub(r"[\s│]+", " ", capsys.readouterr().err)


def read_commands(printed: str, name: str) -> list[list[str]]:
    """Reads the flags of the commands below a table."""
    joined = re.sub(r"\\\n\s+", "", printed)
    found = re.findall(rf"^python -m experiments\.{name} ?(.*)$", joined, re.MULTILINE)
    return [shlex.split(flags) for flags in found]


def squeeze(printed: str) -> str:
    """Takes out the line breaks of notes."""
    return re.sub(r"\s+", " ", printed)
