"""The command line from a config dataclass: flags, choices, help, and errors fit to read."""

import inspect
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import tyro

Config = TypeVar("Config")

DEBUG = "CONVERSATION_EMOTION_DEBUG"
"""Environment variable that shows where an error comes from."""


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


def launch(run: Callable[[Config], None], config: type[Config]) -> None:
    """Runs an experiment from the command line.

    An interrupt ends with status 130; what the user can mend, such as a wrong folder, a table that
    breaks its contract or a full disk, ends with its message and status 1.
    """
    settings = parse(config)
    try:
        run(settings)
    except KeyboardInterrupt:
        print(
            "\ninterrupted: the run is marked KILLED, and the same command takes it up again",
            file=sys.stderr,
        )
        sys.exit(130)
    except (ModuleNotFoundError, OSError, ValueError) as error:
        if os.environ.get(DEBUG):
            raise
        sys.exit(f"error: {error}\n({DEBUG}=1 shows where)")
