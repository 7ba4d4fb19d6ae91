"""The command line from a config dataclass: flags, choices and help from its fields."""

import inspect
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import tyro

Config = TypeVar("Config")


def parse(config: type[Config], argv: Sequence[str] | None = None) -> Config:
    """Reads ``argv`` into ``config``; a value the dataclass rejects becomes a usage error.

    Args:
        config: Frozen dataclass whose field docstrings are the help texts.
        argv: Arguments, those of the process if None.
    """
    name = Path(inspect.getfile(config)).stem
    description = inspect.getdoc(sys.modules[config.__module__]) or inspect.getdoc(config)
    return tyro.cli(
        config,
        prog=f"python -m experiments.{name}",
        description=description,
        args=argv,
        config=(tyro.conf.OmitArgPrefixes,),
    )
