"""Concordance correlation (CCC; Lin, 1989) of ratings, as a metric with intervals and as a loss.

    CCC(x, y) = 2 cov(x, y) / (var(x) + var(y) + (mean(x) - mean(y))²)

with the variances of the population. It is 1 only for the ratings themselves; what is constant, or
there once or not at all, is in concordance with nothing: 0.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from conversation_emotion.evaluation.metrics import Interval, resample_dialogues, summarise

DIMENSIONS = ("arousal", "valence", "dominance")
"""Columns of the utterance table in the order of every (N, 3) array; arousal is the activation of
Li et al. (2021)."""

_TINY = 1e-8


def concordance(predictions: Tensor, ratings: Tensor) -> Tensor:
    """Computes the CCC of each dimension: (N, D), (N, D) -> (D,), with a finite gradient always.

    Args:
        predictions: What a model says.
        ratings: What raters say, NaN where nothing.
    """
    is_rated = ~ratings.isnan()
    counts = is_rated.sum(dim=0).clamp(min=1)
    said = torch.where(is_rated, predictions.float(), 0.0)
    rated = torch.where(is_rated, ratings.float(), 0.0)
    said_mean, rated_mean = said.sum(dim=0) / counts, rated.sum(dim=0) / counts
    said = torch.where(is_rated, said - said_mean, 0.0)
    rated = torch.where(is_rated, rated - rated_mean, 0.0)
    spread = (said.square() + rated.square()).sum(dim=0) / counts
    covariance = (said * rated).sum(dim=0) / counts
    return 2 * covariance / (spread + (said_mean - rated_mean).square()).clamp(min=_TINY)


def concordance_loss(predictions: Tensor, ratings: Tensor, weights: Tensor) -> Tensor:
    """One minus the weighted sum of the dimensions' CCC (Li et al., 2021).

    Args:
        predictions: What a model says, (N, D).
        ratings: What raters say, NaN where nothing, (N, D).
        weights: Of each dimension, alpha, beta and gamma in the paper, (D,).
    """
    return 1 - (weights * concordance(predictions, ratings)).sum()


def score_ratings(
    predictions: pd.DataFrame,
    dimensions: Sequence[str] = DIMENSIONS,
    *,
    num_resamples: int = 2000,
    seed: int = 0,
) -> dict[str, Interval]:
    """Scores predicted ratings with 95 % intervals from resampled dialogues.

    The CCC of a fold and seed is that of all its utterances at once. Dialogues are drawn as in
    `conversation_emotion.evaluation.metrics.score_predictions`.

    Args:
        predictions: Columns ``fold``, ``seed``, ``dialogue_id`` and ``utterance_id``; for each
            dimension ``NAME`` with the ratings, missing where there is none, and
            ``predicted_NAME``.
        dimensions: Names of the dimensions.
        num_resamples: Bootstrap resamples.
        seed: Seed of the resampling.

    Returns:
        An interval for each dimension, and for their mean as ``mean``.
    """
    points, resampled = [], []
    for part, draws in resample_dialogues(predictions, num_resamples, seed):
        moments = np.stack(
            [_moments_by_dialogue(part, name, draws.shape[1]) for name in dimensions]
        )
        points.append(_with_mean(_concordance_of(moments.sum(axis=1))))
        resampled.append(_with_mean(_concordance_of(draws @ moments)))
    intervals = {}
    for number, name in enumerate([*dimensions, "mean"]):
        judged = predictions if name == "mean" else predictions[predictions[name].notna()]
        num_judged = len(judged.drop_duplicates(["fold", "utterance_id"]))
        drawn = np.mean([scores[number] for scores in resampled], axis=0)
        intervals[name] = summarise([float(p[number]) for p in points], drawn, num_judged)
    return intervals


def _moments_by_dialogue(
    part: pd.DataFrame, dimension: str, num_dialogues: int
) -> NDArray[np.float64]:
    """Sums 1, x, y, x², y² and xy over the rated utterances of each dialogue: -> (dialogues, 6)."""
    rated = part[part[dimension].notna()]
    said = rated[f"predicted_{dimension}"].to_numpy(np.float64)
    ratings = rated[dimension].to_numpy(np.float64)
    # CCC stays the same if both are moved; small numbers keep the sums of squares exact.
    origin = ratings.mean() if len(ratings) else 0.0
    said, ratings = said - origin, ratings - origin
    terms = np.stack(
        [np.ones_like(said), said, ratings, said**2, ratings**2, said * ratings], axis=1
    )
    moments = np.zeros((num_dialogues, 6))
    np.add.at(moments, rated["dialogue"].to_numpy(), terms)
    return moments


def _concordance_of(moments: NDArray[np.float64]) -> NDArray[np.float64]:
    """CCC from sums of moments: (..., 6) -> (...)."""
    counts = np.maximum(moments[..., :1], 1.0)
    x, y, xx, yy, xy = np.moveaxis(moments[..., 1:] / counts, -1, 0)
    covariance, spread = xy - x * y, xx - x**2 + yy - y**2
    denominator = spread + (x - y) ** 2
    return np.where(denominator > _TINY, 2 * covariance / np.maximum(denominator, _TINY), 0.0)


def _with_mean(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Appends the mean of the dimensions: (D, ...) -> (D + 1, ...)."""
    return np.concatenate([scores, scores.mean(axis=0, keepdims=True)])
