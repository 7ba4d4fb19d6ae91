"""One model on the targets of all folds, for use, once the folds have told how good it will be."""

from dataclasses import replace

import numpy as np
import pandas as pd

from conversation_emotion.settings.training import FitSettings
from conversation_emotion.splits.folds import Fold
from conversation_emotion.tasks.task import Task
from conversation_emotion.tracker import PREDICTIONS, ParentTracker, training_name
from conversation_emotion.training.cross_validation import OnTrained, train_fold

ALL = "all"
"""Name of the fold that holds every target of the protocol."""


def train_on_all(
    task: Task, predictions: pd.DataFrame, tracker: ParentTracker, on_trained: OnTrained
) -> pd.DataFrame:
    """Trains on every target of the protocol and returns the model's predictions on the same.

    Nothing is left to select by: the model is trained for as many epochs as the folds took to their
    best, in the middle, and its last weights are kept. How good it is on others is what the folds
    say, not these predictions.

    Args:
        task: What was cross-validated.
        predictions: Those of all its trainings.
        tracker: The run of the command.
        on_trained: Is called with the model and its run, unless an interrupted command did so.

    Raises:
        ValueError: Each fold has an encoder of its own, so that there is none for all.
    """
    name = task.prefix + training_name(ALL, 0)
    if (table := tracker.read_finished(name, PREDICTIONS)) is not None:
        return table
    with tracker.open_child(name, {"fold": ALL, "seed": 0}) as run:
        fold = pool_folds(task)
        whole = task.on_all(fold)
        epochs = int(predictions.groupby(["fold", "seed"])["epochs"].first().median())
        if epochs:  # else the model is solved
            whole.training = limit_epochs(task.training, epochs)
        trained = train_fold(whole, fold, 0, on_epoch=run.log_step)
        run.log_table(trained.predictions, PREDICTIONS)
        on_trained(trained, run)
    return trained.predictions


def pool_folds(task: Task) -> Fold:
    """Returns the fold in which every target trains, and is predicted again."""
    folds = task.dataset.split.folds
    rows = np.unique(np.concatenate([x for f in folds for x in (f.train, f.valid, f.test)]))
    return Fold(name=ALL, train=rows, valid=rows, test=rows)


def limit_epochs(settings: FitSettings, epochs: int) -> FitSettings:
    """Returns the settings of a training that keeps the weights of a given epoch."""
    updates = None if settings.updates is None else epochs * settings.evaluate_every
    return replace(settings, epochs=epochs, patience=epochs, average_best=0, updates=updates)
