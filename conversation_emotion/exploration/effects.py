"""How far numbers part the classes: over utterances, within speakers, and over speakers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import chi2, kruskal, rankdata

from conversation_emotion.evaluation.significance import correct_by_holm

LEAST_UTTERANCES = 5
"""Utterances of a class that is compared, and of a speaker whose own scale is known."""


@dataclass(frozen=True, kw_only=True)
class Effect:
    """How far one number parts the classes.

    Attributes:
        name: Of the number.
        epsilon: Epsilon squared of its ranks, (H - k + 1) / (n - k): the share of their variance
            that the class explains, corrected for chance (Kelley, 1935). May lie below 0.
        p: Of Kruskal and Wallis (1952), by Holm over all numbers, as if utterances were
            independent.
        within: Epsilon squared once every speaker has mean 0 and deviation 1; None if no speaker
            has a scale.
        p_speakers: Of Skillings and Mack (1981) over speakers, by Holm: whether speakers order the
            classes alike. None with fewer than two speakers.
        means: Mean of each class (C), in deviations, within speakers where these have a scale; None
            of one that is not compared.
    """

    name: str
    epsilon: float
    p: float
    within: float | None
    p_speakers: float | None
    means: tuple[float | None, ...]

    @property
    def size(self) -> float:
        """Epsilon squared within speakers where these have a scale, else over all."""
        return self.epsilon if self.within is None else self.within


@dataclass(frozen=True, kw_only=True)
class Effects:
    """The effects of several numbers, the largest first.

    ``num_utterances`` were compared, ``num_speakers`` have two classes or more, and ``left_out``
    names the classes with too few utterances.
    """

    effects: tuple[Effect, ...]
    num_utterances: int
    num_speakers: int
    left_out: tuple[str, ...]


def measure_effects(
    values: NDArray[np.floating],
    names: Sequence[str],
    numbers: NDArray[np.int64],
    labels: Sequence[str],
    speakers: Sequence[str],
) -> Effects | None:
    """Measures how far each of F numbers parts the classes; None where fewer than two have enough.

    Args:
        values: The numbers of each utterance, (N, F); one without a finite number is left out.
        names: Of the numbers (F).
        numbers: Class of each utterance, below 0 without: (N,).
        labels: Names of the classes (C).
        speakers: Of each utterance (N).
    """
    known = (numbers >= 0) & np.isfinite(values).all(axis=1)
    counts = np.bincount(numbers[known], minlength=len(labels))
    if np.count_nonzero(counts >= LEAST_UTTERANCES) < 2:
        return None
    known &= counts[numbers.clip(min=0)] >= LEAST_UTTERANCES
    people = pd.factorize(pd.Series(list(speakers), dtype=object)[known])[0]
    found = _measure(values[known].astype(np.float64), numbers[known], people, len(labels))
    effects = [
        Effect(
            name=name,
            epsilon=float(found.epsilon[n]),
            p=found.p[n],
            within=None if found.within is None else float(found.within[n]),
            p_speakers=None if found.p_speakers is None else found.p_speakers[n],
            means=tuple(None if np.isnan(mean) else mean for mean in found.means[:, n].tolist()),
        )
        for n, name in enumerate(names)
    ]
    return Effects(
        effects=tuple(sorted(effects, key=lambda one: one.size, reverse=True)),
        num_utterances=int(known.sum()),
        num_speakers=found.num_speakers,
        left_out=tuple(labels[n] for n in np.flatnonzero(counts < LEAST_UTTERANCES).tolist()),
    )


class _Measured(NamedTuple):
    """What `Effect` has, of all numbers at once: (F,), and (C, F) the means."""

    epsilon: NDArray[np.float64]
    p: list[float]
    within: NDArray[np.float64] | None
    p_speakers: list[float] | None
    means: NDArray[np.float64]
    num_speakers: int


def _measure(
    values: NDArray[np.float64], numbers: NDArray[np.int64], people: NDArray[np.int64], size: int
) -> _Measured:
    epsilon, p = _compare(values, numbers)
    own, has_scale = normalise_by_speaker(values, people, numbers)
    if len(np.unique(numbers[has_scale])) > 1:
        within = _compare(own[has_scale], numbers[has_scale])[0]
    else:  # nobody has a scale: that of all
        within, has_scale = None, np.ones(len(values), dtype=bool)
    shown, kept = own[has_scale], numbers[has_scale]
    p_speakers, num_speakers = skillings_mack(_average(values, people, numbers, size))
    return _Measured(
        epsilon,
        correct_by_holm(p.tolist()),
        within,
        None if p_speakers is None else correct_by_holm(p_speakers.tolist()),
        _average(shown, np.zeros(len(shown), dtype=np.int64), kept, size)[0],
        num_speakers,
    )


def normalise_by_speaker(
    values: NDArray[np.float64], people: NDArray[np.int64], numbers: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Gives every speaker mean 0 and deviation 1: (N, F), (N,), (N,) -> (N, F), (N,).

    A speaker of fewer than `LEAST_UTTERANCES`, or of one class alone, has no scale, and the
    numbers of the others in place of an own; the second result marks the utterances of those who
    have one.
    """
    table = pd.DataFrame(values)
    speakers = pd.Series(people)
    sizes = speakers.groupby(speakers).transform("size")
    given = pd.Series(numbers).where(numbers >= 0)
    has_scale = (sizes >= LEAST_UTTERANCES) & (given.groupby(speakers).transform("nunique") > 1)
    keys = speakers.where(has_scale, -1)
    grouped = table.groupby(keys)
    deviations = grouped.transform("std", ddof=0)
    scaled = (table - grouped.transform("mean")) / deviations.mask(deviations < 1e-12, 1.0)
    return scaled.to_numpy(np.float64), has_scale.to_numpy(np.bool_)


def skillings_mack(table: NDArray[np.float64]) -> tuple[NDArray[np.float64] | None, int]:
    """Tests whether blocks rank the treatments alike (Skillings and Mack, 1981).

    It is Friedman's test where nothing is missing, without a correction for ties.

    Args:
        table: (B, C, F) blocks, treatments and numbers; NaN where a block lacks a treatment, of
            all numbers at once.

    Returns:
        The p-value of each number (F), None with fewer than two blocks that have two treatments;
        and how many have.
    """
    present = np.isfinite(table[:, :, 0])
    table, present = table[present.sum(axis=1) > 1], present[present.sum(axis=1) > 1]
    if len(table) < 2:
        return None, len(table)
    used = present.any(axis=0)
    table, present = table[:, used], present[:, used]
    sizes = present.sum(axis=1)[:, None, None]
    ranks = rankdata(table, axis=1, nan_policy="omit")
    scores = np.sqrt(12 / (sizes + 1)) * np.where(present[:, :, None], ranks - (sizes + 1) / 2, 0)
    sums = scores.sum(axis=0)  # (C, F)
    together = present.T.astype(np.float64) @ present
    covariance = np.diag(together.sum(axis=1)) - together
    statistics = np.einsum("cf,cd,df->f", sums, np.linalg.pinv(covariance), sums)
    return chi2.sf(statistics, np.linalg.matrix_rank(covariance)), len(table)


def _compare(
    values: NDArray[np.float64], numbers: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns epsilon squared and the p-value of each number: (N, F), (N,) -> (F,), (F,)."""
    groups = [values[numbers == number] for number in np.unique(numbers)]
    epsilon, p = np.zeros(values.shape[1]), np.ones(values.shape[1])
    varies = np.ptp(values, axis=0) > 0
    if varies.any():
        found = kruskal(*(group[:, varies] for group in groups), axis=0)
        size, k = len(values), len(groups)
        epsilon[varies] = (found.statistic - k + 1) / max(size - k, 1)
        p[varies] = found.pvalue
    return epsilon, p


def _average(
    values: NDArray[np.float64], blocks: NDArray[np.int64], numbers: NDArray[np.int64], size: int
) -> NDArray[np.float64]:
    """Averages each class in each block, NaN where it is absent: (N, F) -> (B, C, F)."""
    num_blocks = int(blocks.max()) + 1
    flat = blocks * size + numbers
    counts = np.bincount(flat, minlength=num_blocks * size)
    sums = np.zeros((num_blocks * size, values.shape[1]))
    np.add.at(sums, flat, values)
    with np.errstate(invalid="ignore"):
        means = sums / np.where(counts > 0, counts, np.nan)[:, None]
    return means.reshape(num_blocks, size, -1)
