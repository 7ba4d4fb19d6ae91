"""The command line from settings: flags, choices, help, and errors fit to read."""

import dataclasses
import inspect
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import NoReturn, TypeVar, get_type_hints

import tyro

from conversation_emotion.settings.corpus import (
    CorpusOptions,
    CorpusSettings,
    find_corpus,
    list_corpora,
)
from conversation_emotion.settings.flags import flag_of
from experiments import find_commands

Settings = TypeVar("Settings")

DEBUG = "CONVERSATION_EMOTION_DEBUG"
"""Environment variable that shows where an error comes from."""

HUGE_PAGES = "THP_MEM_ALLOC_ENABLE"
"""PyTorch's own; it has to be set before the first tensor, and child processes inherit it."""

INPUTS = {
    "root": "a folder of recordings or a table",
    "probe_root": "the folder of a corpus",
    "roots": "the folder of a corpus",
    "also": "the folder of a corpus",
    "test_lists": "a list of EmoBox, such as SAVEE_selected_balenced.jsonl",
    "superb_folds": "s3prl's folder downstream/emotion/meta_data",
    "emobox_folds": "EmoBox's folder data/CORPUS",
}
"""What the settings that name files or folders to read expect, unless a corpus describes it."""


def parse(
    settings: type[Settings], argv: Sequence[str] | None = None, *, name: str | None = None
) -> Settings:
    """Reads arguments into settings; a value that the dataclass rejects becomes a usage error.

    Args:
        settings: Frozen dataclass whose field docstrings are the help texts.
        argv: Arguments, those of the process if None.
        name: Of the command, whose docstring is the description; the module that runs if None.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    module = "__main__" if name is None else f"experiments.{name}"
    description = inspect.getdoc(sys.modules.get(module, sys.modules["__main__"]))
    defaults = _add_corpus_options(settings, argv)
    try:
        return tyro.cli(
            settings,
            prog=program_of(module),
            description=description,
            args=argv,
            default=tyro.MISSING_NONPROP if defaults is None else defaults,
            config=(tyro.conf.OmitArgPrefixes,),
        )
    except SystemExit as error:
        if error.code == 2:
            for line in explain_flags(settings, argv):
                print(line, file=sys.stderr)
        raise


def parse_known(
    settings: type[Settings], argv: Sequence[str], *, description: str | None
) -> tuple[Settings, list[str]]:
    """Reads the arguments that ``settings`` has, and returns the others as they are."""
    return tyro.cli(
        settings,
        prog=f"{program_of('experiments.sweep')} EXPERIMENT",
        description=description,
        args=argv,
        return_unknown_args=True,
        config=(tyro.conf.OmitArgPrefixes,),
    )


def launch(run: Callable[[Settings], object], settings: type[Settings], name: str) -> None:
    """Runs a command on the settings of the command line, and ends as `run_or_explain` does."""
    given = parse(settings, name=name)
    check_inputs(given)
    run_or_explain(lambda: run(given))


def run_or_explain(run: Callable[[], object]) -> None:
    """Runs a command; what the user can mend ends the process with a message.

    An interrupt ends with status 130; a wrong folder, a table that breaks its contract or a full
    disk ends with its message and status 1. Large tensors are put on huge pages of Linux, unless
    the environment forbids it: the system then takes less time to provide their memory, see
    benchmarks/huge_pages.py.
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


def refuse(message: str) -> NoReturn:
    """Ends the process as a wrong command line does."""
    print(f"usage error: {message}", file=sys.stderr)
    sys.exit(2)


def command_of(name: str, settings: object) -> str:
    """Returns the command that gives these settings: what differs from the defaults."""
    return shlex.join(["python", "-m", f"experiments.{name}", *_list_flags(settings, None)])


def program_of(module: str) -> str:
    """Returns how a command was called, for its help; `experiments.__main__` sets the first."""
    called = sys.argv[0]
    is_subcommand = called.startswith(("conversation-emotion ", "python -m experiments "))
    return called if is_subcommand else f"python -m {module}"


def _list_flags(settings: object, default: object) -> Iterator[str]:
    """Yields flags and values of the fields that differ from another dataclass of its kind."""
    assert dataclasses.is_dataclass(settings)
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        usual = getattr(default, field.name) if default else _read_default(field)
        if dataclasses.is_dataclass(value):
            yield from _list_flags(value, usual if type(usual) is type(value) else None)
        elif value != usual:
            flag = flag_of(field.name)
            if isinstance(value, bool):
                yield flag if value else flag.replace("--", "--no-", 1)
            else:
                yield flag
                yield from map(str, value if isinstance(value, tuple) else (value,))


def _read_default(field: dataclasses.Field[object]) -> object:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return None if field.default is dataclasses.MISSING else field.default


def _add_corpus_options(settings: type[Settings], argv: Sequence[str]) -> Settings | None:
    """Returns defaults with the options of the corpus that is chosen, None where it has none.

    tyro offers the fields of a default's own class, not only those of the annotated one.
    """
    words = [word for argument in argv for word in argument.split("=", 1)]
    name = next((value for flag, value in pairwise(words) if flag == "--corpus"), None)
    groups = [field for field, kind in get_type_hints(settings).items() if kind is CorpusSettings]
    options = _find_options(name) if name and groups else CorpusOptions()
    if type(options) is CorpusOptions:
        return None
    defaults = settings()
    for group in groups:
        # Past the checks of a frozen class: the default corpus does not have these options.
        object.__setattr__(getattr(defaults, group), "options", options)
    return defaults


def _find_options(corpus: str) -> CorpusOptions:
    with suppress(ValueError):  # the settings raise it with the name of the corpus
        return find_corpus(corpus).options
    return CorpusOptions()


def explain_flags(settings: type, argv: Sequence[str]) -> Iterator[str]:
    """Yields a line for each argument that is a flag of another command or corpus, not of this."""
    own = set(_list_names(settings))
    corpora = {name: set(_list_names(type(_find_options(name)))) for name in list_corpora()}
    given = [argument.split("=")[0].replace("_", "-") for argument in argv]
    for flag in dict.fromkeys(flag for flag in given if flag.startswith("--") and flag not in own):
        owners = [f"--corpus {name}" for name, flags in corpora.items() if flag in flags]
        if not owners:
            owners = [name for name, flags in _list_commands() if flag in flags]
        if owners:
            yield f"{flag} belongs to {' and '.join(f'`{owner}`' for owner in owners)}"


def _list_names(settings: object) -> Iterator[str]:
    assert isinstance(settings, type)
    for name, kind in get_type_hints(settings).items():
        if dataclasses.is_dataclass(kind):
            yield from _list_names(kind)
        else:
            yield from (flag_of(name), flag_of(f"no_{name}"))


def _list_commands() -> Iterator[tuple[str, set[str]]]:
    """Yields the flags of each command, which is imported for that."""
    for name, command in find_commands().items():
        room = command.module.removesuffix("__main__")
        found = vars(import_module(command.module))
        experiment = found.get("EXPERIMENT")
        kinds = [kind for kind in found.values() if isinstance(kind, type)]
        own = [k for k in kinds if k.__module__.startswith(room)]
        own += [experiment.settings] if experiment else []
        yield (
            name,
            {flag for kind in own if dataclasses.is_dataclass(kind) for flag in _list_names(kind)},
        )


def check_inputs(settings: object) -> None:
    """Refuses what cannot have an effect: absent files and folders, options of another split."""
    for flag, path, expected in _list_inputs(settings):
        if not Path(path).expanduser().exists():
            refuse(f"{flag} {path}: no such file or folder; expected {expected}")
    for data in vars(settings).values():
        if isinstance(data, CorpusSettings) and data.split == "auto":
            own = getattr(settings, "auto_split", None)  # of a command that overrides the corpus
            try:
                data.check_split(own or find_corpus(data.corpus).split or "speaker-k-fold")
            except ValueError as error:
                refuse(str(error))


def _list_inputs(settings: object) -> Iterator[tuple[str, str, str]]:
    """Yields flag, path and what is expected, of each setting that names something to read."""
    assert dataclasses.is_dataclass(settings)
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if dataclasses.is_dataclass(value):
            yield from _list_inputs(value)
        elif field.name in INPUTS and value is not None:
            for place in value if isinstance(value, tuple) else (value,):
                name, path = getattr(settings, "corpus", ""), str(place)
                if isinstance(place, str) and place.partition("=")[0] in list_corpora():
                    name, _, path = place.partition("=")
                is_corpus = name in list_corpora() and field.name in ("root", "roots", "also")
                if path:
                    expected = find_corpus(name).root if is_corpus else INPUTS[field.name]
                    yield flag_of(field.name), path, expected
