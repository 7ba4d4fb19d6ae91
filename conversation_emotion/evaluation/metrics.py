"""Scores of a classifier from its confusion matrix, with bootstrap intervals over dialogues.

A confusion matrix counts targets in rows and predictions in columns. All scores lie in 0 to 1 and
are vectorised over leading axes: (..., C, C) -> (...).
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Counts = NDArray[np.floating] | NDArray[np.integer]
Scores = NDArray[np.floating]


class Interval(NamedTuple):
    """A score with its 95 % bootstrap interval.

    Attributes:
        score: Mean over folds and seeds.
        low: 2.5th percentile of the resampled means.
        high: 97.5th percentile of the resampled means.
        deviation: Standard deviation over folds and seeds, 0 if there is only one.
        num_judged: Judged utterances, each counted once however many seeds judged it.
    """

    score: float
    low: float
    high: float
    deviation: float
    num_judged: int


def count_confusions(
    targets: NDArray[np.int64], predictions: NDArray[np.int64], num_classes: int
) -> NDArray[np.int64]:
    """Counts targets in rows against predictions in columns: (N,), (N,) -> (C, C)."""
    flat = np.bincount(targets * num_classes + predictions, minlength=num_classes**2)
    return flat.reshape(num_classes, num_classes)


def unweighted_average_recall(confusions: Counts) -> Scores:
    """Mean recall over the classes that occur among the targets (UAR, also called UA)."""
    support = confusions.sum(axis=-1)
    recalls = _diagonal(confusions) / np.maximum(support, 1e-12)
    return recalls.sum(axis=-1) / np.maximum((support > 0).sum(axis=-1), 1)


def weighted_accuracy(confusions: Counts) -> Scores:
    """Share of correct judgements (WA, plain accuracy)."""
    total = confusions.sum(axis=(-2, -1))
    return _diagonal(confusions).sum(axis=-1) / np.maximum(total, 1e-12)


def macro_f1(confusions: Counts) -> Scores:
    """Mean F1 over the classes that occur among targets or predictions."""
    mass = confusions.sum(axis=-1) + confusions.sum(axis=-2)
    scores = 2 * _diagonal(confusions) / np.maximum(mass, 1e-12)
    return scores.sum(axis=-1) / np.maximum((mass > 0).sum(axis=-1), 1)


def weighted_f1(confusions: Counts) -> Scores:
    """Mean F1 weighted by the number of targets of each class (WF1)."""
    support = confusions.sum(axis=-1)
    mass = support + confusions.sum(axis=-2)
    scores = 2 * _diagonal(confusions) / np.maximum(mass, 1e-12)
    return (scores * support).sum(axis=-1) / np.maximum(support.sum(axis=-1), 1e-12)


METRICS: dict[str, Callable[[Counts], Scores]] = {
    "uar": unweighted_average_recall,
    "macro_f1": macro_f1,
    "wa": weighted_accuracy,
    "weighted_f1": weighted_f1,
}


def score_predictions(
    predictions: pd.DataFrame, num_classes: int, *, num_resamples: int = 2000, seed: int = 0
) -> dict[str, Interval]:
    """Scores predictions with 95 % intervals from resampled dialogues (Efron, 1979).

    Utterances of one dialogue depend on each other, so dialogues are drawn, with replacement and
    within their fold; the seeds of a fold share the draw, and each resample is averaged over folds
    and seeds as the score itself is.

    Args:
        predictions: Columns ``fold``, ``seed``, ``dialogue_id``, ``target`` and ``predicted``.
        num_classes: Number of classes (C).
        num_resamples: Bootstrap resamples.
        seed: Seed of the resampling.
    """
    points: dict[str, list[float]] = {name: [] for name in METRICS}
    resampled: dict[str, list[Scores]] = {name: [] for name in METRICS}
    for part, draws in resample_dialogues(predictions, num_resamples, seed):
        counts = count_by_dialogue(part, draws.shape[1], num_classes)
        drawn = (draws @ counts.reshape(draws.shape[1], -1)).reshape(-1, num_classes, num_classes)
        for name, metric in METRICS.items():
            points[name].append(float(metric(counts.sum(axis=0))))
            resampled[name].append(metric(drawn))
    num_judged = len(predictions.drop_duplicates(["fold", "utterance_id"]))
    return {
        name: summarise(points[name], np.mean(resampled[name], axis=0), num_judged)
        for name in METRICS
    }


def resample_dialogues(
    predictions: pd.DataFrame, num_resamples: int, seed: int
) -> Iterator[tuple[pd.DataFrame, NDArray[np.int64]]]:
    """Draws dialogues with replacement, within each fold and alike for all its seeds.

    Args:
        predictions: Columns ``fold``, ``seed`` and ``dialogue_id``.
        num_resamples: Bootstrap resamples (R).
        seed: Seed of the resampling.

    Yields:
        The rows of a fold and seed with the number of their dialogue in a column ``dialogue``, and
        how often each resample has drawn each dialogue of the fold, (R, dialogues).
    """
    generator = np.random.default_rng(seed)
    for _, fold in predictions.groupby("fold", sort=True):
        dialogues, names = pd.factorize(fold["dialogue_id"], sort=True)
        draws = generator.multinomial(
            len(names), np.full(len(names), 1 / len(names)), size=num_resamples
        )
        for _, part in fold.assign(dialogue=dialogues).groupby("seed", sort=True):
            yield part, draws


def count_by_dialogue(
    part: pd.DataFrame, num_dialogues: int, num_classes: int
) -> NDArray[np.float64]:
    """Counts confusions in each dialogue of what `resample_dialogues` yields: (dialogues, C, C)."""
    counts = np.zeros((num_dialogues, num_classes, num_classes))
    np.add.at(counts, (part["dialogue"], part["target"], part["predicted"]), 1)
    return counts


def summarise(points: list[float], resampled: Scores, num_judged: int) -> Interval:
    """Makes the interval of a score from that of each fold and seed, and from its resamples."""
    low, high = np.percentile(resampled, [2.5, 97.5])
    deviation = float(np.std(points, ddof=1)) if len(points) > 1 else 0.0
    return Interval(float(np.mean(points)), float(low), float(high), deviation, num_judged)


def _diagonal(confusions: Counts) -> Scores:
    return np.diagonal(confusions, axis1=-2, axis2=-1).astype(np.float64)
