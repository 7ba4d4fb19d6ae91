"""The bootstrap over dialogues that is behind every interval of the suite (Efron, 1979).

Utterances of one dialogue depend on each other, so dialogues are drawn, with replacement and within
their fold. The seeds of a fold share the draw, and each resample is averaged over folds and seeds
as the score itself is.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Numbers = NDArray[np.floating]

Terms = Callable[[pd.DataFrame], Numbers]
"""Statistics of each row of one fold and seed, which add up over rows: N rows -> (N, ..., S)."""

Score = Callable[[Numbers], Numbers]
"""Scores sums of `Terms`, vectorised over leading axes; M scores come first.

(S,) -> (M,) and (R, S) -> (M, R), or with further axes (..., S) -> (M,) and (..., R, S) -> (M, R).
"""


class Resamples(NamedTuple):
    """M scores of K trainings, one for each fold and seed, and of R resamples.

    Attributes:
        points: Score of each training, (K, M).
        means: Mean over the trainings of each resample, (M, R).
    """

    points: Numbers
    means: Numbers


def bootstrap(
    predictions: pd.DataFrame, terms: Terms, score: Score, num_resamples: int
) -> Resamples:
    """Scores predictions and their resamples; a fold and seed is scored over all its dialogues.

    Args:
        predictions: Columns ``fold``, ``seed``, ``dialogue_id`` and what `terms` needs.
        terms: Additive statistics of each row.
        score: Scores of their sum.
        num_resamples: Bootstrap resamples (R); the same are drawn in each call.
    """
    generator = np.random.default_rng(0)
    points, resampled = [], []
    for _, fold in predictions.groupby("fold", sort=True):
        dialogues, names = pd.factorize(fold["dialogue_id"], sort=True)
        shares = np.full(len(names), 1 / len(names))
        # How often each resample draws each dialogue, alike for all seeds: (R, dialogues).
        draws = generator.multinomial(len(names), shares, size=num_resamples)
        for _, part in fold.assign(dialogue=dialogues).groupby("seed", sort=True):
            found = terms(part)
            sums = np.zeros((len(names), *found.shape[1:]))
            np.add.at(sums, part["dialogue"].to_numpy(), found)
            by_dialogue = np.moveaxis(sums, 0, -2)
            points.append(score(by_dialogue.sum(axis=-2)))
            resampled.append(score(draws @ np.ascontiguousarray(by_dialogue)))
    return Resamples(np.array(points), average_scored(np.array(resampled)))


def average_scored(scores: Numbers) -> Numbers:
    """Averages the scores that are not NaN; NaN where there is none: (K, ...) -> (...)."""
    is_scored = ~np.isnan(scores)
    counts = is_scored.sum(axis=0)
    total = np.where(is_scored, scores, 0.0).sum(axis=0)
    return np.where(counts > 0, total / np.maximum(counts, 1), np.nan)


def interval_bounds(means: Numbers) -> Numbers:
    """Returns the bounds of the 95 % interval, percentiles of resampled means: (R,) -> (2,)."""
    scored = means[~np.isnan(means)]
    return np.percentile(scored, [2.5, 97.5]) if len(scored) else np.full(2, np.nan)
