"""Scores of predicted numbers: correlation, absolute error and concordance, with intervals."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from conversation_emotion.evaluation.metrics import Interval, resample_dialogues, summarise

REGRESSION_METRICS = ("pearson", "mae", "ccc")
"""Pearson's r, the mean absolute error, and Lin's concordance correlation."""

_TINY = 1e-12


def score_regression(
    predictions: pd.DataFrame,
    target: str,
    predicted: str,
    *,
    num_resamples: int = 2000,
    seed: int = 0,
) -> dict[str, Interval]:
    """Scores predicted numbers with 95 % intervals from resampled dialogues.

    A fold and seed is scored over all its utterances at once. What is constant correlates with
    nothing: 0.

    Args:
        predictions: Columns ``fold``, ``seed``, ``dialogue_id``, ``utterance_id``, and the two
            that follow.
        target: Column of the true numbers.
        predicted: Column of the predicted ones.
        num_resamples: Bootstrap resamples.
        seed: Seed of the resampling.
    """
    points, resampled = [], []
    for part, draws in resample_dialogues(predictions, num_resamples, seed):
        sums = _sum_by_dialogue(part, target, predicted, draws.shape[1])
        points.append(_score(sums.sum(axis=0)))
        resampled.append(_score(draws @ sums))
    num_judged = len(predictions.drop_duplicates(["fold", "utterance_id"]))
    return {
        name: summarise(
            [float(point[number]) for point in points],
            np.mean([scores[number] for scores in resampled], axis=0),
            num_judged,
        )
        for number, name in enumerate(REGRESSION_METRICS)
    }


def _sum_by_dialogue(
    part: pd.DataFrame, target: str, predicted: str, num_dialogues: int
) -> NDArray[np.float64]:
    """Sums 1, x, y, x², y², xy and |x - y| over each dialogue: -> (dialogues, 7)."""
    x, y = part[predicted].to_numpy(np.float64), part[target].to_numpy(np.float64)
    terms = np.stack([np.ones_like(x), x, y, x**2, y**2, x * y, abs(x - y)], axis=1)
    sums = np.zeros((num_dialogues, 7))
    np.add.at(sums, part["dialogue"].to_numpy(), terms)
    return sums


def _score(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scores from sums, in the order of `REGRESSION_METRICS`: (..., 7) -> (3, ...)."""
    means = sums[..., 1:] / np.maximum(sums[..., :1], 1.0)
    x, y, xx, yy, xy, error = np.moveaxis(means, -1, 0)
    covariance = xy - x * y
    variances = np.maximum(xx - x**2, 0.0), np.maximum(yy - y**2, 0.0)
    spread = np.sqrt(variances[0] * variances[1])
    pearson = np.where(spread > _TINY, covariance / np.maximum(spread, _TINY), 0.0)
    distance = variances[0] + variances[1] + (x - y) ** 2
    ccc = np.where(distance > _TINY, 2 * covariance / np.maximum(distance, _TINY), 0.0)
    return np.stack([pearson, error, ccc])
