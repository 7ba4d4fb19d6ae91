"""Selective prediction: how many errors remain where a system answers only what it is sure of?

Risk is the share of wrong predictions among the most confident ones, coverage the share that these
are of all. The mean of the risk over all coverages, AURC (Geifman et al., 2019), is 0 for a system
that is always right, and the error rate for one whose confidence says nothing.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from conversation_emotion.evaluation.jackknife import Numbers, jackknife
from conversation_emotion.evaluation.metrics import Interval, count_targets, summarise

MOST_RANKS = 256
"""Ranks of confidence; predictions that share one of so many count as tied."""


class RiskCurve(NamedTuple):
    """Risk at each coverage, from the most confident prediction to all: (N,) each.

    ``best`` is the risk of a system with the same errors that ranks all of them last.
    """

    coverage: NDArray[np.float64]
    risk: NDArray[np.float64]
    best: NDArray[np.float64]


def has_probabilities(predictions: pd.DataFrame, labels: Sequence[str]) -> NDArray[np.bool_]:
    """Marks the predictions that give a probability of each class: (N,)."""
    columns = [f"p_{label}" for label in labels]
    if not columns or not {*columns} <= {*predictions}:
        return np.zeros(len(predictions), dtype=bool)
    return predictions[columns].notna().all(axis=1).to_numpy()


def trace_risk(predictions: pd.DataFrame, labels: Sequence[str]) -> RiskCurve:
    """Returns the curve of predictions, all folds and seeds together.

    Args:
        predictions: Column ``target`` and the probability ``p_LABEL`` of each class.
        labels: Names of the classes (C).
    """
    confidences, is_wrong = _read(predictions, labels)
    order, ranks = np.argsort(-confidences, kind="stable"), np.arange(1, len(is_wrong) + 1)
    values, places = np.unique(confidences[order], return_inverse=True)
    # Ties come in any order: each gets the mean of all of them.
    means = np.bincount(places, is_wrong[order]) / np.bincount(places, minlength=len(values))
    risk = means[places].cumsum() / ranks
    num_right = len(is_wrong) - int(is_wrong.sum())
    best = np.maximum(ranks - num_right, 0) / ranks
    return RiskCurve(ranks / len(is_wrong), risk, best)


def score_selective(predictions: pd.DataFrame, labels: Sequence[str]) -> dict[str, Interval]:
    """Scores ``aurc``, over all folds, with its interval over clusters.

    Args:
        predictions: As of `metrics.score_predictions`, with the probability of each class.
        labels: Names of the classes (C).
    """
    pooled = predictions.assign(fold="all")
    confidences, _ = _read(pooled, labels)
    values, ranks = np.unique(-confidences, return_inverse=True)
    if len(values) > MOST_RANKS:
        ranks = ranks * MOST_RANKS // len(values)
    pooled = pooled.assign(rank=ranks)
    size = int(ranks.max()) + 1

    def count(part: pd.DataFrame) -> Numbers:
        _, is_wrong = _read(part, labels)
        counts = np.zeros((len(part), 2, size))
        places = np.arange(len(part)), part["rank"].to_numpy()
        counts[places[0], 0, places[1]] = 1.0
        counts[places[0], 1, places[1]] = is_wrong
        return counts.reshape(len(part), -1)

    return summarise(jackknife(pooled, count, _area), {"aurc": count_targets(pooled)})


def _area(counts: Numbers) -> Numbers:
    """Computes AURC from counts of predictions and of errors by rank: (..., 2 R) -> (1, ...)."""
    all_counts, errors = np.split(counts, 2, axis=-1)
    reached = all_counts.cumsum(axis=-1)
    risks = errors.cumsum(axis=-1) / np.maximum(reached, 1e-12)
    total = np.maximum(all_counts.sum(axis=-1), 1e-12)
    return ((all_counts * risks).sum(axis=-1) / total)[np.newaxis]


def _read(
    predictions: pd.DataFrame, labels: Sequence[str]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns the confidence of each prediction, and 1 where it is wrong: (N,) each."""
    probabilities = predictions[[f"p_{label}" for label in labels]].to_numpy(np.float64)
    is_wrong = probabilities.argmax(axis=1) != predictions["target"].to_numpy()
    return probabilities.max(axis=1), is_wrong.astype(np.float64)
