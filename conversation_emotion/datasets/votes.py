"""Votes of raters counted by the classes of a label map, and what is odd about them."""

from collections import Counter, defaultdict
from collections.abc import Container, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from conversation_emotion.utterances.labels import LabelMap
from conversation_emotion.utterances.votes import UNNAMED, VOTES, Ballot, list_ballots

_MOST_NAMED = 10
"""Emotions or raters that a note names, the others counted."""

_LEAST_VOTES = 10
"""Utterances from which on it is said that a rater named the same emotion of all."""


@dataclass(frozen=True, kw_only=True)
class Votes:
    """The votes of a table for C classes.

    Attributes:
        shares: Share of each class of the votes for any of them, NaN where there is none:
            (rows, C).
        agreement: Share of all votes that name the most frequent emotion, NaN without votes;
            emotions of one class are one, those of no class count by themselves: (rows,).
        rows: Row of each of K ballots for any of the classes, of raters who are identified or
            counted: (K,).
        ballots: Weight of each class in each: (K, C).
        raters: Names of their raters, see `utterances.votes.UNNAMED`: (K,).
        notes: What is said below tables: how many votes are left out, and what is odd.
    """

    shares: NDArray[np.float64]
    agreement: NDArray[np.float64]
    rows: NDArray[np.int64]
    ballots: NDArray[np.float64]
    raters: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def majority(self) -> NDArray[np.int64]:
        """Returns the class with most votes, -1 where several have, or there are none: (rows,)."""
        return find_majority(np.nan_to_num(self.shares))


def find_majority(shares: NDArray[np.floating]) -> NDArray[np.int64]:
    """Returns the largest of shares, -1 where several are as large, or all are 0: (N, C) -> (N,).

    Votes of a third each may differ in the last digit.
    """
    most = shares.max(axis=1, keepdims=True)
    is_most = shares >= most - 1e-9
    return np.where((is_most.sum(axis=1) == 1) & (most[:, 0] > 0), is_most.argmax(axis=1), -1)


def count_votes(utterances: pd.DataFrame, label_map: LabelMap) -> Votes:
    """Counts the votes for the classes of a label map.

    Raises:
        ValueError: No utterance has a vote for any of the classes; or a cell is no votes.
    """
    places = {emotion: label_map.labels.index(x) for emotion, x in label_map.classes.items()}
    agreement = np.full(len(utterances), np.nan)
    rows: list[int] = []
    raters: list[str] = []
    given: list[tuple[int, int, float]] = []  # number of the ballot, class, weight
    tally = _Tally()
    for row, found in list_ballots(utterances):
        sums: defaultdict[int | str, float] = defaultdict(float)
        for ballot in found:
            tally.add(ballot, places)
            for emotion, share in ballot.shares.items():
                place = places.get(emotion)
                sums[emotion if place is None else place] += ballot.weight * share
                if place is not None:
                    given.append((len(rows), place, ballot.weight * share))
            if given and given[-1][0] == len(rows):  # it has a vote for a class
                rows.append(row)
                raters.append(ballot.rater)
        tally.num_single += len(found) == 1
        tally.num_voted += 1
        agreement[row] = max(sums.values()) / sum(sums.values())
    if not rows:
        raise ValueError(
            f"{label_map.corpus}: {_describe_absence(tally, label_map)}; --targets label takes the "
            "label that the corpus has"
        )
    numbers, classes, weights = map(np.array, zip(*given, strict=True))
    ballots = np.zeros((len(rows), len(label_map.labels)))
    np.add.at(ballots, (numbers, classes), weights)
    shares = np.zeros((len(utterances), len(label_map.labels)))
    np.add.at(shares, rows, ballots)
    totals = shares.sum(axis=1, keepdims=True)
    return Votes(
        shares=np.divide(shares, totals, out=np.full_like(shares, np.nan), where=totals > 0),
        agreement=agreement,
        rows=np.array(rows, dtype=np.int64),
        ballots=ballots,
        raters=tuple(raters),
        notes=tuple(tally.describe()),
    )


def _describe_absence(tally: "_Tally", label_map: LabelMap) -> str:
    if not tally.num_voted:
        return f"no utterance has votes of raters (column {VOTES})"
    named = ", ".join(f"{name} ({n:,})" for name, n in tally.outside.most_common(5))
    return f"no vote is for one of {', '.join(label_map.labels)}; raters named {named}"


class _Tally:
    """Counts what is said of votes."""

    def __init__(self) -> None:
        self.num_voted = self.num_single = self.num_ballots = self.num_scaled = 0
        self.outside: Counter[str] = Counter()
        self.named: defaultdict[str, Counter[str]] = defaultdict(Counter)

    def add(self, ballot: Ballot, known: Container[str]) -> None:
        """Counts a ballot and its emotions that no class takes."""
        self.num_ballots += 1
        self.num_scaled += ballot.is_scaled
        counts = None if ballot.rater.startswith(UNNAMED) else self.named[ballot.rater]
        for name in ballot.shares:
            if name not in known:
                self.outside[name] += 1
            if counts is not None:
                counts[name] += 1

    def describe(self) -> Iterator[str]:
        """Yields a line for everything that there is."""
        yield f"votes: {self.num_ballots:,} on {self.num_voted:,} utterances"
        if self.outside:
            named = ", ".join(f"{x} ({n:,})" for x, n in self.outside.most_common(_MOST_NAMED))
            more = f" and {len(self.outside) - _MOST_NAMED:,} other names"
            more = more if len(self.outside) > _MOST_NAMED else ""
            yield f"votes for what no class takes, left out: {named}{more}"
        if self.num_single:
            yield f"{self.num_single:,} utterances have one vote alone, with nobody to agree with"
        if self.num_scaled:
            yield f"{self.num_scaled:,} votes have shares that do not add up to 1, and are scaled"
        if same := sorted(self._list_constant()):
            more = f" and {len(same) - _MOST_NAMED:,} more" if len(same) > _MOST_NAMED else ""
            yield f"raters who named one emotion alone: {', '.join(same[:_MOST_NAMED])}{more}"

    def _list_constant(self) -> Iterator[str]:
        for rater, counts in self.named.items():
            if len(counts) == 1 and counts.total() >= _LEAST_VOTES:
                (emotion,) = counts
                yield f"{rater} ({emotion}, {counts.total():,})"
