"""Published figures and the corpora of pre-training, read from ``published.toml``."""

import json
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import field
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter
from pydantic.dataclasses import dataclass

from conversation_emotion.evaluation.metrics import describe_metric
from conversation_emotion.evaluation.results import STRICT, RowResult
from conversation_emotion.settings.features import split_encoder

FILE = Path(__file__).with_name("published.toml")


def find_published(task: str, **keys: object) -> list[RowResult]:
    """Returns the published figures of a task, in the order of the papers.

    Args:
        task: One of the tasks of ``published.toml``, such as ``epc``.
        **keys: Values that the figures have to have of ``corpus``, ``label_set``, ``modality``, or
            of a setting such as ``train``, ``row`` or ``alpha``.

    Returns:
        Rows of kind ``published`` with figures in their ``values``, shares as 0 to 1.

    Raises:
        ValueError: No figures are published for the task.
    """
    figures = read_figures()
    tasks = {row.task for row in figures}
    if task not in tasks:
        raise ValueError(
            f"no published figures of task {task!r}; choose from {', '.join(sorted(tasks))}"
        )
    wanted = {"task": task, **{name: str(value) for name, value in keys.items()}}
    data = ("task", "corpus", "label_set", "modality")
    return [
        row
        for row in figures
        if wanted.items() <= {**row.settings, **{name: getattr(row, name) for name in data}}.items()
    ]


def describe_pretraining(encoders: Iterable[str], corpora: Collection[str]) -> Iterator[str]:
    """Describes which of the corpora each encoder was pre-trained on, as far as published.

    Every encoder, a name or a path that ends in it, is described once.
    """
    for encoder in dict.fromkeys(part for name in encoders for part in split_encoder(name)):
        given = find_pretraining(encoder)
        for corpus in corpora:
            if corpus in given:
                yield f"{encoder} was pre-trained on {corpus}: {given[corpus]}"


def find_pretraining(encoder: str) -> Mapping[str, str]:
    """Returns the corpora that an encoder was pre-trained on, and how, as far as published."""
    return _read(FILE).pretraining.get(Path(encoder).name, {})


@cache
def read_figures(file: Path = FILE) -> tuple[RowResult, ...]:
    """Reads all figures.

    Raises:
        ValueError: A key, a source or a metric is unknown.
    """
    content = _read(file)
    return tuple(
        _make_row(table, figure, content.sources)
        for table in content.table
        for figure in table.figures
    )


@dataclass(frozen=True, kw_only=True, config=STRICT)
class _Figure:
    """Numbers of one system, as printed."""

    system: str
    metrics: dict[str, float]
    source: str = ""
    settings: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class _Table:
    """Figures that share their task, data and, but for those with their own, source."""

    task: str
    corpus: str
    source: str
    figures: list[_Figure]
    label_set: str = ""
    modality: str = ""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class _Content:
    sources: dict[str, str]
    pretraining: dict[str, dict[str, str]]
    table: list[_Table]


@cache
def _read(file: Path) -> _Content:
    content = tomllib.loads(file.read_text("utf-8"))
    return TypeAdapter(_Content).validate_json(json.dumps(content))


def _make_row(table: _Table, figure: _Figure, sources: Mapping[str, str]) -> RowResult:
    source = figure.source or table.source
    if source not in sources:
        raise ValueError(f"{figure.system}: no source {source!r}; choose from {', '.join(sources)}")
    return RowResult(
        name=f"published: {figure.system}",
        kind="published",
        task=table.task,
        corpus=table.corpus,
        label_set=table.label_set,
        modality=table.modality,
        settings=figure.settings,
        values={
            name: number / 100 if describe_metric(name).is_percent else number
            for name, number in figure.metrics.items()
        },
        source=sources[source],
    )
