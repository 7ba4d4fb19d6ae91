"""Records of a task's scores: rows of a results table, and the protocol of the scores."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from conversation_emotion.evaluation import results
from conversation_emotion.evaluation.metrics import Interval, score_classes
from conversation_emotion.evaluation.results import RowResult
from conversation_emotion.tasks.task import MODEL, Task


def record_row(
    task: Task,
    predictions: pd.DataFrame,
    metrics: Mapping[str, Interval],
    *,
    system: str = MODEL,
    **fields: Any,
) -> RowResult:
    """Records the scores of a system on test with the task, its data, folds, seeds and classes.

    The system is `MODEL` or the column of another; other ``fields`` of `RowResult` win.
    """
    per_class, dataset = {}, task.dataset
    if task.labels:
        test = predictions[predictions["part"] == "test"]
        column = "predicted" if system == MODEL else system
        per_class = score_classes(test.assign(predicted=test[column]), task.labels)
    own = {
        "task": task.name,
        "task_version": task.version,
        "protocol": dataset.split.name,
        "corpus": dataset.label_map.corpus,
        "label_set": dataset.label_map.label_set,
        "kind": "model" if system == MODEL else "baseline",
        "metrics": dict(metrics),
        "per_class": per_class,
        "num_folds": len(dataset.split.folds),
        "num_seeds": task.training.seeds,
        "n": next(iter(metrics.values())).n,
    }
    return RowResult(**{**own, **fields})


def describe_protocol(
    task: Task, n: int | Mapping[str, int], bounds: str = results.BOOTSTRAP
) -> Iterator[str]:
    """Describes how the scores of a task came about, and its classes if it has any."""
    split, targets = task.dataset.split, task.dataset.targets
    yield from results.describe_protocol(
        split.name,
        split.validation,
        split.notes,
        num_folds=len(split.folds),
        num_seeds=task.training.seeds,
        n=n,
        bounds=bounds,
    )
    if task.labels:
        yield results.describe_classes(task.labels, targets.num_dropped, targets.num_unlabelled)
