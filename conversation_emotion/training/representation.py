"""Trains probes to the same stage, and reads their first linear layer on test."""

from collections.abc import Iterable
from contextlib import AbstractContextManager

import pandas as pd
from torch import Tensor, nn

from conversation_emotion.datasets.batches import Batch
from conversation_emotion.figures.representation import Represented
from conversation_emotion.models.conversation import UtteranceModel
from conversation_emotion.splits.folds import Fold
from conversation_emotion.tasks.emotion import UtteranceEmotion
from conversation_emotion.tasks.task import collect_outputs
from conversation_emotion.tracker import ParentTracker, Tracker, training_name
from conversation_emotion.training.cross_validation import train_fold
from conversation_emotion.training.fit import OnEpoch
from conversation_emotion.training.side_by_side import Work, run_trainings

REPRESENTATIONS = "representations.parquet"


def represent(encoder: str, task: UtteranceEmotion, tracker: ParentTracker) -> Represented:
    """Trains each fold and seed to the stage, or reads the trainings of an interrupted run."""

    def read(fold: Fold, seed: int) -> pd.DataFrame | None:
        return tracker.read_finished(training_name(fold.name, seed), REPRESENTATIONS)

    def open_run(fold: Fold, seed: int) -> AbstractContextManager[Tracker]:
        params = {"fold": fold.name, "seed": seed}
        return tracker.open_child(training_name(fold.name, seed), params)

    def train(fold: Fold, seed: int, on_epoch: OnEpoch) -> pd.DataFrame:
        trained = train_fold(task, fold, seed, on_epoch=on_epoch)
        return _read_layer(trained.model, task.batches(fold, seed).test)

    def keep(table: pd.DataFrame, run: Tracker) -> pd.DataFrame:
        run.log_table(table, REPRESENTATIONS)
        return table

    tables = run_trainings(task, Work(read, open_run, train, keep), encoder)
    return Represented(encoder, task.dataset, tables)


def _read_layer(model: nn.Module, batches: Iterable[Batch]) -> pd.DataFrame:
    """Reads the first linear layer, averaged over frames, for each utterance of the batches."""
    assert isinstance(model, UtteranceModel)

    def read(batch: Batch) -> tuple[Tensor, ...]:
        units = model.projection(model.perceive(batch))
        return units.float(), model.head(units).float().softmax(dim=-1), batch.target_rows

    units, probabilities, rows = collect_outputs(model, batches, read)
    columns = {f"h{number}": column for number, column in enumerate(units.T)}
    return pd.DataFrame({"row": rows, "predicted": probabilities.argmax(axis=1), **columns})
