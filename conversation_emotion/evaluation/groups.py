"""Groups of targets: how well each is served, and whether one fares worse than the others.

A group is what targets have in common: the gender or age of who speaks, the language, or their kind
in a conversation. Scores are over all folds together, since a fold may have no target of a group.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from conversation_emotion.evaluation.calibration import score_calibration, score_confidence
from conversation_emotion.evaluation.jackknife import (
    Jackknife,
    cluster_column,
    p_values,
    subtract_groups,
)
from conversation_emotion.evaluation.metrics import (
    Interval,
    count_targets,
    describe_metric,
    summarise,
)
from conversation_emotion.evaluation.rendering import format_number
from conversation_emotion.evaluation.results import ResultsTable, RowResult
from conversation_emotion.evaluation.significance import correct_by_holm

LEAST_TARGETS, LEAST_CLUSTERS = 20, 3
"""Targets and clusters of a group that is tested, and of the others; fewer are shown."""

MOST_GROUPS = 40
"""Groups of a column that are shown, the largest."""

NOT_GIVEN = "not given"
"""Group of the targets of which nothing is known."""

TITLES = {
    "turn_number": "turn",
    "context_size": "utterances before:",
    "next_speaker": "next speaker:",
}
"""What groups are called whose column is no word for them."""

_COUNTS = [0, 1, 2, 4, 8, 16, np.inf], ("1", "2", "3 to 4", "5 to 8", "9 to 16", "17 and more")
_AGES = [-1, 17, 29, 44, 59, np.inf], ("to 17", "18 to 29", "30 to 44", "45 to 59", "60 and more")

RANGES = {"turn_number": _COUNTS, "context_size": _COUNTS, "age": _AGES}
"""Bounds of the ranges of a column of numbers, each the last that belongs to it; and their names.
Other columns with more than `MOST_VALUES` numbers are in quarters."""

MOST_VALUES = 12

NO_GROUPS = ("utterance_id", "dialogue_id", "text", "audio", "emotion", "sentiment")
"""Columns that are no groups: names, content, and what is predicted."""


class Group(NamedTuple):
    """Targets that have something in common.

    Attributes:
        column: What they have in common.
        value: How it is.
        rows: Their predictions.
    """

    column: str
    value: str
    rows: pd.DataFrame

    @property
    def name(self) -> str:
        """Returns the column with the value, and how many targets there are."""
        what = TITLES.get(self.column, self.column)
        return f"{what} {self.value} (n = {count_targets(self.rows):,})"


def check_columns(utterances: pd.DataFrame, columns: Sequence[str], flag: str) -> None:
    """Checks that utterances have what they are to be grouped by.

    Raises:
        ValueError: A column is not there, is empty, or makes no groups.
    """
    given = [
        str(name) for name in utterances if name not in NO_GROUPS and utterances[name].notna().any()
    ]
    for column in columns:
        if column not in given:
            corpora = " and ".join(map(str, utterances["corpus"].unique()))
            why = "makes no groups" if column in NO_GROUPS else f"is not given by {corpora}"
            several = [name for name in given if utterances[name].nunique() > 1]
            raise ValueError(f"{flag} {column}: {why}; choose from {', '.join(several)}")


def stratify(predictions: pd.DataFrame, columns: Sequence[str]) -> Iterator[Group]:
    """Yields the groups of each column, numbers in `RANGES`, and last what is `NOT_GIVEN`."""
    for column in columns:
        values = cut_values(predictions[column], column)
        for value, rows in predictions.groupby(values, observed=True):
            yield Group(column, str(value), rows)
        if values.isna().any():
            yield Group(column, NOT_GIVEN, predictions[values.isna()])


def cut_values(values: pd.Series, column: str) -> pd.Series:
    """Puts numbers into ranges; words stay as they are, and without any are not given."""
    if column in RANGES:
        bounds, names = RANGES[column]
        return pd.cut(pd.to_numeric(values, errors="coerce"), bounds, labels=names)
    numbers = pd.to_numeric(values, errors="coerce")
    if numbers.notna().sum() == values.notna().sum() and numbers.nunique() > MOST_VALUES:
        return pd.qcut(numbers, 4, duplicates="drop")
    words = values.astype("string").str.strip()
    return words.mask(words == "")


@dataclass(frozen=True, kw_only=True)
class Measure:
    """The score that groups are compared in.

    Attributes:
        metric: Its name.
        jackknife: Scores predictions of one fold.
        labels: Names of the classes (C); empty where numbers are predicted.
    """

    metric: str
    jackknife: Callable[[pd.DataFrame], Jackknife]
    labels: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class GroupScore:
    """How well a group is served.

    Attributes:
        group: The group.
        metrics: Its scores; ``difference`` is that to all others whose value is given.
        values: ``p_value`` and ``p_holm`` where the difference is tested.
        test: Name of the test, which two groups that differ from each other alone have in common.
        why: Why it is not tested; empty if it is.
        num_groups: Groups of its column.
    """

    group: Group
    metrics: Mapping[str, Interval]
    values: Mapping[str, float] = field(default_factory=dict)
    test: str = ""
    why: str = ""
    num_groups: int = 0


def score_groups(
    predictions: pd.DataFrame, columns: Sequence[str], measure: Measure
) -> list[GroupScore]:
    """Scores the groups of each column, and tests each against the others of its column.

    The test is a t test over clusters, see `jackknife.subtract_groups`. Of two groups, which differ
    by the same from each other, there is one test. Groups too small to test are scored; of more
    than `MOST_GROUPS` the largest are, and `describe_groups` counts the rest.
    """
    found: list[GroupScore] = []
    for column in columns:
        groups = list(stratify(predictions.assign(fold="all"), [column]))
        given = [group for group in groups if group.value != NOT_GIVEN]
        sizes = sorted((len(group.rows) for group in groups), reverse=True)[:MOST_GROUPS]
        kept = [group for group in groups if len(group.rows) >= sizes[-1]][:MOST_GROUPS]
        scored = [_score_group(group, given, measure) for group in kept]
        found += [replace(one, num_groups=len(groups)) for one in scored]
    return found


def _score_group(group: Group, given: Sequence[Group], measure: Measure) -> GroupScore:
    metrics = _score(group.rows, measure)
    if why := _find_obstacle(group, given):
        return GroupScore(group=group, metrics=metrics, why=why)
    others = pd.concat([one.rows for one in given if one.value != group.value])
    metrics["difference"], p_value = _compare(group.rows, others, measure)
    test = group.column if len(given) == 2 else f"{group.column} {group.value}"
    return GroupScore(group=group, metrics=metrics, values={"p_value": p_value}, test=test)


def correct(scores: Sequence[Sequence[GroupScore]]) -> list[list[GroupScore]]:
    """Corrects the p values of several systems for the number of them all (Holm, 1979)."""
    tests = {
        (place, one.test): one.values["p_value"]
        for place, some in enumerate(scores)
        for one in some
        if one.test
    }
    corrected = dict(zip(tests, correct_by_holm([*tests.values()]), strict=True))
    return [
        [
            replace(one, values={**one.values, "p_holm": corrected[place, one.test]})
            if one.test
            else one
            for one in some
        ]
        for place, some in enumerate(scores)
    ]


def _score(rows: pd.DataFrame, measure: Measure) -> dict[str, Interval]:
    """Scores the targets of a group, and how true their probabilities are if there are any."""
    counts = {measure.metric: count_targets(rows)}
    scores = summarise(measure.jackknife(rows), counts)
    columns = [f"p_{label}" for label in measure.labels]
    if columns and {*columns} <= {*rows}:
        known = rows[rows[columns].notna().all(axis=1)]  # a clip that cannot be read has none
        if len(known):
            scores |= score_calibration(known, measure.labels)
            scores |= score_confidence(known, measure.labels)
    return scores


def _find_obstacle(group: Group, given: Sequence[Group]) -> str:
    """Says why a group is not tested against the others; nothing where it is."""
    if group.value == NOT_GIVEN:
        return "nothing to compare"
    others = [one.rows for one in given if one.value != group.value]
    if not others:
        return "no other group"
    for whose, rows in (("", group.rows), ("the others have ", pd.concat(others))):
        if count_targets(rows) < LEAST_TARGETS:
            return f"{whose}fewer than {LEAST_TARGETS} targets"
        if cluster_column(rows).nunique() < LEAST_CLUSTERS:
            return f"{whose}fewer than {LEAST_CLUSTERS} speakers or dialogues"
    return ""


def _compare(one: pd.DataFrame, other: pd.DataFrame, measure: Measure) -> tuple[Interval, float]:
    """Returns how much better the first group is served, and the p value of no difference."""
    (first, names), (second, others) = (
        (measure.jackknife(rows), np.unique(cluster_column(rows))) for rows in (one, other)
    )
    found = subtract_groups(first, names, second, others)
    difference = summarise(found, {"difference": count_targets(one)})["difference"]
    return difference, float(p_values(found)[0])


def describe_groups(scores: Sequence[GroupScore], measure: Measure) -> Iterator[str]:
    """Yields what a reader has to know of the groups of a system: the worst, those not tested."""
    for column in dict.fromkeys(one.group.column for one in scores):
        own = [one for one in scores if one.group.column == column]
        if len(tested := [one for one in own if one.test]) > 1:
            worst = min(tested, key=lambda one: one.metrics[measure.metric].score)
            score = format_number(worst.metrics[measure.metric].score, measure.metric)
            title = describe_metric(measure.metric).title
            yield (
                f"worst {column}: {worst.group.value}, {title} {score}; the lowest of several "
                "leans downwards"
            )
        for why in dict.fromkeys(one.why for one in own if one.why):
            values = ", ".join(one.group.value for one in own if one.why == why)
            yield f"{column}, not tested: {values} ({why})"
        absent = {one.group.value: _find_absent(one.group.rows, measure.labels) for one in own}
        if listed := [f"{value} has no {', '.join(one)}" for value, one in absent.items() if one]:
            yield f"{column}: UAR is over the classes that a group has; {'; '.join(listed)}"
        if len(own) < own[0].num_groups:
            yield f"{column}: the largest {len(own)} of {own[0].num_groups} groups are shown"


def tabulate_groups(
    table: ResultsTable, rows: Iterable[RowResult], notes: Iterable[str], metric: str
) -> ResultsTable:
    """Returns a table of groups of targets, next to the table of all."""
    return replace(
        table,
        title=f"Groups of targets; {table.title}",
        columns=(metric, "difference", "p_holm", "ece", "overconfidence"),
        rows=tuple(rows),
        notes=(
            "all folds together, mean ± deviation over seeds; difference: to all other targets "
            "whose value is given; p of no difference by a t test over clusters, corrected for the "
            "number of differences of this table (Holm, 1979)",
            "over-confidence: mean confidence less share of right predictions; ECE is too high of "
            "few targets, over-confidence is not",
            *dict.fromkeys(notes),
        ),
    )


def _find_absent(rows: pd.DataFrame, labels: Sequence[str]) -> list[str]:
    """Returns the classes that no target of some rows has."""
    if not labels:
        return []
    present = set(rows["target"])
    return [label for number, label in enumerate(labels) if number not in present]
