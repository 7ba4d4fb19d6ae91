"""The space of an encoder: its plane, what neighbours share, and labels that they contradict."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.neighbors import NearestNeighbors

from conversation_emotion.evaluation.separation import MIN_UTTERANCES, measure_separation
from conversation_emotion.exploration.effects import normalise_by_speaker

NUM_NEIGHBOURS = 10
"""Neighbours that vote on a label."""

NUM_COMPONENTS = 50
"""Principal components that a plane is made of."""

DOUBTFUL = 0.6
"""Share of the neighbours' votes for one other class from which on a label is doubted."""


@dataclass(frozen=True, kw_only=True)
class Likeness:
    """What an utterance shares with its nearest neighbour in a space.

    Attributes:
        what: ``class``, ``speaker`` or ``words``.
        silhouette: Mean silhouette, -1 to 1 (Rousseeuw, 1987); None if undefined.
        shared: Share of utterances whose nearest neighbour has the same.
        chance: The same if neighbours were drawn at random.
    """

    what: str
    silhouette: float | None
    shared: float
    chance: float


@dataclass(frozen=True, kw_only=True)
class Doubt:
    """A label that neighbours contradict: the row, its class, the class that most of them have.

    ``share`` are the votes for that class, by frequency of the classes, and ``own`` those for the
    label; neighbours are found with every speaker normalised.
    """

    row: int
    number: int
    voted: int
    share: float
    own: float


@dataclass(frozen=True, kw_only=True)
class Space:
    """The space of an encoder.

    Attributes:
        encoder: Its name.
        rows: Utterances of the table that are shown (N).
        points: Their places by t-SNE, from 0 to 100: (N, 2).
        likeness: By class, by speaker and by words, as far as these differ and are shared.
        within: Share of utterances whose nearest neighbour has the same class once every speaker
            is normalised; None without classes or without speakers who have a scale.
        doubts: Labels in doubt, the worst first.
    """

    encoder: str
    rows: tuple[int, ...]
    points: tuple[tuple[float, float], ...]
    likeness: tuple[Likeness, ...]
    within: float | None
    doubts: tuple[Doubt, ...]


def lay_out(
    encoder: str,
    states: NDArray[np.floating],
    rows: Sequence[int],
    numbers: NDArray[np.int64],
    speakers: Sequence[str],
    texts: Sequence[str | None],
) -> Space | None:
    """Lays out the representations of utterances; None of fewer than five.

    Args:
        encoder: Name of the encoder.
        states: Representations: (N, H).
        rows: Their rows in the table (N).
        numbers: Class of each, below 0 without: (N,).
        speakers: Of each (N).
        texts: Words of each, None without (N).
    """
    if len(states) < MIN_UTTERANCES:
        return None
    people, words = (
        pd.factorize(pd.Series(list(one), dtype=object))[0] for one in (speakers, texts)
    )
    everyone = np.zeros(len(states), dtype=np.int64)
    scaled, _ = normalise_by_speaker(states.astype(np.float64), everyone, everyone)
    own, has_scale = normalise_by_speaker(states.astype(np.float64), people, numbers)
    groups = {"class": numbers, "speaker": people, "words": words}
    likeness = [_compare(what, scaled, codes) for what, codes in groups.items()]
    within = _compare("class", own, numbers) if has_scale.any() else None
    return Space(
        encoder=encoder,
        rows=tuple(map(int, rows)),
        points=tuple((float(x), float(y)) for x, y in project(scaled)),
        likeness=tuple(one for one in likeness if one is not None),
        within=None if within is None else within.shared,
        doubts=tuple(find_doubts(own, rows, numbers)),
    )


def find_doubts(
    values: NDArray[np.floating], rows: Sequence[int], numbers: NDArray[np.int64]
) -> list[Doubt]:
    """Lists the utterances whose neighbours have one other class: (N, H), (N,), (N,).

    A class votes by its share of the neighbours over its share of all utterances, for else the
    most frequent class would win everywhere.
    """
    labelled = np.flatnonzero(numbers >= 0)
    classes, codes = np.unique(numbers[labelled], return_inverse=True)
    if len(classes) < 2 or len(labelled) <= NUM_NEIGHBOURS:
        return []
    near = _find_neighbours(values[labelled], NUM_NEIGHBOURS)
    votes = np.stack([(codes[near] == n).sum(axis=1) for n in range(len(classes))], axis=1)
    votes = votes / np.bincount(codes)
    votes /= votes.sum(axis=1, keepdims=True)
    own = votes[np.arange(len(codes)), codes]
    voted = votes.argmax(axis=1)
    share = votes.max(axis=1)
    doubted = np.flatnonzero((voted != codes) & (share >= DOUBTFUL))
    return [
        Doubt(
            row=int(rows[int(labelled[n])]),
            number=int(classes[codes[n]]),
            voted=int(classes[voted[n]]),
            share=float(share[n]),
            own=float(own[n]),
        )
        for n in doubted[np.argsort((own - share)[doubted], kind="stable")]
    ]


def _compare(what: str, values: NDArray[np.floating], codes: NDArray[np.int64]) -> Likeness | None:
    """Returns what nearest neighbours share, None where all are the same or few are shared."""
    known = codes >= 0
    shares = np.bincount(codes[known]) / max(known.sum(), 1)
    if not 1 < np.count_nonzero(shares) <= known.sum() / 2:
        return None
    near = _find_neighbours(values[known], 1)[:, 0]
    silhouette = measure_separation(values, codes).silhouette
    return Likeness(
        what=what,
        silhouette=None if np.isnan(silhouette) else silhouette,
        shared=float((codes[known] == codes[known][near]).mean()),
        chance=float(np.square(shares).sum()),
    )


def _find_neighbours(values: NDArray[np.floating], count: int) -> NDArray[np.int64]:
    """Returns the nearest others of each utterance: (N, H) -> (N, count)."""
    found = NearestNeighbors(n_neighbors=count, algorithm="brute").fit(values)
    return found.kneighbors(return_distance=False)


def project(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Lays points out by t-SNE (van der Maaten and Hinton, 2008), from 0 to 100: (N, H) -> (N, 2).

    Unlike UMAP it needs no library that compiles itself for half a minute.
    """
    fewer = PCA(min(NUM_COMPONENTS, *values.shape), random_state=0).fit_transform(values)
    perplexity = min(30.0, (len(values) - 1) / 3)
    layout = TSNE(2, perplexity=perplexity, init="random", random_state=0, max_iter=500)
    points = layout.fit_transform(fewer.astype(np.float32)).astype(np.float64)
    points -= points.min(axis=0)
    return (100 * points / np.maximum(points.max(axis=0), 1e-12)).round(1)
