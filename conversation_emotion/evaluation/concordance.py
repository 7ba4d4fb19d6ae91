"""Concordance correlation (CCC; Lin, 1989) as a loss, and scores of predicted numbers.

    CCC(x, y) = 2 cov(x, y) / (var(x) + var(y) + (mean(x) - mean(y))²)

with the variances of the population. It is 1 only for the ratings themselves. Constant predictions
are in concordance with nothing: 0. Where no two ratings differ there is nothing to agree with: the
loss is 0 there, and scores are NaN, which means over folds leave out.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from conversation_emotion.evaluation.jackknife import (
    Jackknife,
    Numbers,
    average_scored,
    jackknife,
)
from conversation_emotion.evaluation.metrics import Interval, count_targets, summarise

DIMENSIONS = ("arousal", "valence", "dominance")
"""Columns of the utterance table in the order of every (N, 3) array; arousal is the activation of
Li et al. (2021)."""

REGRESSION_METRICS = ("pearson", "mae", "ccc")
"""Pearson's r, the mean absolute error, and the concordance correlation."""

_TINY = 1e-8


def concordance(predictions: Tensor, ratings: Tensor) -> Tensor:
    """Computes the CCC of each dimension: (N, D), (N, D) -> (D,), with a finite gradient always.

    Args:
        predictions: Outputs of a model.
        ratings: Those of raters, NaN where there is none.
    """
    is_rated = ~ratings.isnan()
    counts = is_rated.sum(dim=0).clamp(min=1)
    predicted = torch.where(is_rated, predictions.float(), 0.0)
    rated = torch.where(is_rated, ratings.float(), 0.0)
    predicted_mean, rated_mean = predicted.sum(dim=0) / counts, rated.sum(dim=0) / counts
    predicted = torch.where(is_rated, predicted - predicted_mean, 0.0)
    rated = torch.where(is_rated, rated - rated_mean, 0.0)
    spread = (predicted.square() + rated.square()).sum(dim=0) / counts
    covariance = (predicted * rated).sum(dim=0) / counts
    return 2 * covariance / (spread + (predicted_mean - rated_mean).square()).clamp(min=_TINY)


def score_concordance(predictions: Tensor, ratings: Tensor) -> Tensor:
    """Scores the CCC of each dimension, NaN where no two ratings differ: (N, D), (N, D) -> (D,)."""
    return concordance(predictions, ratings).where(ratings_differ(ratings), torch.nan)


def ratings_differ(ratings: Tensor) -> Tensor:
    """Marks the dimensions in which two ratings or more differ; NaN is none: (N, D) -> (D,)."""
    least, most = ratings.nan_to_num(torch.inf), ratings.nan_to_num(-torch.inf)
    return most.amax(dim=0) > least.amin(dim=0)


def concordance_loss(predictions: Tensor, ratings: Tensor, weights: Tensor) -> Tensor:
    """One minus the weighted sum of the dimensions' CCC (Li et al., 2021).

    Args:
        predictions: Outputs of a model, (N, D).
        ratings: Those of raters, NaN where there is none, (N, D).
        weights: Of each dimension, alpha, beta and gamma in the paper, (D,).
    """
    return 1 - (weights * concordance(predictions, ratings)).sum()


def score_regression(predictions: pd.DataFrame, target: str, predicted: str) -> dict[str, Interval]:
    """Scores predicted numbers by all `REGRESSION_METRICS`, with 95 % intervals over clusters.

    A fold and seed is scored over all its utterances at once. Constant predictions correlate with
    nothing: 0. Where no two targets differ, a fold has no correlation and is left out.

    Args:
        predictions: Columns ``fold``, ``seed``, ``dialogue_id``, ``utterance_id``, the two that
            follow, and ``cluster`` where that is not the dialogue.
        target: Column of the true numbers, missing where there is none.
        predicted: Column of the predicted ones.
    """
    known = predictions[predictions[target].notna()]
    found = jackknife_regression(predictions, target, predicted)
    return summarise(found, dict.fromkeys(REGRESSION_METRICS, count_targets(known)))


def jackknife_regression(predictions: pd.DataFrame, target: str, predicted: str) -> Jackknife:
    """Jackknifes all `REGRESSION_METRICS`; `score_regression` explains the arguments."""
    return jackknife(
        predictions, lambda part: _find_moments(part, target, predicted), score_moments
    )


def score_ratings(
    predictions: pd.DataFrame, dimensions: Sequence[str] = DIMENSIONS
) -> dict[str, Interval]:
    """Scores predicted ratings by their CCC as `score_regression` does.

    Args:
        predictions: Columns ``fold``, ``seed``, ``dialogue_id`` and ``utterance_id``; for each
            dimension ``NAME`` with the ratings, missing where there is none, and
            ``predicted_NAME``.
        dimensions: Names of the dimensions (D).

    Returns:
        An interval ``ccc_NAME`` for each dimension, and for their mean ``ccc_mean``. A fold in
        which no two ratings of a dimension differ is left out of that dimension; its mean is that
        of the others.
    """
    counts = {
        f"ccc_{name}": count_targets(predictions[predictions[name].notna()]) for name in dimensions
    }
    found = jackknife_ratings(predictions, dimensions)
    return summarise(found, {**counts, "ccc_mean": count_targets(predictions)})


def jackknife_ratings(
    predictions: pd.DataFrame, dimensions: Sequence[str] = DIMENSIONS
) -> Jackknife:
    """Jackknifes the CCC of each dimension and their mean; see `score_ratings`."""

    def find_moments(part: pd.DataFrame) -> Numbers:
        found = [_find_moments(part, name, f"predicted_{name}") for name in dimensions]
        return np.stack(found, axis=1)  # (N, D, 7)

    def score(moments: Numbers) -> Numbers:
        scores = score_moments(moments)[REGRESSION_METRICS.index("ccc")]
        return np.concatenate([scores, average_scored(scores, axis=0)[np.newaxis]])

    return jackknife(predictions, find_moments, score)


def _find_moments(part: pd.DataFrame, target: str, predicted: str) -> Numbers:
    """Returns 1, x, y, x², y², xy and |x - y| of each row, zeros without a target: (N, 7)."""
    is_known = part[target].notna().to_numpy()
    x, y = part[predicted].to_numpy(np.float64), part[target].to_numpy(np.float64)
    error = abs(x - y)
    # No score changes if both are moved; small numbers keep the sums of squares exact.
    origin = y[is_known].mean() if is_known.any() else 0.0
    x, y = x - origin, y - origin
    moments = np.stack([np.ones_like(x), x, y, x**2, y**2, x * y, error], axis=1)
    return np.where(is_known[:, np.newaxis], moments, 0.0)


def score_moments(moments: Numbers) -> Numbers:
    """Scores sums of moments, in the order of `REGRESSION_METRICS`: (..., 7) -> (3, ...)."""
    # The jackknife leaves a trace of a count; only 0 has to be kept from dividing.
    counts = np.maximum(moments[..., :1], 1e-9)
    x, y, xx, yy, xy, error = np.moveaxis(moments[..., 1:] / counts, -1, 0)
    covariance = xy - x * y
    # Rounding can leave the variance of a constant a little below zero.
    product = np.maximum(xx - x**2, 0.0) * np.maximum(yy - y**2, 0.0)
    spread = xx - x**2 + yy - y**2
    pearson = _divide(covariance, np.sqrt(product), 1e-12)
    ccc = _divide(2 * covariance, spread + (x - y) ** 2, _TINY)
    has_target = yy - y**2 > 1e-12  # two that differ, but for rounding
    return np.stack(
        [np.where(has_target, pearson, np.nan), error, np.where(has_target, ccc, np.nan)]
    )


def _divide(numerator: Numbers, denominator: Numbers, least: float) -> Numbers:
    """Divides, and gives 0 where the denominator is not above the least."""
    return np.where(denominator > least, numerator / np.maximum(denominator, least), 0.0)
