"""Regression of sentiment: trains each fold and seed by least squares, and scores what it says."""

from typing import cast

import numpy as np
import pandas as pd
import torch
from accelerate import Accelerator

from conversation_emotion.datasets.batches import make_loader
from conversation_emotion.evaluation.metrics import Interval
from conversation_emotion.evaluation.concordance import score_regression
from conversation_emotion.models.ratings import ScaledOutput
from conversation_emotion.splits.protocols import Fold
from conversation_emotion.training.rating_training import (
    RatingFitSettings,
    fit_ratings,
    predict_ratings,
    squared_error_loss,
)
from conversation_emotion.utterances.labels import IGNORED
from conversation_emotion.utterances.sentiment import read_strengths
from experiments._folds import PREDICTIONS, Prepared, Recipe, choose_batch_size, run_trainings
from experiments._report import MODEL, name_metrics
from experiments.tracking.runs import ParentRun, TrackedRun

MEAN = "mean of train"
"""The system that says the same of every utterance."""

_TARGET, _PREDICTED = "sentiment", "predicted_sentiment"


def train(prepared: Prepared, recipe: Recipe, parent: ParentRun) -> dict[str, dict[str, Interval]]:
    """Trains each fold with each seed, and scores model and baseline under the run."""

    def work(fold: Fold, seed: int, child: TrackedRun) -> pd.DataFrame:
        return _train_fold(prepared, recipe, fold, seed, child)

    folds, training = prepared.corpus.split.folds, recipe.training
    predictions = run_trainings(folds, training.seeds, parent, work)
    parent.log_table(predictions, PREDICTIONS)
    scores = {}
    for part in ("valid", "test"):
        chosen = predictions[predictions["part"] == part]
        for system, column in ((MODEL, _PREDICTED), (MEAN, MEAN)):
            found = score_regression(chosen, _TARGET, column, num_resamples=training.resamples)
            if part == "test":
                scores[system] = found
            if system == MODEL:
                parent.log_metrics(name_metrics(part, found))
    return scores


def _train_fold(
    prepared: Prepared, recipe: Recipe, fold: Fold, seed: int, child: TrackedRun
) -> pd.DataFrame:
    """Trains one fold with one seed and returns its predictions on valid and test."""
    strengths = read_strengths(prepared.corpus.utterances[_TARGET])
    windows = {part: prepared.windows.select(getattr(fold, part)) for part in _PARTS}
    if absent := [part for part, chosen in windows.items() if not len(chosen)]:
        raise ValueError(
            f"{prepared.corpus.split.name}: no number in the {absent[0]} part of fold {fold.name!r}"
        )
    size = recipe.training.batch_size or choose_batch_size(len(windows["train"]))
    heard = np.full(len(strengths), IGNORED, dtype=np.int64)
    loaders = {
        part: make_loader(
            chosen,
            prepared.arrays[fold.name],
            heard,
            batch_size=size if part == "train" else 256,
            seed=seed if part == "train" else None,
        )
        for part, chosen in windows.items()
    }
    known = strengths[windows["train"].judged]
    centre, scale = float(known.mean()), float(known.std()) or 1.0
    accelerator = Accelerator()
    fitted = fit_ratings(
        ScaledOutput(
            recipe.build(windows["train"], prepared.arrays[fold.name]),
            torch.tensor([centre]),
            torch.tensor([scale]),
        ),
        loaders["train"],
        loaders["valid"],
        torch.from_numpy(strengths)[:, None],
        _fit_settings(recipe),
        loss=squared_error_loss,
        accelerator=accelerator,
        on_epoch=child.log_step,
    )
    tables = []
    for part in ("valid", "test"):
        found = predict_ratings(fitted, accelerator.prepare(loaders[part]), accelerator)
        judged = prepared.corpus.utterances.iloc[found.judged]
        table = judged[["utterance_id", "dialogue_id", "speaker"]].reset_index(drop=True)
        table[_TARGET] = strengths[found.judged]
        table[_PREDICTED] = found.ratings[:, 0]
        tables.append(table.assign(**{MEAN: centre}, fold=fold.name, seed=seed, part=part))
    return cast(pd.DataFrame, pd.concat(tables, ignore_index=True))


_PARTS = ("train", "valid", "test")


def _fit_settings(recipe: Recipe) -> RatingFitSettings:
    training = recipe.training
    return RatingFitSettings(
        weights=(1.0,),
        epochs=training.epochs,
        patience=training.patience,
        learning_rate=training.learning_rate,
        weight_decay=training.weight_decay,
    )
