"""The bootstrap over dialogues that is behind every interval of the suite (Efron, 1979).

Utterances of one dialogue depend on each other, so dialogues are drawn, with replacement and within
their fold. The seeds of a fold share the draw, and each resample is averaged over folds and seeds
as the score itself is.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Numbers = NDArray[np.floating]

Statistics = Callable[[pd.DataFrame, int], Numbers]
"""Adds up each dialogue of one fold and seed: rows with the number of their ``dialogue``, number of
dialogues -> (dialogues, ..., S)."""

Score = Callable[[Numbers], Numbers]
"""Scores sums over dialogues, vectorised over leading axes; M scores come first.

Takes what `Statistics` returns without its first axis: (S,) -> (M,) and (R, S) -> (M, R), or with
further axes (..., S) -> (M,) and (..., R, S) -> (M, R).
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
    predictions: pd.DataFrame,
    statistics: Statistics,
    score: Score,
    *,
    num_resamples: int = 2000,
    seed: int = 0,
) -> Resamples:
    """Scores predictions and their resamples; a fold and seed is scored over all its dialogues.

    Args:
        predictions: Columns ``fold``, ``seed``, ``dialogue_id`` and what `statistics` needs.
        statistics: Additive statistics of each dialogue.
        score: Scores of their sum.
        num_resamples: Bootstrap resamples (R).
        seed: Seed of the resampling.
    """
    points, resampled = [], []
    for part, draws in _draw_dialogues(predictions, num_resamples, seed):
        by_dialogue = np.moveaxis(statistics(part, draws.shape[1]), 0, -2)
        points.append(score(by_dialogue.sum(axis=-2)))
        resampled.append(score(draws @ np.ascontiguousarray(by_dialogue)))
    return Resamples(np.array(points), np.mean(resampled, axis=0))


def interval_bounds(means: Numbers) -> Numbers:
    """Returns the bounds of the 95 % interval, percentiles of resampled means: (R,) -> (2,)."""
    return np.percentile(means, [2.5, 97.5])


def sum_by_dialogue(part: pd.DataFrame, terms: Numbers, num_dialogues: int) -> Numbers:
    """Adds up the terms of each dialogue's rows: (N, ...) -> (dialogues, ...).

    Args:
        part: Rows that `bootstrap` gives to its statistics (N).
        terms: Of each row, (N, ...).
        num_dialogues: Dialogues of the fold.
    """
    sums = np.zeros((num_dialogues, *terms.shape[1:]))
    np.add.at(sums, part["dialogue"].to_numpy(), terms)
    return sums


def _draw_dialogues(
    predictions: pd.DataFrame, num_resamples: int, seed: int
) -> Iterator[tuple[pd.DataFrame, NDArray[np.int64]]]:
    """Draws dialogues with replacement, within each fold and alike for all its seeds.

    Yields:
        The rows of a fold and seed with the number of their dialogue in a column ``dialogue``, and
        how often each resample has drawn each dialogue of the fold, (R, dialogues).
    """
    generator = np.random.default_rng(seed)
    for _, fold in predictions.groupby("fold", sort=True):
        dialogues, names = pd.factorize(fold["dialogue_id"], sort=True)
        shares = np.full(len(names), 1 / len(names))
        draws = generator.multinomial(len(names), shares, size=num_resamples)
        for _, part in fold.assign(dialogue=dialogues).groupby("seed", sort=True):
            yield part, draws
