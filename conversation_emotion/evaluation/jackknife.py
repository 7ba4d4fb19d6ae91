"""The jackknife over clusters that is behind every interval of the suite (Tukey, 1958).

What is independent is a cluster: a dialogue, or a speaker (`utterances.clusters`). Each is left out
once, of all folds and seeds that it is in, and what that changes in the mean over folds and seeds
gives its variance; bounds are quantiles of Student's t on a scale without ends. `docs/intervals.md`
has the coverage of these intervals in simulations, next to that of the bootstrap.
"""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special  # not stats, whose import takes a second
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

Numbers = NDArray[np.floating]

Terms = Callable[[pd.DataFrame], Numbers]
"""Statistics of each row of one fold and seed, which add up over rows: N rows -> (N, ..., S)."""

Score = Callable[[Numbers], Numbers]
"""Scores sums of `Terms`, vectorised over leading axes; M scores come first.

(S,) -> (M,) and (G, S) -> (M, G), or with further axes (..., S) -> (M,) and (..., G, S) -> (M, G).
"""

ScaleName = Literal["share", "correlation", "error", "difference"]

_LEFT_OUT = 1 - 1e-6
"""Share of a cluster that is left out: all but a trace, which keeps the classes of a fold. Recall
and F1 of a class that only this cluster has stay as they are, where they would be 0 / 0."""

_ROUNDING = 1e-12
"""Standard errors below are those of a score that does not vary."""


class Training(NamedTuple):
    """The tested clusters of one fold and seed, by number (G_k,), with their sums (..., G_k, S)."""

    clusters: NDArray[np.integer]
    sums: Numbers


class Jackknife(NamedTuple):
    """M scores of K trainings, one for each fold and seed, over G clusters.

    Attributes:
        points: Score of each training, (M, ..., K); NaN where it has none.
        influences: How far each cluster moves the mean score, (M, ..., G); the sum of their squares
            is the variance of the mean.
        degrees: Degrees of freedom of that variance; 0 where it is not known.
    """

    points: Numbers
    influences: Numbers
    degrees: int

    @property
    def score(self) -> Numbers:
        """Mean over the trainings that have a score, (M, ...)."""
        return average_scored(self.points)

    @property
    def error(self) -> Numbers:
        """Standard error of the mean, (M, ...)."""
        return np.sqrt(np.square(self.influences).sum(axis=-1))

    def only(self, place: int) -> "Jackknife":
        """Returns one of the M scores, as the only one."""
        here = slice(place, place + 1)
        return Jackknife(self.points[here], self.influences[here], self.degrees)

    def minus(self, other: "Jackknife") -> "Jackknife":
        """Returns the difference to another system on the same clusters."""
        influences = self.influences - other.influences
        return Jackknife(self.points - other.points, influences, self.degrees)


def jackknife(predictions: pd.DataFrame, terms: Terms, score: Score) -> Jackknife:
    """Scores predictions; a fold and seed is scored over all its clusters.

    Args:
        predictions: Columns ``fold``, ``seed``, ``cluster`` or else ``dialogue_id``, and what
            `terms` needs.
        terms: Additive statistics of each row.
        score: Scores of their sum.
    """
    numbers, _ = pd.factorize(cluster_column(predictions), sort=True)
    trainings = []
    for _, part in predictions.assign(cluster=numbers).groupby(["fold", "seed"], sort=True):
        clusters, rows = np.unique(part["cluster"].to_numpy(), return_inverse=True)
        found = terms(part)
        sums = np.zeros((len(clusters), *found.shape[1:]))
        np.add.at(sums, rows, found)
        trainings.append(Training(clusters, np.moveaxis(sums, 0, -2)))
    return jackknife_sums(trainings, score)


def cluster_column(predictions: pd.DataFrame) -> pd.Series:
    """Returns the clusters of predictions: the dialogues, where they name no others."""
    return predictions["cluster" if "cluster" in predictions else "dialogue_id"]


def jackknife_sums(trainings: Sequence[Training], score: Score) -> Jackknife:
    """Leaves out each cluster, numbered from 0, of all trainings that it is in.

    Clusters are drawn within the folds that they are in. A fold of one cluster is a draw itself:
    its score is compared with those of the other folds.
    """
    points = np.stack([score(sums.sum(axis=-2)) for _, sums in trainings], axis=-1)
    num_clusters = 1 + max(int(clusters.max()) for clusters, _ in trainings)
    num_folds = len({tuple(clusters.tolist()) for clusters, _ in trainings})
    num_scores = np.maximum(np.isfinite(points).sum(axis=-1), 1)[..., np.newaxis]
    influences = np.zeros((*points.shape[:-1], num_clusters))
    for (clusters, sums), point in zip(trainings, np.moveaxis(points, -1, 0), strict=True):
        size = len(clusters)
        if size > 1:
            moved = score(sums.sum(axis=-2, keepdims=True) - _LEFT_OUT * sums)
            moved = (moved - moved.mean(axis=-1, keepdims=True)) * np.sqrt((size - 1) / size)
        else:
            moved = (average_scored(points) - point)[..., np.newaxis]
            moved = moved * np.sqrt(num_folds / max(num_folds - 1, 1))
        influences[..., clusters] += np.nan_to_num(moved) / num_scores
    return Jackknife(points, influences, _count_degrees(trainings, num_clusters))


def subtract_groups(
    one: Jackknife, names: NDArray, other: Jackknife, other_names: NDArray
) -> Jackknife:
    """Returns the difference of scores of two groups of targets, which may share clusters.

    A cluster that both have is left out of both at once. The degrees of freedom are those of Welch
    (1947) where the groups share none, else the smaller of the two.

    Args:
        one: Scores of the first group.
        names: Its clusters in the order of its influences.
        other: Scores of the second group, from as many trainings.
        other_names: Its clusters.
    """
    union = np.union1d(names, other_names)
    influences = np.zeros((*one.influences.shape[:-1], len(union)))
    influences[..., np.searchsorted(union, names)] += one.influences
    influences[..., np.searchsorted(union, other_names)] -= other.influences
    degrees = min(one.degrees, other.degrees)
    if degrees and len(union) == len(names) + len(other_names):
        a, b = (np.square(found.influences).sum() for found in (one, other))
        shares = a**2 / one.degrees + b**2 / other.degrees
        degrees = max(degrees, int((a + b) ** 2 / shares)) if shares else degrees
    return Jackknife(one.points - other.points, influences, degrees)


def interval_bounds(found: Jackknife, scale: ScaleName) -> Numbers:
    """Returns the bounds of the 95 % interval of each score: (2, M, ...).

    Where nothing is known of the variance, they are the ends of the scale. A share that is perfect,
    or 0, has no variance; its other bound is exact for G clusters of which each is perfect or not
    (Clopper and Pearson, 1934).
    """
    score, error, ends = found.score, found.error, _SCALES[scale]
    if not found.degrees:
        return np.stack([np.full_like(score, ends.low), np.full_like(score, ends.high)])
    with np.errstate(all="ignore"):  # what has no variance is replaced below
        place = ends.forward(score)
        reach = special.stdtrit(found.degrees, 0.975) * error * ends.slope(score)
        bounds = ends.backward(np.stack([place - reach, place + reach]))
    is_fixed = error < _ROUNDING
    bounds = np.where(is_fixed, score, bounds)
    if scale == "share":
        least = 0.025 ** (1 / found.influences.shape[-1])
        bounds[0] = np.where(is_fixed & (score > 1 - _ROUNDING), least, bounds[0])
        bounds[1] = np.where(is_fixed & (score < _ROUNDING), 1 - least, bounds[1])
    return np.stack([np.minimum(bounds[0], score), np.maximum(bounds[1], score)])


def p_values(difference: Jackknife) -> Numbers:
    """Tests whether each score differs from 0, two-sided, by Student's t: -> (M, ...).

    A difference that is the same in all clusters has the p-value of their signs.
    """
    score, error = difference.score, difference.error
    if not difference.degrees:
        return np.ones_like(score)
    by_sign = 2.0 ** (1 - difference.influences.shape[-1])
    fixed = np.where(abs(score) < _ROUNDING, 1.0, by_sign)
    ratio = abs(score) / np.maximum(error, _ROUNDING)
    return np.where(error < _ROUNDING, fixed, 2 * special.stdtr(difference.degrees, -ratio))


def _count_degrees(trainings: Sequence[Training], num_clusters: int) -> int:
    """Counts clusters less one for each group of folds that share clusters with no other.

    Folds of one cluster are one group; so are, for one degree each, those of a single one among
    larger folds.
    """
    folds = np.repeat(np.arange(len(trainings)), [len(one.clusters) for one in trainings])
    members = np.concatenate([one.clusters for one in trainings])
    size = len(trainings) + num_clusters
    links = coo_matrix((np.ones(len(folds)), (folds, len(trainings) + members)), shape=(size, size))
    _, groups = connected_components(links, directed=False)
    sizes = np.bincount(groups[len(trainings) :])
    return num_clusters - max(int((sizes > 1).sum()), 1)


def average_scored(points: Numbers, axis: int = -1) -> Numbers:
    """Averages the scores that there are along an axis, NaN where there is none."""
    is_there = np.isfinite(points)
    sums = np.where(is_there, points, 0.0).sum(axis=axis)
    with np.errstate(invalid="ignore"):  # 0 / 0 is the NaN of a score that no training has
        return sums / is_there.sum(axis=axis)


class _Scale(NamedTuple):
    """A scale without ends on which bounds are laid, its slope, the way back, and the ends."""

    forward: Callable[[Numbers], Numbers]
    slope: Callable[[Numbers], Numbers]
    backward: Callable[[Numbers], Numbers]
    low: float
    high: float


_SCALES: dict[ScaleName, _Scale] = {
    "share": _Scale(special.logit, lambda p: 1 / (p * (1 - p)), special.expit, 0.0, 1.0),
    "correlation": _Scale(np.arctanh, lambda r: 1 / (1 - r**2), np.tanh, -1.0, 1.0),
    "error": _Scale(np.log, lambda x: 1 / x, np.exp, 0.0, np.inf),
    "difference": _Scale(np.asarray, np.ones_like, np.asarray, -1.0, 1.0),
}
"""Logit, Fisher's z, and logarithm keep bounds within the range of a score."""
