"""Every block of code of the README and the documentation runs, or is not run for a stated reason.

`pytest -m docs` lists what runs, with what was shortened, and what does not.
"""

import re
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import experiments.__main__ as program
from experiments.framework import commandline
from experiments.sweep.settings import SweepSettings
from tests.block_places import documented_places
from tests.blocks import Block, read_blocks
from tests.commands import find_command
from tests.test_readme import DOCUMENTS, ROOT
from tests.tracked import find_runs

GENERATED = ("docs/reference/commands.md", "docs/reference/models.md", "docs/results/")
"""Made by docs/generate.py; `tests/test_readme.py` reads their commands."""

BLOCKS = [
    block
    for document, text in DOCUMENTS.items()
    if document.startswith(("README", "docs/")) and not document.startswith(GENERATED)
    for block in read_blocks(document, text)
]

INTERRUPTED = 130
"""Status of a server that Ctrl-C ended."""

pytestmark = pytest.mark.docs


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Iterator[Path]:
    with documented_places(tmp_path_factory.mktemp("documents")) as folder:
        yield folder


@pytest.fixture(scope="module")
def names() -> dict[str, dict[str, Any]]:
    """What the blocks of Python of each document have defined."""
    return {}


@pytest.fixture(scope="module")
def done() -> set[tuple[str, ...]]:
    """Commands that ran, which another document may have as well."""
    return set()


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_a_block_runs(block, place, names, done, monkeypatch, record_property):
    if reason := block.reason():
        record_property("block", ("not run", str(block), block.language, reason))
        pytest.skip(reason)
    start = time.process_time()
    if block.language == "python":
        source = "\n" * (block.line - 1) + block.code
        exec(compile(source, block.document, "exec"), names.setdefault(block.document, {}))
    elif block.language == "toml":
        tomllib.loads(block.code)
    elif block.language == "bash":
        run_commands(block, done, monkeypatch)
    seconds = f"{time.process_time() - start:.1f} s"
    record_property("block", (seconds, str(block), block.language, describe(block)))


ROTTEN = [
    ("bash", "python -m experiments.ser --epoch 1", AssertionError, "ser ended with 2"),
    ("bash", "python -m experiments.ser --root nowhere", AssertionError, "ser ended with 2"),
    ("bash", "conversation-emotion recognise", KeyError, "recognise"),
    ("bash", "pip install '.[everything]'", AssertionError, "everything"),
    ("bash", "make corpus", AssertionError, "make: say why"),
]


@pytest.mark.parametrize(("language", "code", "kind", "message"), ROTTEN)
def test_a_rotten_block_is_caught(place, language, code, kind, message, monkeypatch):
    with pytest.raises(kind, match=message):
        run_commands(Block("a.md", 1, language, code), set(), monkeypatch)


def run_commands(block: Block, done: set[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs the commands of a block in this process, each with those of its flags that it has."""
    unused = {flag for remark in block.remarks for flag in remark.flags if flag.startswith("--")}
    for number, words in enumerate(block.commands, start=1):
        if words[:2] == ["pip", "install"]:
            check_extras(words)
        elif not block.reason(str(number)):
            name, given = read_command(words)
            own = {*list_flags(name, given)}
            added = [one for one in block.flags(str(number), name) if one[0] in own]
            unused -= own
            for flag, *values in sorted(added):
                given = [*without(given, flag), flag, *values]
            run_once(name, given, done, monkeypatch)
    assert not unused, f"no command of {block} has {' '.join(sorted(unused))}"


def without(words: list[str], flag: str) -> list[str]:
    """Returns words without a flag and its values."""
    kept, is_kept = [], True
    for word in words:
        is_kept = word != flag if word.startswith("--") else is_kept
        kept += [word] * is_kept
    return kept


def describe(block: Block) -> str:
    """Returns what CI does with the commands of a block, for the list of blocks."""
    parts = []
    for one in block.remarks:
        whose = f"{', '.join(one.commands)}: " if one.commands else ""
        parts.append(whose + (f"not run: {one.reason}" if one.reason else " ".join(one.flags)))
    return "; ".join(parts) or "as it stands"


def read_command(words: list[str]) -> tuple[str, list[str]]:
    """Reads the name of a command and its flags."""
    if words[:2] == ["python", "-m"] and words[2].startswith("experiments."):
        name = words[2].removeprefix("experiments.").replace(".", " ").replace("_", "-")
        return name, words[3:]
    assert words[0] == "conversation-emotion", f"{words[0]}: say why it is <!-- ci: not run: -->"
    return words[1], words[2:]


def list_flags(name: str, given: list[str]) -> Iterator[str]:
    """Yields the flags of a command, of the experiment that it sweeps, and of its corpus."""
    kind = SweepSettings if name == "sweep" else find_command(name)[0]
    yield from commandline._list_names(kind)
    if name == "sweep":
        yield from list_flags(given[0].replace("_", "-"), given[1:])
    if "--corpus" in given:
        corpus = given[given.index("--corpus") + 1]
        yield from commandline._list_names(type(commandline._find_options(corpus)))


def run_once(
    name: str, flags: list[str], done: set[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs a command as the command line does, unless another block had it, errors as they are.

    RUN is the latest run of an experiment, the next RUN the one before it.
    """
    if (name, *flags) in done:
        return
    done.add((name, *flags))
    latest = iter(find_latest()) if "RUN" in flags else iter(())
    flags = [next(latest) if flag == "RUN" else flag for flag in flags]
    monkeypatch.setenv(commandline.DEBUG, "1")
    monkeypatch.setenv(commandline.HUGE_PAGES, "1")
    monkeypatch.setattr(sys, "argv", ["conversation-emotion", *name.split(), *flags])
    try:
        program.main()
    except SystemExit as error:
        if error.code not in (0, None, INTERRUPTED):
            raise AssertionError(f"{name} ended with {error.code}") from error


def find_latest() -> list[str]:
    """Returns the runs of ser that ended, from the latest on."""
    runs = find_runs("ser").parents
    return [run.info.run_id for run in sorted(runs, key=lambda run: -run.info.start_time)]


def check_extras(words: list[str]) -> None:
    """Checks that what is installed is this project, or one of its extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    for word in words[2:]:
        found = re.fullmatch(r"(?:\.|-e|conversation-emotion)(?:\[(.*)\])?", word)
        assert found, f"{word}: not this project"
        assert {*(found[1] or "").split(",")} <= {"", *project["optional-dependencies"]}, word
