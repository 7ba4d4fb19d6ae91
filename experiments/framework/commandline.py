"""The command line from settings: flags, choices, help, and errors fit to read."""

import dataclasses
import inspect
import logging
import os
import re
import select
import shlex
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import NoReturn, TypeVar, get_type_hints

from conversation_emotion.settings.corpus import (
    CorpusOptions,
    CorpusSettings,
    OneCorpusSettings,
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

OWN = ("experiments", "conversation_emotion", "speech_encoders", "text_encoders", "__main__")
"""Packages whose messages are written for the user; libraries' are shown with their kind."""

LONGEST = 1000
"""Characters of an error's line; libraries print whole tables of weights."""

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
    import tyro  # here, so that the list of commands appears at once

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
    import tyro

    return tyro.cli(
        settings,
        prog=f"{program_of('experiments.sweep')} EXPERIMENT",
        description=description,
        args=argv,
        return_unknown_args=True,
        config=(tyro.conf.OmitArgPrefixes,),
    )


def launch(run: Callable[[Settings], object], settings: type[Settings], name: str) -> None:
    """Runs a command on the settings of the command line; errors end it as `explained` says."""
    with explained():
        given = parse(settings, name=name)
        check_inputs(given)
    run_or_explain(lambda: run(given))


def run_or_explain(run: Callable[[], object]) -> None:
    """Runs a command; errors end it as `explained` says.

    Large tensors are put on huge pages of Linux, unless the environment forbids it: the system then
    takes less time to provide their memory, see benchmarks/huge_pages.py.
    """
    os.environ.setdefault(HUGE_PAGES, "1")
    with explained():
        run()


@contextmanager
def explained() -> Iterator[None]:
    """Ends the process with one line and status 1 at an error, whatever raises it.

    An interrupt ends it with status 130, and a reader that left, as `head` does, in silence. With
    the environment variable `DEBUG` errors are raised as they are.
    """
    try:
        with _logs_without_tracebacks():
            try:
                yield
            finally:
                sys.stdout.flush()  # here, where a reader that left can be handled
    except SystemExit:
        raise
    except KeyboardInterrupt:
        print(
            "\ninterrupted: the run is marked KILLED, and the same command takes it up again",
            file=sys.stderr,
        )
        sys.exit(130)
    except BaseException as error:  # libraries in Rust raise what is no Exception
        if isinstance(error, BrokenPipeError) and _is_unread():
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(141)  # as the shell counts an end by SIGPIPE
        if os.environ.get(DEBUG):
            raise
        sys.exit(f"error: {explain_error(error)} ({DEBUG}=1 shows where)")


def explain_error(error: BaseException) -> str:
    """Returns one line that says what happened, with the file at hand if it does not name it."""
    file = find_file(error)
    place = "" if file is None or str(file) in str(error) else f"; the file at hand was {file}"
    return f"{describe_error(error)}{place}"


def describe_error(error: BaseException) -> str:
    """Returns one line that says what happened, without passwords.

    Messages of this project stand as they are, those of libraries come after the kind of the error.
    """
    text = str(error)
    if "Traceback (most recent call last)" in text:  # of a worker; its last line is the message
        text = text.rstrip().splitlines()[-1]
    text = " ".join([*text.split(), *getattr(error, "__notes__", ())])
    text = text if len(text) <= LONGEST else text[:LONGEST] + "…"
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    is_written = isinstance(error, ValueError | RuntimeError | ImportError)
    is_ours = bool(frames) and _is_own(frames[-1]) and is_written
    if text and (is_ours or isinstance(error, OSError)):
        return hide_password(text)
    return hide_password(f"{type(error).__name__}: {text}" if text else type(error).__name__)


def find_file(error: BaseException) -> Path | None:
    """Finds the file that was worked on: the last that the innermost of our calls names."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__) if _is_own(frame)]
    for frame in reversed(frames):
        attributes = getattr(frame.f_locals.get("self"), "__dict__", {})
        values = [*attributes.values(), *frame.f_locals.values()]
        for value in reversed(values):
            for part in value if isinstance(value, tuple) else (value,):
                is_path = isinstance(part, Path) or (isinstance(part, str) and os.sep in part)
                with suppress(OSError, ValueError):  # too long, or not a path at all
                    if is_path and Path(part).is_file():
                        return Path(part)
    return None


def hide_password(text: str) -> str:
    """Hides the passwords of the URLs in a text."""
    return re.sub(r"(://[^\s/:@]*):[^\s/@]+@", r"\1:***@", text)


def _is_own(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__")).partition(".")[0] in OWN


def _is_unread() -> bool:
    """Returns whether nobody reads any more what is printed."""
    if not hasattr(select, "poll"):
        return True
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


@contextmanager
def _logs_without_tracebacks() -> Iterator[None]:
    """Keeps the tracebacks out of what libraries log, unless `DEBUG` asks for them."""
    make = logging.getLogRecordFactory()

    def make_short(*arguments: object, **more: object) -> logging.LogRecord:
        record = make(*arguments, **more)
        record.exc_info = record.stack_info = None
        return record

    if not os.environ.get(DEBUG):
        logging.setLogRecordFactory(make_short)
    try:
        yield
    finally:
        logging.setLogRecordFactory(make)


def refuse(message: str) -> NoReturn:
    """Ends the process as a wrong command line does."""
    print(f"usage error: {message}", file=sys.stderr)
    sys.exit(2)


def command_of(name: str, *settings: object) -> str:
    """Returns the command that gives these settings: what differs from the defaults."""
    flags = (flag for one in settings for flag in _list_flags(one, None))
    return shlex.join([*f"python -m experiments.{name}".split(), *flags])


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
    groups = [
        field
        for field, kind in get_type_hints(settings).items()
        if kind in (CorpusSettings, OneCorpusSettings)
    ]
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
        if inspect.isfunction(run := found.get("run")):
            own += [one.annotation for one in inspect.signature(run).parameters.values()]
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
