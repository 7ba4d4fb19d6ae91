"""The classes that a corpus is explored by, and how they spread over speakers, parts, dialogues."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from conversation_emotion.utterances.sentiment import name_polarities
from conversation_emotion.utterances.table import SPLITS

MOST_CLASSES = 20
"""Classes that are told apart; rarer ones are one class together."""

MOST_GROUPS = 40
"""Speakers, dialogues or parts that are shown, those with most utterances."""

GROUPS = ("split", "gender", "language", "session", "speaker")
"""Columns by which classes are counted, where they have two values or more."""


@dataclass(frozen=True, kw_only=True)
class Classes:
    """The class of each utterance.

    Attributes:
        target: Column that names them.
        labels: Their names (C), in alphabetical order.
        numbers: Class of each utterance, below 0 where it has none: (rows,).
    """

    target: str
    labels: tuple[str, ...]
    numbers: NDArray[np.int64]

    @property
    def counts(self) -> NDArray[np.int64]:
        """Utterances of each class: (C,)."""
        return np.bincount(self.numbers[self.numbers >= 0], minlength=len(self.labels))


@dataclass(frozen=True, kw_only=True)
class Group:
    """A speaker, a part, a dialogue: utterances of each class (C), and those without one."""

    name: str
    counts: tuple[int, ...]
    num_unlabelled: int


@dataclass(frozen=True, kw_only=True)
class Grouping:
    """How the classes spread over groups.

    Attributes:
        by: Column of the groups.
        groups: Those with most utterances, or all in alphabetical order if they are few.
        num_groups: Of all.
        association: Cramér's V of group and class, corrected for its bias (Bergsma, 2013): 0 where
            every group has the same classes, 1 where its group tells the class. None if undefined.
    """

    by: str
    groups: tuple[Group, ...]
    num_groups: int
    association: float | None


def find_classes(utterances: pd.DataFrame, target: str) -> Classes:
    """Names the class of each utterance by a column; sentiments that are numbers by their sign.

    Raises:
        ValueError: There is no such column, or it holds numbers.
    """
    if target not in utterances:
        raise ValueError(
            f"--target {target}: the table has no such column, it has "
            f"{', '.join(map(str, utterances))}"
        )
    column = utterances[target]
    names = name_polarities(column) if target == "sentiment" else column
    if pd.api.types.is_float_dtype(names) and names.nunique() > MOST_CLASSES:
        raise ValueError(
            f"--target {target}: {names.nunique()} different numbers, expected names of classes "
            f"or {MOST_CLASSES} numbers at most"
        )
    names = names.map(str, na_action="ignore")
    frequent = names.value_counts().sort_index().sort_values(ascending=False, kind="stable")
    labels = sorted(map(str, frequent.index[:MOST_CLASSES]))
    numbers = names.map({label: number for number, label in enumerate(labels)})
    if rarer := len(frequent) - len(labels):
        numbers = numbers.mask(names.notna() & numbers.isna(), len(labels))
        labels.append(f"{rarer:,} rarer ones")
    return Classes(
        target=target,
        labels=tuple(labels),
        numbers=numbers.astype("float64").fillna(-1).to_numpy().astype(np.int64),
    )


def group_classes(utterances: pd.DataFrame, classes: Classes) -> Iterator[Grouping]:
    """Counts the classes by each of `GROUPS` that has two values or more."""
    for by in GROUPS:
        if by != classes.target and utterances[by].nunique() > 1:
            yield count_by(utterances, classes, by)


def count_by(utterances: pd.DataFrame, classes: Classes, by: str) -> Grouping:
    """Counts the classes of each value of a column."""
    codes, names = pd.factorize(utterances[by].astype("string"), sort=True)
    shape = (len(names), len(classes.labels) + 1)  # the last column has those without a class
    is_given = codes >= 0
    columns = np.where(classes.numbers < 0, shape[1] - 1, classes.numbers)
    flat = codes[is_given] * shape[1] + columns[is_given]
    counts = np.bincount(flat, minlength=shape[0] * shape[1]).reshape(shape)
    rows = list(range(len(names)))
    if by == "split":
        rows.sort(key=lambda row: SPLITS.index(names[row]))
    elif len(names) > MOST_GROUPS:
        rows = np.argsort(-counts.sum(axis=1), kind="stable")[:MOST_GROUPS].tolist()
    return Grouping(
        by=by,
        groups=tuple(
            Group(
                name=str(names[row]),
                counts=tuple(counts[row, :-1].tolist()),
                num_unlabelled=int(counts[row, -1]),
            )
            for row in rows
        ),
        num_groups=len(names),
        association=measure_association(counts[:, :-1]),
    )


def measure_association(counts: NDArray[np.int64]) -> float | None:
    """Returns Cramér's V of a table of counts, corrected for its bias (Bergsma, 2013): (R, C)."""
    found = counts[counts.any(axis=1)][:, counts.any(axis=0)].astype(np.float64)
    n, sizes = found.sum(), np.array(found.shape)
    if min(found.shape, default=0) < 2 or n < 2:
        return None
    expected = np.outer(found.sum(axis=1), found.sum(axis=0)) / n
    squared = float((np.square(found - expected) / expected).sum()) / n
    squared = max(0.0, squared - float(np.prod(sizes - 1)) / (n - 1))
    least = float((sizes - np.square(sizes - 1) / (n - 1)).min()) - 1
    return min(1.0, (squared / least) ** 0.5) if least > 0 else None


def quantiles(values: Sequence[float] | NDArray[np.floating] | pd.Series) -> tuple[float, ...]:
    """Returns the quantiles 0.05, 0.25, 0.5, 0.75 and 0.95 of what is finite, none of nothing."""
    found = np.asarray(values, dtype=np.float64)
    found = found[np.isfinite(found)]
    return tuple(np.quantile(found, (0.05, 0.25, 0.5, 0.75, 0.95)).tolist()) if len(found) else ()
