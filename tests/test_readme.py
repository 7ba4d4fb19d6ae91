"""Every command and every flag that the documents name is one of the command line."""

import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import indent

import pytest

import experiments.__main__ as program
import experiments.sweep.__main__ as sweep
from experiments.framework import commandline

ROOT = Path(__file__).parents[1]
DOCUMENTS = {
    str(path.relative_to(ROOT)): path.read_text("utf-8")
    for path in (
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "benchmarks" / "README.md",
        *sorted((ROOT / "docs").rglob("*.md")),
    )
}

PACKAGES = "benchmarks|conversation_emotion|docs|experiments|speech_encoders|tests|text_encoders"
"""Folders of the project."""

MADE = {"conversation_emotion/corpora/NAME.py", "experiments/NAME.py"}
"""Files that a contributor makes."""

NUMBERS = {"SEEDS": "2", "COMPONENTS": "200"}
"""Placeholders that stand for a number; others may stay, since files need not exist."""

OTHER_FLAGS = {
    *("--help", "--nproc_per_node", "--multi_gpu"),
    *("--method", "--roots", "--meld", "--draws", "--no-demo"),
}
"""Flags of every command, of torchrun and accelerate, and of benchmarks."""


def list_code(text: str) -> Iterator[str]:
    """Yields the lines of code blocks, continued ones joined, and the code within sentences."""
    text = re.sub(
        r"^```\w+\n(.*?)^```$", lambda block: indent(block[1], "    "), text, flags=re.M | re.S
    )
    joined = re.sub(r"\\\n\s*", "", text)
    is_block = re.compile(r"^    (.+)$", re.MULTILINE)
    yield from is_block.findall(joined)
    for code in re.findall(r"`([^`]+)`", is_block.sub("", joined)):
        yield " ".join(code.split())


def list_commands(text: str) -> Iterator[tuple[str, ...]]:
    """Yields the words of each command: its name as ``conversation-emotion`` has it, its flags."""
    for code in list_code(text):
        for part in re.split(r" && | & | \| |  #", code):
            if found := re.search(
                r"(?:-m experiments\.|\bconversation-emotion )([a-z]\S*)(.*)", part
            ):
                name = found[1].replace("_", "-").split(".")
                words = [word for word in shlex.split(found[2]) if word != "OPTIONS"]
                yield (*name, *(NUMBERS.get(word, word) for word in words))


def list_flags(text: str) -> Iterator[str]:
    """Yields the flags that are named anywhere in code."""
    for code in list_code(text):
        yield from re.findall(r"(?<![\w-])--[a-z][\w-]*", code)


def known_flags() -> set[str]:
    """Returns the flags of all commands, and of the options that only one corpus has."""
    known = set(OTHER_FLAGS)
    for _, flags in commandline._list_commands():
        known |= flags
    for corpus in commandline.list_corpora():
        known |= set(commandline._list_names(type(commandline.find_corpus(corpus).options)))
    return known


COMMANDS = sorted({words for text in DOCUMENTS.values() for words in list_commands(text)})


def test_continued_lines_sentences_and_placeholders_become_commands():
    text = "See `python -m\nexperiments.ser --seeds SEEDS`:\n\n    conversation-emotion epc \\\n"
    text += "        --root A && torchrun -m experiments.pretrain_cpc OPTIONS\n"
    text += "```bash\npython -m experiments.sweep.server --port 1  # a port\n```\n"
    assert list(list_commands(text)) == [
        ("epc", "--root", "A"),
        ("pretrain-cpc",),
        ("sweep", "server", "--port", "1"),
        ("ser", "--seeds", "2"),
    ]


def test_the_documents_name_commands():
    assert len(COMMANDS) > 50


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_command_of_the_documents_is_understood(words, monkeypatch, capsys):
    started = []
    for module in (commandline, sweep):
        monkeypatch.setattr(module, "check_inputs", lambda settings: None)
        monkeypatch.setattr(module, "run_or_explain", started.append)
    numbered = [f"{word}{place}" if word == "RUN" else word for place, word in enumerate(words)]
    monkeypatch.setattr(sys, "argv", ["conversation-emotion", *numbered])
    status = None
    try:
        program.main()
    except SystemExit as error:
        status = error.code
    assert status == (0 if "--help" in words else None), capsys.readouterr().err
    assert len(started) == ("--help" not in words)


@pytest.mark.parametrize("document", [name for name in DOCUMENTS if "benchmarks" not in name])
def test_every_flag_that_a_document_names_is_one_of_a_command(document):
    assert sorted(set(list_flags(DOCUMENTS[document])) - known_flags()) == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_file_of_the_project_that_a_document_names_exists(document):
    code = "\n".join(list_code(DOCUMENTS[document]))
    modules = re.findall(rf"-m ((?:{PACKAGES})(?:\.[a-z]\w*)+)", code)
    places = [module.replace(".", "/") for module in modules]
    places += re.findall(rf"(?<![\w/.-])((?:{PACKAGES})/[\w/.-]*\w)", code)
    found = [
        place for place in places if (ROOT / place).exists() or (ROOT / f"{place}.py").exists()
    ]
    assert sorted(set(places) - set(found) - MADE) == []
