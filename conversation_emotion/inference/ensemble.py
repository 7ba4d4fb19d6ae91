"""An ensemble of all the models that a command trains, kept as one saved model."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from conversation_emotion.evaluation.calibration import Sets
from conversation_emotion.inference.best_model import KeepBest
from conversation_emotion.inference.saved_model import load_model
from conversation_emotion.models.committees import DeepEnsemble
from conversation_emotion.tasks.emotion import TurnEmotion, UtteranceEmotion
from conversation_emotion.tasks.task import WindowTask
from conversation_emotion.tracker import PREDICTIONS, ParentTracker, Tracker, training_name
from conversation_emotion.training.cross_validation import Trained
from conversation_emotion.training.on_all import pool_folds

ENSEMBLE = "ensemble"
"""Name of the fold that an ensemble is of."""


class KeepAll(KeepBest):
    """Keeps the model of each training with its run, to be joined.

    Args:
        task: Task of the models.
        coverage: As of `KeepBest`.
        sets: As of `KeepBest`.

    Raises:
        ValueError: There is one training, or each fold has an encoder of its own.
    """

    def __init__(
        self, task: UtteranceEmotion | TurnEmotion, coverage: float = 0.9, sets: Sets = "speaker"
    ) -> None:
        super().__init__(task, coverage, sets)
        if (number := len(task.trainings())) < 2:
            raise ValueError(f"--ensemble needs two trainings or more, got {number}; raise --seeds")
        WindowTask.on_all(task, pool_folds(task))  # which solves nothing

    def __call__(self, trained: Trained, run: Tracker) -> None:
        """Keeps a model with the run of its training."""
        self.keep(trained, run, self.describe(trained.predictions), trained.predictions)


def join_members(
    keep: KeepBest, folders: Sequence[Path], predictions: pd.DataFrame, tracker: ParentTracker
) -> pd.DataFrame:
    """Keeps the mean of all models as one, and returns its predictions on every target.

    Each target was learned from by some of them: how good they are, and how probabilities are to be
    calibrated, is measured with the models of the folds on their own test parts.

    Args:
        keep: What kept the models.
        folders: Where they are.
        predictions: Those of all trainings.
        tracker: The run of the command.
    """
    task, name = keep.task, training_name(ENSEMBLE, 0)
    if (table := tracker.read_finished(name, PREDICTIONS)) is not None:
        return table
    fold = replace(pool_folds(task), name=ENSEMBLE)
    whole = WindowTask.on_all(task, fold)
    model = DeepEnsemble([load_model(folder).model for folder in folders]).eval()
    found = whole.tabulate(whole.predict(model, whole.batches(fold, 0).test), fold, "test")
    found = found.assign(fold=ENSEMBLE, seed=0, epochs=0)
    table = pd.concat([found.assign(part=part) for part in ("valid", "test")], ignore_index=True)
    training = replace(keep.describe(predictions), fold=ENSEMBLE, seed=0, on_all=True)
    with tracker.open_child(name, {"fold": ENSEMBLE, "seed": 0}) as run:
        run.log_table(table, PREDICTIONS)
        trained = Trained(model, table, 0.0)
        keep.keep(trained, run, training, predictions, num_members=len(folders))
    return table
