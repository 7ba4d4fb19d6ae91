"""The command line from a config dataclass: flags, choices, help, and errors fit to read."""

import dataclasses
import inspect
import os
import shlex
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import NoReturn, TypeVar

import tyro

from conversation_emotion.settings.corpus import list_corpora

Config = TypeVar("Config")

DEBUG = "CONVERSATION_EMOTION_DEBUG"
"""Environment variable that shows where an error comes from."""

HUGE_PAGES = "THP_MEM_ALLOC_ENABLE"
"""PyTorch's own; it has to stand before the first tensor, and child processes inherit it."""


def parse(config: type[Config], argv: Sequence[str] | None = None) -> Config:
    """Reads ``argv`` into ``config``; a value the dataclass rejects becomes a usage error.

    Args:
        config: Frozen dataclass whose field docstrings are the help texts.
        argv: Arguments, those of the process if None.
    """
    description = inspect.getdoc(sys.modules[config.__module__]) or inspect.getdoc(config)
    return tyro.cli(
        config,
        prog=f"python -m {module_of(config)}",
        description=description,
        args=argv,
        config=(tyro.conf.OmitArgPrefixes,),
    )


def command_of(config: object) -> str:
    """Writes the command that gives these settings: what differs from the defaults."""
    return shlex.join(["python", "-m", module_of(type(config)), *_flags(config, None)])


def module_of(config: type) -> str:
    """Returns the module of a command, also where Python runs it under the name ``__main__``."""
    places = Path(inspect.getfile(config)).with_suffix("").parts
    below = (
        places[len(places) - places[::-1].index("experiments") :]
        if "experiments" in places
        else places[-1:]
    )
    return ".".join(["experiments", *below])


def _flags(config: object, usual: object) -> Iterator[str]:
    """Yields flags and values of the fields that are not as in another dataclass of its kind."""
    assert dataclasses.is_dataclass(config)
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        default = _default(field) if usual is None else getattr(usual, field.name)
        if dataclasses.is_dataclass(value):
            yield from _flags(value, default)
        elif value != default:
            flag = field.name.replace("_", "-")
            if isinstance(value, bool):
                yield f"--{flag}" if value else f"--no-{flag}"
            else:
                yield f"--{flag}"
                yield from map(str, value if isinstance(value, tuple) else (value,))


def _default(field: dataclasses.Field[object]) -> object:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return None if field.default is dataclasses.MISSING else field.default


def parse_known(
    config: type[Config], argv: Sequence[str], *, description: str | None
) -> tuple[Config, list[str]]:
    """Reads those of the arguments that ``config`` knows, and returns the others as they are."""
    return tyro.cli(
        config,
        prog="python -m experiments.sweep EXPERIMENT",
        description=description,
        args=argv,
        return_unknown_args=True,
        config=(tyro.conf.OmitArgPrefixes,),
    )


def refuse(message: str) -> NoReturn:
    """Ends the process as a wrong command line does."""
    print(f"usage error: {message}", file=sys.stderr)
    sys.exit(2)


def launch(run: Callable[[Config], object], config: type[Config]) -> None:
    """Runs an experiment from the command line.

    An interrupt ends with status 130; what the user can mend, such as a wrong folder, a table that
    breaks its contract or a full disk, ends with its message and status 1.
    """
    settings = parse(config)
    run_or_explain(lambda: run(settings))


def run_or_explain(run: Callable[[], object]) -> None:
    """Runs a command and ends the process as `launch` says.

    Large tensors lie on huge pages of Linux, unless the environment says otherwise: the system then
    takes less time to hand out their memory, see benchmarks/huge_pages.py.
    """
    os.environ.setdefault(HUGE_PAGES, "1")
    try:
        run()
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


def parse_places(
    flag: str, places: Sequence[str], known: Collection[str] | None = None
) -> dict[str, Path]:
    """Reads NAME=PATH pairs, such as --roots emodb=EmoDB ravdess=RAVDESS.

    Args:
        flag: The flag they were given with, for the error.
        places: The pairs.
        known: Corpora that may be named; all that there are if None.

    Raises:
        ValueError: A pair is none, or names no known corpus, or one is named twice.
    """
    known = list_corpora() if known is None else known
    found: dict[str, Path] = {}
    for place in places:
        name, is_pair, path = place.partition("=")
        if not is_pair or not path:
            raise ValueError(f"{flag} takes NAME=PATH, got {place!r}; such as emodb=EmoDB")
        if name not in known:
            raise ValueError(f"{flag}: no corpus {name!r} here; choose from {', '.join(known)}")
        if name in found:
            raise ValueError(f"{flag} names {name} more than once")
        found[name] = Path(path)
    return found
