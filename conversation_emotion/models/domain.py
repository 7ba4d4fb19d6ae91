"""The domain of a model: how far features lie from those that it learned from.

Features of an utterance, averaged over its frames, have a Gaussian distribution with a few
directions of their own variance and one variance in all others (probabilistic principal components;
Tipping and Bishop, 1999). The Mahalanobis distance to its mean tells noise, music or other
recordings apart, as that of Lee et al. (2018) does for images; it says nothing about emotions.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from conversation_emotion.datasets.batches import ModalityArrays
from conversation_emotion.datasets.windows import PADDING, Windows

NUM_COMPONENTS = 32
"""Directions that have a variance of their own, at most."""

MOST_UTTERANCES = 4_000
"""Utterances that a domain is fitted on at most, evenly spread."""

SHARE = 0.95
"""Share of the utterances of held-out speakers whose novelty is at most 1."""

_NUM_PARTS = 5
_ROWS_AT_ONCE = 256
_TINY = 1e-6

_LEAST = 1e-3
"""Variances below, of standardised features, are those of too few utterances, or of rounding."""


class Domain(NamedTuple):
    """Where the features of one source lie (D), in single precision.

    Attributes:
        centre: Mean of each feature, (D,).
        scale: Deviation of each, (D,).
        components: Directions of standardised features, (E, D).
        variances: Those along the directions, and last the one in all others, (E + 1,).
        unit: Distance that counts as 1, (1,).
    """

    centre: NDArray[np.float32]
    scale: NDArray[np.float32]
    components: NDArray[np.float32]
    variances: NDArray[np.float32]
    unit: NDArray[np.float32]

    def measure(self, vectors: NDArray[np.floating]) -> NDArray[np.float64]:
        """Returns how far vectors lie, NaN where they are: (N, D) -> (N,)."""
        standardised = ((vectors - self.centre) / self.scale).astype(np.float64)
        projected = standardised @ self.components.T
        inside = (np.square(projected) / self.variances[:-1]).sum(axis=1)
        rest = np.square(standardised).sum(axis=1) - np.square(projected).sum(axis=1)
        return np.sqrt(inside + np.maximum(rest, 0.0) / self.variances[-1]) / self.unit


def fit_domain(vectors: NDArray[np.floating], speakers: pd.Series) -> Domain | None:
    """Fits where features lie; its unit is measured on speakers that are held out in turns.

    Args:
        vectors: Features of utterances, (N, D).
        speakers: Whose they are, (N,); of one alone, utterances are held out.

    Returns:
        The domain, None of fewer than two utterances.
    """
    if len(vectors) < 2:
        return None
    chosen = np.unique(np.linspace(0, len(vectors) - 1, MOST_UTTERANCES).round().astype(int))
    vectors, speakers = vectors[chosen], speakers.iloc[chosen]
    groups = pd.factorize(speakers)[0] if speakers.nunique() > 1 else np.arange(len(vectors))
    parts = groups % _NUM_PARTS
    distances = [
        _fit(vectors[parts != part]).measure(vectors[parts == part]) for part in np.unique(parts)
    ]
    unit = np.quantile(np.concatenate(distances), SHARE, keepdims=True)
    return _fit(vectors)._replace(unit=np.maximum(unit, _TINY).astype(np.float32))


def _fit(vectors: NDArray[np.floating]) -> Domain:
    centre, scale = vectors.mean(axis=0), vectors.std(axis=0)
    scale = np.where(scale < _TINY, 1.0, scale)
    standardised = (vectors - centre) / scale
    size = min(NUM_COMPONENTS, len(vectors) - 1, vectors.shape[1])
    found = PCA(size, random_state=0).fit(standardised) if size else None
    along = np.empty(0) if found is None else np.asarray(found.explained_variance_)
    components = np.empty((0, vectors.shape[1])) if found is None else np.asarray(found.components_)
    rest = np.square(standardised).sum(axis=1).mean() - along.sum()
    # Where no direction is left, what rounding leaves there counts as that of one feature.
    rest = rest / (vectors.shape[1] - size) if size < vectors.shape[1] else 1.0
    variances = np.maximum(np.append(along, rest), _LEAST)
    numbers = (centre, scale, components, variances, np.ones(1))
    return Domain._make(np.ascontiguousarray(one, dtype=np.float32) for one in numbers)


def fit_domains(
    arrays: Mapping[str, ModalityArrays], rows: NDArray[np.int64], speakers: pd.Series
) -> dict[str, Domain]:
    """Fits the domain of each source on the rows that have it.

    Args:
        arrays: Features by source.
        rows: Utterances that are learned from.
        speakers: Of all rows of the table.
    """
    found = {}
    for name, array in arrays.items():
        present = rows[array.num_frames[rows].numpy() > 0]
        domain = fit_domain(average_frames(array, present), speakers.iloc[present])
        if domain is not None:
            found[name] = domain
    return found


def average_frames(array: ModalityArrays, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Averages the real frames of rows, all layers joined: (M,) -> (M, L D), NaN without any."""
    vectors = np.full((len(rows), array.num_layers * array.size), np.nan, dtype=np.float32)
    for first in range(0, len(rows), _ROWS_AT_ONCE):
        states, frames = array.gather(torch.from_numpy(rows[first : first + _ROWS_AT_ONCE]))
        counts = frames.sum(dim=1)[:, None, None]
        means = (states * frames[:, None, :, None]).sum(dim=2) / counts
        vectors[first : first + _ROWS_AT_ONCE] = means.flatten(1).numpy()
    return vectors


def measure_novelty(
    domains: Mapping[str, Domain], arrays: Mapping[str, ModalityArrays], windows: Windows
) -> NDArray[np.float64]:
    """Returns the mean distance of the utterances and sources that predictions are made from: (N,).

    NaN where there are none.
    """
    is_used = (windows.rows != PADDING) & ~windows.masked
    rows = np.unique(windows.rows[is_used])
    total, count = (
        np.zeros(windows.rows.max(initial=0) + 1),
        np.zeros(windows.rows.max(initial=0) + 1),
    )
    for name, domain in domains.items():
        distances = domain.measure(average_frames(arrays[name], rows))
        is_known = ~np.isnan(distances)
        total[rows[is_known]] += distances[is_known]
        count[rows[is_known]] += 1
    sums, counts = (
        np.where(is_used, one[windows.rows.clip(min=0)], 0.0).sum(axis=1) for one in (total, count)
    )
    with np.errstate(invalid="ignore"):  # 0 / 0 is the NaN of what has no feature
        return sums / counts
