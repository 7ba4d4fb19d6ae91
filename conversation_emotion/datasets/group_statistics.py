"""Means and deviations of the features of each speaker, or corpus: standardisation by group.

They are of all utterances of a group, without their labels. A group of few utterances is drawn
towards the others: its statistics count as many times as it has utterances, those of all groups
`PRIOR` times, so that a single utterance is not taken for its own mean.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from conversation_emotion.settings.features import Standardise

PRIOR = 4.0
"""Utterances that the statistics of all groups count as."""

_TINY = 1e-5


class Statistics(NamedTuple):
    """Mean and deviation of the frames of a group, layer by layer: (L, D) each."""

    centre: NDArray[np.float32]
    scale: NDArray[np.float32]


class GroupStatistics(NamedTuple):
    """Statistics of G groups, and the group of each row.

    Attributes:
        centres: (G + 1, L, D), the last of all groups together, each alike.
        scales: Likewise.
        places: Number of the group of each row, G where it has none: (rows,).
    """

    centres: NDArray[np.float32]
    scales: NDArray[np.float32]
    places: NDArray[np.int64]

    @property
    def whole(self) -> Statistics:
        """What stands for a group of which nothing is known."""
        return Statistics(self.centres[-1], self.scales[-1])

    def standardise(
        self, frames: NDArray[np.float32], rows: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Standardises frames, each of the row of its number: (N, L, D), (N,) -> (N, L, D)."""
        places = self.places[rows]
        return (frames - self.centres[places]) / self.scales[places]


class GroupSums:
    """Sums over the utterances of each group, from which its statistics follow."""

    def __init__(self) -> None:
        self._sums: dict[str, list[NDArray[np.float64]]] = {}

    def add(self, states: Iterable[NDArray[np.floating] | None], groups: pd.Series) -> None:
        """Adds utterances.

        Args:
            states: Hidden states of each, (L, T, D), None where there are none.
            groups: Name of the group of each, missing where it is unknown.
        """
        is_known = groups.notna().tolist()
        for group, known, one in zip(groups, is_known, states, strict=True):
            if one is None or not one.shape[1] or not known:
                continue
            values = one.astype(np.float64)
            numbers = [np.array([1.0, one.shape[1]]), values.sum(axis=1), (values**2).sum(axis=1)]
            before = self._sums.get(str(group))
            together = zip(before, numbers, strict=True) if before else ((0, x) for x in numbers)
            self._sums[str(group)] = [x + y for x, y in together]

    def settle(
        self, groups: pd.Series, prior: Statistics | None = None, weight: float = PRIOR
    ) -> GroupStatistics:
        """Returns the statistics of the groups of some rows.

        Args:
            groups: Name of the group of each row, missing where it is unknown.
            prior: What few utterances are drawn towards; None takes the mean of all groups.
            weight: Utterances that it counts as.

        Raises:
            ValueError: There is nothing to take it from.
        """
        found = {name: _measure(*sums) for name, sums in self._sums.items()}
        if prior is None:
            prior = self._pool(found)
        places, names = pd.factorize(groups.astype(object))
        centres = np.repeat(prior.centre[None].astype(np.float64), len(names) + 1, axis=0)
        variances = np.repeat(prior.scale[None].astype(np.float64) ** 2, len(names) + 1, axis=0)
        for place, name in enumerate(names):
            if str(name) in found:
                mean, variance = found[str(name)]
                count = self._sums[str(name)][0][0]
                share = count / (count + weight)
                centres[place] += share * (mean - centres[place])
                variances[place] += share * (variance - variances[place])
        scales = np.sqrt(np.maximum(variances, 0.0))
        scales = np.where(scales < _TINY, 1.0, scales)  # a feature that is constant stays zero
        numbers = np.where(places < 0, len(names), places)
        return GroupStatistics(centres.astype(np.float32), scales.astype(np.float32), numbers)

    def _pool(self, found: Mapping[str, tuple[NDArray, NDArray]]) -> Statistics:
        """Returns the mean of the groups' means, and the deviation within groups."""
        if not found:
            raise ValueError("no utterance of a known group has features to standardise by")
        counts = {name: float(sums[0][1]) for name, sums in self._sums.items()}
        free = max(sum(counts.values()) - len(counts), 1.0)
        spread = np.sum([counts[name] * variance for name, (_, variance) in found.items()], axis=0)
        centre = np.mean([mean for mean, _ in found.values()], axis=0)
        return Statistics(centre.astype(np.float32), np.sqrt(spread / free).astype(np.float32))


def fit_groups(
    states: Iterable[NDArray[np.floating] | None],
    groups: pd.Series,
    *,
    prior: Statistics | None = None,
) -> GroupStatistics:
    """Fits the statistics of each group of some rows, see `GroupSums`."""
    sums = GroupSums()
    sums.add(states, groups)
    return sums.settle(groups, prior)


def find_groups(utterances: pd.DataFrame, standardise: Standardise) -> pd.Series | None:
    """Returns the group of each row by which its features are standardised; None without any."""
    if standardise == "speaker":
        return utterances["speaker"]
    if standardise == "corpus":
        return utterances["source" if "source" in utterances else "corpus"]
    return None


def _measure(
    counts: NDArray[np.float64], total: NDArray[np.float64], squares: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns mean and variance of the frames: (2,), (L, D), (L, D) -> (L, D) each."""
    mean = total / counts[1]
    return mean, squares / counts[1] - mean**2
