"""The end of every experiment: scores with their baselines, kept with the run, and one table."""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

import pandas as pd
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from conversation_emotion.datasets.dataset import Corpus
from conversation_emotion.evaluation.metrics import (
    METRICS,
    Interval,
    count_confusions,
    score_predictions,
)
from conversation_emotion.figures.confusions import draw_confusions
from experiments._folds import PREDICTIONS, Prepared
from experiments._published import Published
from experiments.tracking.runs import TrackedRun

TITLES = {"uar": "UAR", "macro_f1": "macro F1", "wa": "WA", "weighted_f1": "weighted F1"}

MODEL = "model"
"""The system that was trained, among the baselines beside it."""

Scores = dict[str, dict[str, Interval]]
"""Each system's intervals by metric."""


class HasSeeds(Protocol):
    """Says how many times each fold was trained."""

    @property
    def seeds(self) -> int: ...


class Row(NamedTuple):
    """A line of the table: a system and its cells, in the order of `METRICS`."""

    system: str
    cells: tuple[str, ...]


def score(
    prepared: Prepared,
    predictions: pd.DataFrame,
    run: TrackedRun,
    *,
    baselines: Iterable[str],
    num_resamples: int,
) -> Scores:
    """Scores the model and its baselines on test, the model on valid, and keeps all with the run.

    Args:
        prepared: What was trained on.
        predictions: All predictions of `run_folds`.
        run: Where metrics and artifacts are kept.
        baselines: Columns of the predictions that judge beside the model.
        num_resamples: Bootstrap resamples behind each interval.
    """
    num_classes = len(prepared.corpus.label_map.labels)
    test = predictions[predictions["part"] == "test"]
    valid = predictions[predictions["part"] == "valid"]
    columns = {MODEL: "predicted", **{name: name for name in baselines}}
    scores = {
        system: score_predictions(
            test.assign(predicted=test[column]), num_classes, num_resamples=num_resamples
        )
        for system, column in columns.items()
    }
    metrics = name_metrics("test", scores[MODEL])
    metrics |= name_metrics(
        "valid", score_predictions(valid, num_classes, num_resamples=num_resamples)
    )
    for name in baselines:
        metrics |= name_metrics(f"baseline_{name}", scores[name])
    run.log_metrics(metrics)
    _keep(prepared, predictions, test, run)
    return scores


def name_metrics(part: str, scores: dict[str, Interval]) -> dict[str, float]:
    """Names scores as the tracking keeps them."""
    metrics = {}
    for name, interval in scores.items():
        metrics[f"{part}/{name}"] = interval.score
        metrics[f"{part}/{name}_ci_low"] = interval.low
        metrics[f"{part}/{name}_ci_high"] = interval.high
        metrics[f"{part}/{name}_std"] = interval.deviation
    return {**metrics, f"{part}/num_judged": next(iter(scores.values())).num_judged}


def _keep(
    prepared: Prepared, predictions: pd.DataFrame, test: pd.DataFrame, run: TrackedRun
) -> None:
    """Keeps predictions, label map, failing clips and the pooled confusions as artifacts."""
    corpus = prepared.corpus
    labels = corpus.label_map.labels
    run.log_table(predictions, PREDICTIONS)
    label_map = {
        "corpus": corpus.label_map.corpus,
        "label_set": corpus.label_map.label_set,
        "labels": labels,
        "classes": corpus.label_map.classes,
        "dropped": corpus.targets.num_dropped,
        "unlabelled": corpus.targets.num_unlabelled,
    }
    run.log_text(json.dumps(label_map, indent=2), "label_map.json")
    run.log_text(json.dumps(prepared.failures, indent=2), "failed_clips.json")
    confusions = count_confusions(
        test["target"].to_numpy(), test["predicted"].to_numpy(), len(labels)
    )
    run.log_figure(draw_confusions(confusions, labels, "test, all folds"), "confusions.png")


def scored_row(
    system: str, scores: dict[str, Interval], metrics: Sequence[str] = tuple(METRICS)
) -> Row:
    """Lays out what was measured."""
    return Row(system, tuple(format_interval(scores[metric]) for metric in metrics))


def published_row(published: Published, metrics: Sequence[str] = tuple(METRICS)) -> Row:
    """Lays out what was published; what was not is left empty."""
    scores = (getattr(published, metric) for metric in metrics)
    cells = tuple("" if score is None else f"{score:.2f}" for score in scores)
    return Row(f"published: {published.system}", cells)


def describe_protocol(corpus: Corpus, training: HasSeeds, num_judged: int) -> Iterator[str]:
    """Says how the scores came about: protocol by name, n, classes, and what is not judged."""
    yield (
        f"mean ± deviation over {len(corpus.split.folds)} fold(s) x {training.seeds} seed(s) "
        f"[95 % bootstrap interval over dialogues], n = {num_judged:,}"
    )
    yield f"protocol {corpus.split.name}; valid: {corpus.split.validation}"
    yield from (f"note: {note}" for note in corpus.split.notes)
    dropped = corpus.targets.num_dropped
    left_out = ", ".join(f"{count} {name}" for name, count in dropped.items()) or "none"
    yield (
        f"classes: {', '.join(corpus.label_map.labels)}; not judged: {left_out}; "
        f"{corpus.targets.num_unlabelled} unlabelled"
    )


def describe_failures(failures: dict[str, str]) -> Iterator[str]:
    """Names the clips that could not be used, if there are any."""
    if failures:
        yield (
            f"{len(failures)} clips could not be used and count as silence: "
            + ", ".join(sorted(failures)[:10])
            + (", ..." if len(failures) > 10 else "")
        )


def describe_sources(published: Iterable[Published]) -> Iterator[str]:
    """Says where published figures come from."""
    if sources := sorted({entry.source for entry in published}):
        yield "published: " + "; ".join(sources)


def print_table(
    title: str,
    rows: Iterable[Row],
    captions: Iterable[str],
    runs: Sequence[TrackedRun],
    *,
    columns: Sequence[str] = tuple(TITLES[name] for name in METRICS),
    unit: str = "in percent",
    commands: Sequence[str] = (),
    file: str = "table.txt",
) -> None:
    """Prints the table and keeps it with every run that it shows.

    Args:
        title: Line above the table.
        rows: Its lines.
        captions: Lines below it.
        runs: Runs that it shows.
        columns: Heads of the cells.
        unit: Head of the first column.
        commands: The command of each row that was measured, to stand below.
        file: Name of the artifact.
    """
    table = Table(
        title=escape(title),
        caption=escape("\n".join(captions)),
        caption_justify="left",
        title_justify="left",
        box=box.SIMPLE_HEAD,
    )
    table.add_column(unit, overflow="fold")
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*map(escape, (row.system, *row.cells)))
    terminal = Console()
    console = terminal if terminal.is_terminal else Console(width=160)
    with console.capture() as capture:
        console.print(table)
    text = capture.get() + "".join(f" {command}\n" for command in commands)
    print(text, end="")
    for run in runs:
        run.log_text(text, file)
    names = " ".join(run.run_id for run in runs)
    print(f"run {names}; see it with: python -m experiments.ui")


def format_interval(interval: Interval) -> str:
    """Writes a score in percent with deviation and interval."""
    score, low, high, deviation = (100 * value for value in interval[:4])
    return f"{score:.1f} ± {deviation:.1f} [{low:.1f}, {high:.1f}]"
