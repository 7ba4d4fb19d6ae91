"""Dialogues: how long they are, and how an emotion follows another, of oneself or of the other."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from conversation_emotion.exploration.classes import Classes, quantiles


@dataclass(frozen=True, kw_only=True)
class Dialogues:
    """The dialogues of two turns or more.

    Attributes:
        count: How many there are.
        turns: Quantiles of their turns, see `quantiles`; so are the others.
        speakers: Of their speakers.
        kinds: Of their different classes.
        one_class: Share of those with labels that have one class alone.
        same_speaker: Share of turns whose speaker had the turn before as well.
    """

    count: int
    turns: tuple[float, ...]
    speakers: tuple[float, ...]
    kinds: tuple[float, ...]
    one_class: float
    same_speaker: float


@dataclass(frozen=True, kw_only=True)
class Transitions:
    """How often a class follows another.

    Attributes:
        whose: Previous turn: ``own``, of the same speaker, or ``other``, the last of somebody else.
        counts: Turns of each class (columns) by the class of that turn (rows): (C, C).
        same: Share of turns that have the class of that turn.
        chance: The same if both were independent.
        kappa: Cohen's (1960): 0 as by chance, 1 if the class never changes; None if undefined.
    """

    whose: str
    counts: tuple[tuple[int, ...], ...]
    same: float
    chance: float
    kappa: float | None


def describe_dialogues(utterances: pd.DataFrame, classes: Classes) -> Dialogues | None:
    """Describes the dialogues of a table that is sorted by them; None if all have one turn."""
    known = np.where(classes.numbers < 0, np.nan, classes.numbers)
    grouped = utterances.assign(number=known).groupby("dialogue_id", sort=False)
    turns = grouped.size()
    if not (turns > 1).any():
        return None
    kinds = grouped["number"].nunique()[turns > 1]
    before = utterances["speaker"].shift().where(_is_inside(utterances))
    return Dialogues(
        count=int((turns > 1).sum()),
        turns=quantiles(turns[turns > 1]),
        speakers=quantiles(grouped["speaker"].nunique()[turns > 1]),
        kinds=quantiles(kinds),
        one_class=float((kinds[kinds > 0] == 1).mean()) if (kinds > 0).any() else 0.0,
        same_speaker=float((utterances["speaker"] == before)[before.notna()].mean()),
    )


def find_transitions(utterances: pd.DataFrame, classes: Classes) -> Iterator[Transitions]:
    """Counts the transitions of a table that is sorted by dialogue and order, where there are any.

    A turn without a class is neither counted nor skipped: what follows it has no previous class.
    """
    for whose, previous in (
        ("own", _previous_own(utterances, classes.numbers)),
        ("other", _previous_other(utterances, classes.numbers)),
    ):
        known = (previous >= 0) & (classes.numbers >= 0)
        if known.any():
            size = len(classes.labels)
            flat = previous[known] * size + classes.numbers[known]
            counts = np.bincount(flat, minlength=size**2).reshape(size, size)
            yield _describe(whose, counts)


def _describe(whose: str, counts: NDArray[np.int64]) -> Transitions:
    shares = counts / counts.sum()
    same = float(np.trace(shares))
    chance = float(shares.sum(axis=1) @ shares.sum(axis=0))
    return Transitions(
        whose=whose,
        counts=tuple(map(tuple, counts.tolist())),
        same=same,
        chance=chance,
        kappa=(same - chance) / (1 - chance) if chance < 1 else None,
    )


def _is_inside(utterances: pd.DataFrame) -> pd.Series:
    """Marks the turns that another precedes in their dialogue."""
    return utterances["dialogue_id"] == utterances["dialogue_id"].shift()


def _previous_own(utterances: pd.DataFrame, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns the class of the last turn of the same speaker in the dialogue, -1 without."""
    keys = [utterances["dialogue_id"], utterances["speaker"]]
    before = pd.Series(numbers, index=utterances.index).groupby(keys, sort=False).shift()
    return before.fillna(-1).to_numpy(dtype=np.int64)


def _previous_other(utterances: pd.DataFrame, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns the class of the last turn of somebody else in the dialogue, -1 without."""
    is_inside = _is_inside(utterances).to_numpy()
    speakers = utterances["speaker"].to_numpy()
    is_same = np.append(False, speakers[1:] == speakers[:-1]) & is_inside
    runs = np.maximum.accumulate(np.where(is_same, 0, np.arange(len(numbers))))  # where each began
    return np.where(is_inside[runs], numbers[runs - 1], -1)
