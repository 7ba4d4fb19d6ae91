"""Votes of raters counted by the classes of a label map, and what is odd about them."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from conversation_emotion.utterances.labels import LabelMap
from conversation_emotion.utterances.votes import UNNAMED, VOTES, Ballot, list_ballots

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
        rows: Row of each of K ballots for any of the classes, of raters who are told apart or
            counted: (K,).
        ballots: Weight of each class in each: (K, C).
        notes: What is said below tables: how many votes are left out, and what is odd.
    """

    shares: NDArray[np.float64]
    agreement: NDArray[np.float64]
    rows: NDArray[np.int64]
    ballots: NDArray[np.float64]
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
    shares = np.zeros((len(utterances), len(label_map.labels)))
    agreement = np.full(len(utterances), np.nan)
    rows, ballots, tally = [], [], _Tally()
    for row, found in list_ballots(utterances):
        sums: defaultdict[int | str, float] = defaultdict(float)
        for ballot in found:
            tally.add(ballot, {*places})
            vote = np.zeros(len(label_map.labels))
            for emotion, share in ballot.shares.items():
                sums[places.get(emotion, emotion)] += ballot.weight * share
                if emotion in places:
                    vote[places[emotion]] += ballot.weight * share
            if vote.any():
                rows.append(row)
                ballots.append(vote)
                shares[row] += vote
        tally.num_single += len(found) == 1
        tally.num_voted += 1
        agreement[row] = max(sums.values()) / sum(sums.values())
    if not rows:
        raise ValueError(
            f"{label_map.corpus}: {_describe_absence(tally, label_map)}; --targets label takes the "
            "label that the corpus has"
        )
    totals = shares.sum(axis=1, keepdims=True)
    return Votes(
        shares=np.divide(shares, totals, out=np.full_like(shares, np.nan), where=totals > 0),
        agreement=agreement,
        rows=np.array(rows, dtype=np.int64),
        ballots=np.array(ballots),
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

    def add(self, ballot: Ballot, known: set[str]) -> None:
        """Counts a ballot and its emotions that no class takes."""
        self.num_ballots += 1
        self.num_scaled += ballot.is_scaled
        self.outside.update(name for name in ballot.shares if name not in known)
        if not ballot.rater.startswith(UNNAMED):
            self.named[ballot.rater].update([*ballot.shares])

    def describe(self) -> Iterator[str]:
        """Yields a line for everything that there is."""
        yield f"votes: {self.num_ballots:,} on {self.num_voted:,} utterances"
        if self.outside:
            named = ", ".join(f"{name} ({n:,})" for name, n in self.outside.most_common())
            yield f"votes for what no class takes, left out: {named}"
        if self.num_single:
            yield f"{self.num_single:,} utterances have one vote alone, with nobody to agree with"
        if self.num_scaled:
            yield f"{self.num_scaled:,} votes have shares that do not add up to 1, and are scaled"
        if same := sorted(map(str, self._list_constant())):
            more = f" and {len(same) - 5:,} more" if len(same) > 5 else ""
            yield f"raters who named one emotion alone: {', '.join(same[:5])}{more}"

    def _list_constant(self) -> Iterator[str]:
        for rater, counts in self.named.items():
            if len(counts) == 1 and counts.total() >= _LEAST_VOTES:
                (emotion,) = counts
                yield f"{rater} ({emotion}, {counts.total():,})"
