"""Cross-validation: every fold is trained with every seed, its predictions kept and scored."""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import numpy as np
import pandas as pd
from torch import nn

from conversation_emotion.datasets.batches import seed_everything
from conversation_emotion.evaluation import results
from conversation_emotion.evaluation.metrics import (
    Interval,
    count_confusions,
    score_classes,
    unweighted_average_recall,
)
from conversation_emotion.figures.confusions import draw_confusions
from conversation_emotion.splits.folds import Fold
from conversation_emotion.tasks.task import MODEL, SINGLE, Batches, Scores, Task, find_device
from conversation_emotion.tracker import (
    PREDICTIONS,
    UTTERANCES,
    MemoryTracker,
    ParentTracker,
    Tracker,
    Validation,
    training_name,
)
from conversation_emotion.training.checkpoints import Checkpoints, StoredCheckpoints
from conversation_emotion.training.fit import Fitted, OnEpoch, fit
from conversation_emotion.training.scored import list_scored
from conversation_emotion.training.side_by_side import Work, run_trainings


class Trained(NamedTuple):
    """A fitted model in evaluation mode with its predictions.

    ``predictions`` are those on valid and test, with the columns ``fold``, ``seed``, ``part`` and
    ``epochs``, which the best weights took, 0 where the model was solved; ``score`` is that on
    valid by the metric that selects, larger is better.
    """

    model: nn.Module
    predictions: pd.DataFrame
    score: float


OnTrained = Callable[[Trained, Tracker], None]


def cross_validate(
    task: Task,
    tracker: ParentTracker,
    *,
    folder: Path | None = None,
    on_trained: OnTrained | None = None,
) -> pd.DataFrame:
    """Trains each fold with each seed and returns all predictions on valid and test.

    Predictions that an interrupted command had kept are read back instead; the others are trained
    side by side, see `run_trainings`. A resumable task keeps its state in ``folder`` until a
    training is finished; ``on_trained`` is called with every model that is not read back, and its
    run, in the order in which trainings end.
    """

    def name(fold: Fold, seed: int) -> str:
        return task.prefix + training_name(fold.name, seed)

    def read(fold: Fold, seed: int) -> pd.DataFrame | None:
        table = tracker.read_finished(name(fold, seed), PREDICTIONS)
        return table if task.is_finished(fold, seed) else None

    @contextmanager
    def open_run(fold: Fold, seed: int) -> Iterator[Tracker]:
        with tracker.open_child(name(fold, seed), {"fold": fold.name, "seed": seed}) as run:
            yield run
        if (state := _state_folder(folder, fold, seed)) is not None:
            shutil.rmtree(state, ignore_errors=True)

    def train(fold: Fold, seed: int, on_epoch: OnEpoch) -> Trained:
        state = _state_folder(folder, fold, seed)
        trained = train_fold(task, fold, seed, folder=state, on_epoch=on_epoch)
        return trained if on_trained is not None else trained._replace(model=nn.Module())

    def keep(trained: Trained, run: Tracker) -> pd.DataFrame:
        table = trained.predictions
        run.log_table(table, PREDICTIONS)
        if task.labels:
            confusions = _count(task, table[table["part"] == "test"])
            run.log_metrics({"test/uar": float(unweighted_average_recall(confusions))})
        if on_trained is not None:
            on_trained(trained, run)
        return table

    tables = run_trainings(task, Work(read, open_run, train, keep), "folds x seeds")
    return pd.concat(tables.values(), ignore_index=True)


def _state_folder(folder: Path | None, fold: Fold, seed: int) -> Path | None:
    """Returns the folder of one training alone: the state of another would end it at once."""
    return None if folder is None else folder / f"seed{seed}" / quote(fold.name, safe="")


def train_fold(
    task: Task,
    fold: Fold,
    seed: int,
    *,
    folder: Path | None = None,
    on_epoch: OnEpoch = lambda epoch, metrics: None,
) -> Trained:
    """Trains one fold with one seed, and predicts valid and test.

    A model that learns from valid at the end, see `Task.extend`, does so between the two.
    """
    seed_everything(seed)
    batches, device = task.batches(fold, seed), find_device()
    fitted = _fit(task, fold, batches, folder, on_epoch)
    model = task.finish(fitted.model, fold, seed).to(device)
    single = _build_single(task, fitted)
    tables, score = [], np.nan
    for part, loader in (("valid", batches.valid), ("test", batches.test)):
        if part == "test":
            model = task.extend(model, fold, seed).to(device)
        predictions = task.predict(model, loader)
        table = task.tabulate(predictions, fold, part)
        probed = pd.DataFrame(task.probe(model, fold, part), index=table.index)
        table = pd.concat([table, probed], axis=1)  # at once: a hundred columns one by one are slow
        if part == "valid":
            score = task.rank(task.score(predictions))
        if single is not None:
            predictions = task.predict(single, loader)
            table[SINGLE] = task.tabulate(predictions, fold, part)["predicted"]
        table = table.assign(fold=fold.name, seed=seed, part=part, epochs=fitted.epochs)
        tables.append(table)
    return Trained(model, pd.concat(tables, ignore_index=True), float(score))


def _fit(
    task: Task,
    fold: Fold,
    batches: Batches,
    folder: Path | None,
    on_epoch: OnEpoch,
) -> Fitted:
    """Builds and fits a model, or solves it in no epoch."""
    model = task.build(fold)
    if (solved := task.solve(model, fold, batches)) is not None:
        return Fitted(solved.to(find_device()), None, 0)
    keep = task.training.average_best
    return fit(
        task,
        fold,
        model,
        batches.training,
        batches.valid,
        checkpoints=Checkpoints(keep) if folder is None else StoredCheckpoints(folder, keep),
        on_epoch=on_epoch,
    )


def _build_single(task: Task, fitted: Fitted) -> nn.Module | None:
    """Builds the model with the best single weights, where the task scores it."""
    if not task.scores_single or fitted.single is None:
        return None
    single = task.rebuild(fitted.model).to(find_device())
    single.load_state_dict(fitted.single)
    return single


def validate(task: Task, *, folder: Path | None = None) -> Iterator[Validation]:
    """Trains each fold with each seed and yields its score on valid; test is not used."""
    for fold, seed in task.trainings():
        seed_everything(seed)
        batches, run = task.batches(fold, seed), MemoryTracker()
        state = _state_folder(folder, fold, seed)
        model = _fit(task, fold, batches, state, run.log_step).model
        if state is not None:
            shutil.rmtree(state, ignore_errors=True)
        score = task.rank(task.score(task.predict(model, batches.valid)))
        num_weights = sum(weights.numel() for weights in model.parameters())
        name = training_name(fold.name, seed)
        yield Validation(name, score, num_weights, run.points, task.select_by)


def evaluate(task: Task, predictions: pd.DataFrame, tracker: Tracker) -> Scores:
    """Scores all predictions with intervals, and keeps them with the run.

    The model is scored on valid as well: that is what selected, and it flatters.
    """
    test, valid = (predictions[predictions["part"] == part] for part in ("test", "valid"))
    scores = task.evaluate(test)
    metrics = results.name_metrics("test", scores[MODEL])
    metrics |= results.name_metrics("valid", task.evaluate(valid)[MODEL])
    for system in scores.keys() - {MODEL}:
        metrics |= results.name_metrics(f"baseline_{system}", scores[system])
    tracker.log_metrics(metrics)
    tracker.log_table(predictions, PREDICTIONS)
    tracker.log_table(list_scored(task.dataset, predictions), UTTERANCES)
    tracker.log_text(json.dumps(dict(task.failures), indent=2), "failed_clips.json")
    if task.labels:
        tracker.log_text(json.dumps(describe_labels(task), indent=2), "label_map.json")
        drawn = draw_confusions(_count(task, test), task.labels, "test, all folds")
        tracker.log_figure(drawn, "confusions.png")
    return scores


def describe_labels(task: Task) -> dict[str, object]:
    """Returns the label map of a task, what it leaves out, and its metric, for a JSON file."""
    dataset = task.dataset
    return {
        "corpus": dataset.label_map.corpus,
        "label_set": dataset.label_map.label_set,
        "labels": task.labels,
        "classes": dataset.label_map.classes,
        "dropped": dataset.targets.num_dropped,
        "unlabelled": dataset.targets.num_unlabelled,
        "select_by": task.select_by,
    }


def record_row(
    task: Task,
    predictions: pd.DataFrame,
    metrics: Mapping[str, Interval],
    *,
    system: str = MODEL,
    **fields: Any,
) -> results.RowResult:
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
    return results.RowResult(**{**own, **fields})


def describe_protocol(task: Task, n: int | Mapping[str, int], bounds: str) -> Iterator[str]:
    """Describes how the scores of a task came about, its classes if it has any, and its data."""
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
    yield from task.notes()


def _count(task: Task, test: pd.DataFrame) -> np.ndarray:
    """Counts the confusions of predictions on test: (C, C)."""
    targets, predicted = (test[name].to_numpy() for name in ("target", "predicted"))
    return count_confusions(targets, predicted, len(task.labels))
