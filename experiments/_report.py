"""The end of a conversation experiment: scores, baselines and published figures in one table."""

import json
from collections.abc import Iterator
from typing import NamedTuple

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table

from conversation_emotion.figures import draw_confusions
from conversation_emotion.metrics import METRICS, Interval, count_confusions, score_predictions
from experiments import _published
from experiments._conversation import ConversationConfig, Prepared
from experiments._tracking import TrackedRun

TITLES = {"uar": "UAR", "macro_f1": "macro F1", "wa": "WA", "weighted_f1": "weighted F1"}


class _Row(NamedTuple):
    system: str
    cells: tuple[str, ...]


def finish(
    config: ConversationConfig, prepared: Prepared, predictions: pd.DataFrame, run: TrackedRun
) -> None:
    """Scores all predictions, keeps them with the run, and prints the table."""
    num_classes = len(prepared.label_map.labels)
    test = predictions[predictions["part"] == "test"]
    valid = predictions[predictions["part"] == "valid"]
    scores = {
        system: score_predictions(
            test.assign(predicted=test[column]),
            num_classes,
            num_resamples=config.training.resamples,
        )
        for system, column in (
            ("model", "predicted"),
            ("last_emotion", "last_emotion"),
            ("majority", "majority"),
        )
    }
    selected = score_predictions(valid, num_classes, num_resamples=config.training.resamples)
    run.log_metrics(
        {**_metrics("test", scores["model"]), **_metrics("valid", selected)}
        | _metrics("baseline_last_emotion", scores["last_emotion"])
        | _metrics("baseline_majority", scores["majority"])
    )
    _keep(prepared, predictions, test, run)
    table = _lay_out(config, prepared, scores)
    _print(table, run)


def _metrics(part: str, scores: dict[str, Interval]) -> dict[str, float]:
    metrics = {}
    for name, interval in scores.items():
        metrics[f"{part}/{name}"] = interval.score
        metrics[f"{part}/{name}_ci_low"] = interval.low
        metrics[f"{part}/{name}_ci_high"] = interval.high
        metrics[f"{part}/{name}_std"] = interval.deviation
    return {**metrics, f"{part}/num_judged": scores["uar"].num_judged}


def _keep(
    prepared: Prepared, predictions: pd.DataFrame, test: pd.DataFrame, run: TrackedRun
) -> None:
    """Keeps predictions, label map, failing clips and the pooled confusions as artifacts."""
    labels = prepared.label_map.labels
    run.log_table(predictions, "predictions.parquet")
    label_map = {
        "corpus": prepared.label_map.corpus,
        "label_set": prepared.label_map.label_set,
        "labels": labels,
        "classes": prepared.label_map.classes,
        "dropped": prepared.targets.num_dropped,
        "unlabelled": prepared.targets.num_unlabelled,
    }
    run.log_text(json.dumps(label_map, indent=2), "label_map.json")
    run.log_text(json.dumps(prepared.failures, indent=2), "failed_clips.json")
    confusions = count_confusions(
        test["target"].to_numpy(), test["predicted"].to_numpy(), len(labels)
    )
    run.log_figure(draw_confusions(confusions, labels, "test, all folds"), "confusions.png")


def _lay_out(
    config: ConversationConfig, prepared: Prepared, scores: dict[str, dict[str, Interval]]
) -> Table:
    uar = scores["model"]["uar"]
    num_folds = len(prepared.split.folds)
    task = "recognition" if config.horizon == 0 else f"prediction, {config.horizon} turn(s) ahead"
    table = Table(
        title=f"Emotion in conversation: {task}; {config.data.corpus}, {config.features.modality}",
        caption="\n".join(_captions(config, prepared, num_folds, uar.num_judged)),
        caption_justify="left",
        title_justify="left",
        box=box.SIMPLE_HEAD,
    )
    table.add_column("in percent", overflow="fold")
    for name in METRICS:
        table.add_column(TITLES[name], justify="right", no_wrap=True)
    for row in _rows(config, prepared, scores):
        table.add_row(row.system, *row.cells)
    return table


def _rows(
    config: ConversationConfig, prepared: Prepared, scores: dict[str, dict[str, Interval]]
) -> Iterator[_Row]:
    told = ", told the past" if config.history_labels == "gold" else ""
    name = f"{config.dialogue_model} GRU, {config.fusion} fusion{told}"
    yield _Row(name, tuple(_cell(scores["model"][metric]) for metric in METRICS))
    for system, title in (
        ("last_emotion", "same emotion as the last turn (knows its gold label)"),
        ("majority", "majority"),
    ):
        yield _Row(title, tuple(_cell(scores[system][metric]) for metric in METRICS))
    if config.data.corpus == "demo" and config.horizon == 1:
        from conversation_emotion.corpora.demo import CEILING_UAR

        yield _Row("ceiling: knows the process and the gold past", (f"{CEILING_UAR:.1%}"[:-1],))
    if config.horizon == 1 and config.data.labels == "4-class":
        key = (config.data.corpus, config.features.modality)
        for published in _published.EPC.get(key, []):
            cells = (f"{published.uar:.2f}", f"{published.macro_f1:.2f}")
            yield _Row(f"published: {published.system}", cells)


def _captions(
    config: ConversationConfig, prepared: Prepared, num_folds: int, num_judged: int
) -> Iterator[str]:
    labels = ", ".join(prepared.label_map.labels)
    yield (
        f"mean ± deviation over {num_folds} fold(s) x {config.training.seeds} seed(s) "
        f"[95 % bootstrap interval over dialogues], n = {num_judged:,}"
    )
    yield f"protocol {prepared.split.name}; valid: {prepared.split.validation}"
    yield from (f"note: {note}" for note in prepared.split.notes)
    if config.history_labels == "gold":
        yield "variant --history-labels gold: the model is told the gold emotions of the past"
    dropped = prepared.targets.num_dropped
    left_out = ", ".join(f"{count} {name}" for name, count in dropped.items()) or "none"
    yield (
        f"classes: {labels}; not judged, kept as context: {left_out}; "
        f"{prepared.targets.num_unlabelled} unlabelled"
    )
    if prepared.failures:
        yield (
            f"{len(prepared.failures)} clips could not be used and count as silence: "
            + ", ".join(sorted(prepared.failures)[:10])
            + (", ..." if len(prepared.failures) > 10 else "")
        )
    key = (config.data.corpus, config.features.modality)
    sources = {published.source for published in _published.EPC.get(key, [])}
    if sources and config.horizon == 1 and config.data.labels == "4-class":
        yield "published: " + "; ".join(sorted(sources))


def _cell(interval: Interval) -> str:
    score, low, high, deviation = (100 * value for value in interval[:4])
    return f"{score:.1f} ± {deviation:.1f} [{low:.1f}, {high:.1f}]"


def _print(table: Table, run: TrackedRun) -> None:
    terminal = Console()
    console = terminal if terminal.is_terminal else Console(width=140)
    with console.capture() as capture:
        console.print(table)
    text = capture.get()
    print(text, end="")
    run.log_text(text, "table.txt")
    print(f"run {run.run_id}; see it with: mlflow ui --backend-store-uri {run.client.tracking_uri}")
