"""What is published about each corpus: counts with their source, licence, where to ask for it."""

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from rich import box
from rich.console import Console
from rich.table import Table

from conversation_emotion.settings.corpus import find_corpus

FILE = Path(__file__).with_name("published.toml")


@dataclass(frozen=True, kw_only=True)
class Facts:
    """One corpus as published; the head of `FILE` explains each field."""

    title: str
    languages: str
    source: str
    grade: Literal["P", "S", "M"]
    ask: str
    hours: float | None = None
    utterances: int | None = None
    speakers: int | None = None
    classes: int | None = None
    emotions: dict[str, int] = field(default_factory=dict)
    splits: dict[str, int] = field(default_factory=dict)
    people: list[str] = field(default_factory=list)
    licence: str = ""
    licence_grade: Literal["P", "S", "M", ""] = ""


def load_facts() -> dict[str, Facts]:
    """Reads the facts of each corpus that has any."""
    return {name: Facts(**entry) for name, entry in tomllib.loads(FILE.read_text("utf-8")).items()}


def show_facts() -> None:
    """Prints a line for each corpus, and what the figures are based on."""
    terminal = Console()
    table = Table(
        title="corpora",
        caption="Grades of the counts and of licences: P read at the source, S in somebody's "
        "summary, M from memory, to be verified.\nLabels and split are those of --labels auto and "
        "--split auto.\nBesides these, audformat, huggingface and manifest read data of your own, "
        "and demo is built in.\nWhat --root is: "
        "python -m experiments.corpora check --corpus NAME",
        caption_justify="left",
        title_justify="left",
        box=box.SIMPLE_HEAD,
    )
    for column in ("name", "corpus", "languages"):
        table.add_column(column, overflow="fold")
    for column in ("hours", "utterances", "speakers", "classes"):
        table.add_column(column, justify="right", no_wrap=True)
    for column in ("grade", "labels and split", "licence", "where to ask"):
        table.add_column(column, overflow="fold", no_wrap=not terminal.is_terminal)
    for name, facts in load_facts().items():
        source = find_corpus(name)
        numbers = (facts.utterances, facts.speakers, facts.classes)
        licence = f"{facts.licence} ({facts.licence_grade})" if facts.licence else ""
        table.add_row(
            name,
            facts.title,
            facts.languages,
            "" if facts.hours is None else f"{facts.hours:.1f}",
            *("" if number is None else f"{number:,}" for number in numbers),
            facts.grade,
            f"{source.labels}, {source.split or 'official or speaker-k-fold'}",
            licence,
            facts.ask,
        )
    console = terminal if terminal.is_terminal else Console(width=280)
    console.print(table)
