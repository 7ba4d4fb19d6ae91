"""Results as data: a typed record for each row of a table, which is written as text afterwards."""

import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field, fields
from itertools import combinations
from pathlib import Path
from typing import Annotated, Literal

import pandas as pd
from pydantic import BeforeValidator, ConfigDict, PlainSerializer, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass
from rich.console import Console

from conversation_emotion.evaluation.jackknife import cluster_column
from conversation_emotion.evaluation.metrics import ClassScore, Interval, describe_metric
from conversation_emotion.evaluation.rendering import (
    Cell,
    Line,
    format_number,
    interval_cell,
    render_table,
)
from conversation_emotion.evaluation.significance import compare_predictions, correct_by_holm

SCHEMA_VERSION = 1
"""Of `results.json`; a change that older readers cannot take raises it."""

KEPT_WIDTH = 100
"""Columns of a table that is kept, or printed where there is no terminal."""

RowKind = Literal["model", "baseline", "published", "reference"]

_NUMBERS = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}
"""Numbers that JSON writes as text."""


def _read_number(value: object) -> object:
    return _NUMBERS.get(value, value) if isinstance(value, str) else value


def _read_record(value: object) -> object:
    is_record = isinstance(value, dict)
    return {name: _read_number(one) for name, one in value.items()} if is_record else value


_AS_RECORD = (BeforeValidator(_read_record), PlainSerializer(lambda record: record._asdict()))

_Number = Annotated[float, BeforeValidator(_read_number)]
_Interval = Annotated[Interval, *_AS_RECORD]
_ClassScore = Annotated[ClassScore, *_AS_RECORD]

STRICT = ConfigDict(strict=True, extra="forbid", ser_json_inf_nan="strings")
"""Types are as declared, without conversion; a key too many is an error."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class RowResult:
    """A row of a results table: one system on one task, with all that its scores depend on."""

    name: str
    """What the row is called in the table."""

    kind: RowKind = "model"
    """Whether it was trained here, is a baseline, was published, or is a number to compare with."""

    task: str = ""
    """What is predicted."""

    task_version: int = 1
    """Raised whenever scores of a task are no longer comparable."""

    protocol: str = ""
    corpus: str = ""
    label_set: str = ""
    """Names of the split, of the corpus that is tested on, and of the label map."""

    modality: str = ""
    encoder: str = ""
    """Modalities and encoders of the input."""

    settings: dict[str, str] = field(default_factory=dict)
    """Every setting by its name, written as on the command line."""

    metrics: dict[str, _Interval] = field(default_factory=dict)
    """Scores with intervals by the name of the metric; shares, where it is in percent."""

    values: dict[str, _Number] = field(default_factory=dict)
    """Numbers without an interval, such as published figures and p values; shares likewise."""

    per_class: dict[str, _ClassScore] = field(default_factory=dict)
    """Recall and F1 of each class by its label."""

    num_folds: int = 0
    num_seeds: int = 0
    """Folds that were trained, and trainings of each."""

    n: int = 0
    """Target utterances, each counted once."""

    command: str = ""
    commit: str = ""
    run_id: str = ""
    """Shell command that gives the row, commit of the code, and run in the tracking."""

    source: str = ""
    """Where a published figure comes from."""

    def __post_init__(self) -> None:
        for metric in (*self.metrics, *self.values):
            describe_metric(metric)

    def cell(self, metric: str) -> Cell:
        """Writes what the row has of a metric; published shares have one digit more."""
        if metric in self.metrics:
            num_folds = 1 if describe_metric(metric).is_pooled else self.num_folds
            several = num_folds * self.num_seeds > 1
            return interval_cell(self.metrics[metric], metric, has_deviation=several)
        if metric not in self.values:
            return Cell()
        is_exact = self.kind == "published" and describe_metric(metric).is_percent
        return Cell(format_number(self.values[metric], metric, extra_digits=int(is_exact)))


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ResultsTable:
    """The rows of a table with what is needed to write them as text."""

    schema_version: Literal[1] = SCHEMA_VERSION
    """Version of the format."""

    title: str
    """Line above the table."""

    columns: tuple[str, ...]
    """Metrics in the order of their columns."""

    rows: tuple[RowResult, ...]
    """From top to bottom."""

    notes: tuple[str, ...] = ()
    """Lines below the table, such as protocol and sources."""

    def __post_init__(self) -> None:
        for metric in self.columns:
            describe_metric(metric)

    def __str__(self) -> str:
        return self.render()

    def render(self, width: int | None = None) -> str:
        """Writes the table as text; without a width, as wide as the terminal.

        Args:
            width: Columns, 80 at least; `KEPT_WIDTH` if None and there is no terminal.
        """
        width = screen_width() if width is None else width
        described = [describe_metric(metric) for metric in self.columns]
        percent = [one.title for one in described if one.is_percent]
        every = "" if len(percent) == len(described) else f"{', '.join(percent)} "
        return render_table(
            self.title,
            f"{every}in percent" if percent else "",
            [one.title for one in described],
            [Line(row.name, [row.cell(metric) for metric in self.columns]) for row in self.rows],
            notes=self.notes,
            commands=dict.fromkeys(row.command for row in self.rows if row.command),
            width=width,
        )

    def to_frame(self) -> pd.DataFrame:
        """Returns all numbers, a row for each row of the table and each of its metrics.

        Returns:
            Columns ``metric``, ``score``, ``low``, ``high``, ``deviation`` and ``n``, the last
            four missing where a number has no interval; before them the fields of `RowResult`,
            settings and scores of classes as JSON.
        """
        order = [
            one.name for one in fields(RowResult) if one.name not in ("metrics", "values", "n")
        ]
        records = []
        for row in self.rows:
            written = json.loads(_ROW.dump_json(row))
            fixed = {
                name: json.dumps(value) if isinstance(value, dict) else value
                for name, value in written.items()
            }
            numbers = {name: found._asdict() for name, found in row.metrics.items()}
            numbers |= {
                name: {"score": one, "n": row.n or None} for name, one in row.values.items()
            }
            records += [{**fixed, "metric": name, **found} for name, found in numbers.items()]
        frame = pd.DataFrame(records, columns=[*order, "metric", *Interval._fields])
        return frame.astype({**dict.fromkeys(Interval._fields[:4], "float64"), "n": "Int64"})

    def to_json(self) -> str:
        """Writes everything as JSON; NaN and infinity are text."""
        return _TABLE.dump_json(self, indent=2).decode()

    @classmethod
    def from_json(cls, text: str, name: str = "the text") -> "ResultsTable":
        """Reads what `to_json` wrote.

        Args:
            text: A results table.
            name: Of the file that holds it, for errors.

        Raises:
            ValueError: The text is of another version, or no results table.
        """
        try:
            written = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{name}: is no JSON of results ({error}); write it again") from error
        found = written.get("schema_version") if isinstance(written, dict) else None
        if found != SCHEMA_VERSION:
            raise ValueError(
                f"{name}: results of schema version {found}, expected {SCHEMA_VERSION}; read them "
                "with the version of conversation-emotion that wrote them"
            )
        try:
            return _TABLE.validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise ValueError(f"{name}: {place}: {first['msg']}, got {first['input']!r}") from error

    @classmethod
    def read(cls, file: Path) -> "ResultsTable":
        """Reads the ``results.json`` that `write` wrote.

        Raises:
            ValueError: The file is of another version, or no results table.
        """
        return cls.from_json(file.read_text("utf-8", errors="replace"), str(file))

    def write(self, folder: Path) -> None:
        """Writes ``results.json``, ``results.parquet`` and ``table.txt``.

        ``results.json`` comes last and goes first: where it is, the others are whole and belong to
        it.
        """
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".results-") as place:
            draft = Path(place)
            self.to_frame().to_parquet(draft / "results.parquet", index=False)
            (draft / "table.txt").write_text(self.render(KEPT_WIDTH), encoding="utf-8")
            (draft / "results.json").write_text(self.to_json(), encoding="utf-8")
            (folder / "results.json").unlink(missing_ok=True)
            for file in ("results.parquet", "table.txt", "results.json"):
                (draft / file).replace(folder / file)


def screen_width() -> int:
    """Returns the columns of the terminal, `KEPT_WIDTH` where there is none."""
    terminal = Console()
    return terminal.width if terminal.is_terminal else KEPT_WIDTH


_ROW = TypeAdapter(RowResult)
_TABLE = TypeAdapter(ResultsTable)


def name_metrics(part: str, scores: Mapping[str, Interval]) -> dict[str, float]:
    """Returns scores by their names in the tracking: ``test/uar``, ``test/uar_ci_low``."""
    named = {
        f"{part}/{name}{suffix}": value
        for name, interval in scores.items()
        for suffix, value in zip(("", "_ci_low", "_ci_high", "_std"), interval, strict=False)
    }
    return {**named, f"{part}/num_targets": next(iter(scores.values())).n}


def describe_bounds(predictions: pd.DataFrame) -> str:
    """Describes the intervals of predictions: ``95 % interval over 10 speakers``."""
    return f"95 % interval over {describe_clusters(predictions)}"


def describe_clusters(predictions: pd.DataFrame) -> str:
    """Counts the clusters of predictions, such as ``10 speakers``.

    They have the column ``utterance_id``, and ``cluster`` or else ``dialogue_id``.
    """
    names = pd.Series(cluster_column(predictions).unique()).astype(str)
    kinds = names.str.extract(r"^(speaker|dialogue) ", expand=False).fillna("dialogue")
    if len(names) == predictions["utterance_id"].nunique():
        kinds[:] = "utterance"
    counts = kinds.value_counts(sort=False)
    return " and ".join(_count(count, str(kind)) for kind, count in counts.items())


def with_pooled(columns: Sequence[str], rows: Iterable[RowResult]) -> tuple[str, ...]:
    """Adds the pooled UAR behind the mean of folds, where there are several folds."""
    is_pooled = any(row.num_folds > 1 and "pooled_uar" in row.metrics for row in rows)
    added = {"uar": ("uar", "pooled_uar")} if is_pooled else {}
    return tuple(name for column in columns for name in added.get(column, (column,)))


def describe_protocol(
    protocol: str,
    validation: str,
    notes: Sequence[str] = (),
    *,
    num_folds: int,
    num_seeds: int,
    n: int | Mapping[str, int],
    bounds: str,
) -> Iterator[str]:
    """Describes how scores came about.

    Args:
        protocol: Name of the split.
        validation: How its valid part was drawn.
        notes: What train and test share, and what targets lack.
        num_folds: Folds that were trained.
        num_seeds: Trainings of each fold.
        n: Target utterances, or those of each part by its name.
        bounds: What the numbers in brackets are, see `describe_bounds`.
    """
    if isinstance(n, int):
        counts = f" = {n:,}"
    else:
        counts = ": " + ", ".join(f"{name} {count:,}" for name, count in n.items())
    trainings = f"{_count(num_folds, 'fold')} x {_count(num_seeds, 'seed')}"
    mean = "score of" if num_folds * num_seeds == 1 else "mean ± deviation over"
    yield f"{mean} {trainings} [{bounds}], n{counts}"
    yield f"protocol {protocol}; valid: {validation}"
    yield from (f"note: {note}" for note in notes)


def describe_classes(labels: Sequence[str], dropped: Mapping[str, int], num_unlabelled: int) -> str:
    """Describes the classes, and the utterances that are no targets.

    ``dropped`` counts the utterances of emotions that belong to no class, by emotion.
    """
    left_out = ", ".join(f"{count:,} {name}" for name, count in dropped.items()) or "none"
    return (
        f"classes: {', '.join(labels)}; other emotions, not predicted: {left_out}; "
        f"{num_unlabelled:,} unlabelled"
    )


def describe_failures(failures: Iterable[str]) -> Iterator[str]:
    """Names the first ten clips that could not be read, if there are any."""
    if names := sorted(failures):
        more = ", ..." if len(names) > 10 else ""
        yield (
            f"{_count(len(names), 'clip')} could not be read and count as silence: "
            f"{', '.join(names[:10])}{more}"
        )


def describe_sources(rows: Iterable[RowResult]) -> Iterator[str]:
    """Names the sources of the published figures among the rows, each once."""
    if sources := sorted({row.source for row in rows if row.kind == "published"}):
        yield "published: " + "; ".join(sources)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def compare_rows(tables: Mapping[str, pd.DataFrame], labels: Sequence[str]) -> ResultsTable:
    """Compares all pairs of systems in UAR by a paired t test over clusters.

    Args:
        tables: Predictions of each system on valid and test, by the name of its row.
        labels: Names of the classes (C).
    """
    tested = {name: table[table["part"] == "test"] for name, table in tables.items()}
    pairs = list(combinations(tested, 2))
    found = [compare_predictions(tested[a], tested[b], len(labels)) for a, b in pairs]
    corrected = correct_by_holm([p_value for _, p_value in found])
    rows = [
        RowResult(
            name=f"{one} - {other}",
            kind="reference",
            metrics={"difference": difference},
            values={"p_value": p_value, "p_holm": p_holm},
            n=difference.n,
        )
        for (one, other), (difference, p_value), p_holm in zip(pairs, found, corrected, strict=True)
    ]
    bounds = describe_bounds(next(iter(tested.values())))
    return ResultsTable(
        title="Differences in UAR, paired t test",
        columns=("difference", "p_value", "p_holm"),
        rows=tuple(rows),
        notes=(
            f"first row minus second [{bounds}]",
            "p of no difference, alone and corrected for the number of differences (Holm, 1979)",
        ),
    )
