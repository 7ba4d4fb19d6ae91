"""Agreement of raters: of the votes and ratings that a corpus keeps of each of them."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from conversation_emotion.datasets.votes import find_majority
from conversation_emotion.exploration.classes import Classes
from conversation_emotion.utterances.votes import UNNAMED, VOTES, list_ballots

EVALUATORS = "evaluators"
"""Column that holds, as JSON, how each evaluator rated; IEMOCAP's adapter writes it."""

SCALES = ("valence", "arousal", "dominance")
MOST_RATERS = 30
"""Raters that are shown, those with most votes."""


@dataclass(frozen=True, kw_only=True)
class Rater:
    """A rater: utterances that others rated too, and share of the others' votes that agree."""

    name: str
    num_rated: int
    agreement: float


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How far raters agree.

    Attributes:
        source: Columns of the votes, or of the ratings where there are no votes.
        num_raters: Raters in all.
        num_rated: Utterances with two votes or more.
        alpha: Krippendorff's alpha of the votes, nominal: 0 as by chance, 1 in full agreement;
            None if all votes name one class, or there are none.
        pairs: Share of the pairs of votes on an utterance that agree.
        entropy: Mean entropy of the votes on an utterance in bits, 0 in full agreement.
        ceiling: Share of a vote for what most of the others named, ties left out: what a rater
            reaches, and so about what a model can be expected to; None if there are ties alone.
        by_class: The same by the class of the corpus (C), None without such pairs.
        raters: Those with most votes; none where raters are not identified.
        scales: Krippendorff's alpha of ratings, interval, by scale.
    """

    source: str
    num_raters: int
    num_rated: int
    alpha: float | None
    pairs: float | None
    entropy: float | None
    ceiling: float | None
    by_class: tuple[float | None, ...]
    raters: tuple[Rater, ...]
    scales: dict[str, float]


def measure_agreement(
    utterances: pd.DataFrame, classes: Classes, columns: Sequence[str] = ()
) -> Agreement | None:
    """Measures agreement by `VOTES` and `EVALUATORS`, or by columns of a rater's labels each.

    A rater who names several classes has a vote that is divided among them. Raters count alike.

    Raises:
        ValueError: A column is missing, or a cell of `VOTES` or `EVALUATORS` is no such JSON.
    """
    if columns:
        opinions = [*_read_columns(utterances, columns)]
    else:
        opinions = [*_read_votes(utterances), *_read_ratings(utterances)]
    found = pd.DataFrame(opinions, columns=["row", "rater", "scale", "value", "weight"])
    found = found.drop_duplicates(["row", "rater", "scale", "value"])
    votes = _keep_shared(found[found["scale"] == ""])
    scales = {
        scale: alpha
        for scale in SCALES
        if (alpha := _alpha_interval(found[found["scale"] == scale])) is not None
    }
    if votes.empty and not scales:
        return None
    votes = votes.assign(agreement=votes["weight"] * _agree(votes))
    summed = votes.groupby("row")[["agreement", "weight"]].sum()
    rows = summed["agreement"] / summed["weight"]
    labels = pd.Series(classes.numbers[rows.index.to_numpy(dtype=int)], index=rows.index)
    own = rows.groupby(labels).mean()
    return Agreement(
        source=", ".join(columns) or (EVALUATORS if votes.empty else VOTES),
        num_raters=int((found if votes.empty else votes)["rater"].nunique()),
        num_rated=len(rows),
        alpha=alpha_nominal(votes),
        pairs=float(rows.mean()) if len(rows) else None,
        entropy=_measure_entropy(votes),
        ceiling=_measure_ceiling(votes),
        by_class=tuple(own.get(number) for number in range(len(classes.labels))),
        raters=tuple(_list_raters(votes)),
        scales=scales,
    )


def alpha_nominal(votes: pd.DataFrame) -> float | None:
    """Returns Krippendorff's alpha (2011) of votes, which may be divided among values.

    Args:
        votes: Columns ``row``, ``rater``, ``value`` and ``weight``, of rows with two raters or more
            alone; the weights of a rater on a row add up to 1.
    """
    if votes.empty:
        return None
    total = votes.groupby(["row", "rater"]).ngroups
    sums = votes.groupby("value")["weight"].sum().to_numpy()
    expected = (total**2 - np.square(sums).sum()) / (total * (total - 1))
    observed = float((votes["weight"] * (1 - _agree(votes))).sum()) / total
    return float(1 - observed / expected) if expected > 1e-12 else None


def _agree(votes: pd.DataFrame) -> pd.Series:
    """Returns, of each vote, the share of the others' votes on its row that name the same."""
    same = votes.groupby(["row", "value"])["weight"].transform("sum")
    others = votes.groupby("row")["rater"].transform("nunique") - 1
    return (same - votes["weight"]) / others


def _measure_entropy(votes: pd.DataFrame) -> float | None:
    """Returns the mean entropy of the shares of the values of each row, in bits."""
    if votes.empty:
        return None
    sums = votes.groupby(["row", "value"])["weight"].sum()
    shares = sums / sums.groupby("row").transform("sum")
    return float(-(shares * np.log2(shares)).groupby("row").sum().mean())


def _measure_ceiling(votes: pd.DataFrame) -> float | None:
    """Returns the share of each rater's vote for the value that most of the others named."""
    if votes.empty:
        return None
    ballots = votes.pivot_table("weight", ["row", "rater"], "value", "sum", fill_value=0.0)
    own = ballots.to_numpy()
    others = ballots.groupby("row").transform("sum").to_numpy() - own
    most = find_majority(others)
    hits = own[np.arange(len(own)), most][most >= 0]
    return float(hits.mean()) if len(hits) else None


def _alpha_interval(ratings: pd.DataFrame) -> float | None:
    """Returns Krippendorff's alpha of numbers, by their squared differences."""
    ratings = _keep_shared(ratings)
    values = ratings["value"].astype(float)
    if values.nunique() < 2:
        return None
    rows = values.groupby(ratings["row"])
    sizes, squared = rows.transform("size"), np.square(values - rows.transform("mean"))
    # The squared differences of all pairs of m numbers add up to 2 m of their squared deviations.
    observed = float((2 * squared * sizes / (sizes - 1)).mean())
    expected = 2 * float(np.square(values - values.mean()).sum()) / (len(values) - 1)
    return 1 - observed / expected


def _keep_shared(opinions: pd.DataFrame) -> pd.DataFrame:
    """Keeps the rows of which two raters or more have an opinion."""
    return opinions[opinions.groupby("row")["rater"].transform("nunique") > 1]


def _list_raters(votes: pd.DataFrame) -> Iterator[Rater]:
    named = votes[~votes["rater"].str.startswith(UNNAMED)]
    found = named.groupby("rater").agg(rows=("row", "nunique"), agreement=("agreement", "sum"))
    found = found.sort_values("rows", ascending=False, kind="stable").head(MOST_RATERS)
    for name, num_rows, agreement in found.itertuples():
        yield Rater(name=str(name), num_rated=num_rows, agreement=float(agreement / num_rows))


Opinion = tuple[int, str, str, object, float]
"""Row, rater, scale ('' of a vote), what was given, and its weight."""


def _read_columns(utterances: pd.DataFrame, columns: Sequence[str]) -> Iterator[Opinion]:
    if missing := [name for name in columns if name not in utterances]:
        raise ValueError(
            f"--raters {missing[0]}: the table has no such column, it has "
            f"{', '.join(map(str, utterances))}"
        )
    for name in columns:
        for row, value in enumerate(utterances[name]):
            if not pd.isna(value):
                yield row, name, "", str(value), 1.0


def _read_votes(utterances: pd.DataFrame) -> Iterator[Opinion]:
    for row, ballots in list_ballots(utterances):
        for ballot in ballots:
            for emotion, share in ballot.shares.items():
                yield row, ballot.rater, "", emotion, share


def _read_ratings(utterances: pd.DataFrame) -> Iterator[Opinion]:
    for row, cell in enumerate(utterances.get(EVALUATORS, ())):
        if not pd.isna(cell):
            try:
                yield from _read_cell(row, str(cell))
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                name = utterances["utterance_id"].iloc[row]
                raise ValueError(
                    f"utterance {name!r} has {EVALUATORS} {str(cell)[:80]!r}, expected a list in "
                    'JSON such as [{"evaluator": "A", "valence": 3}]'
                ) from error


def _read_cell(row: int, cell: str) -> Iterator[Opinion]:
    for opinion in json.loads(cell):
        rater = str(opinion["evaluator"])
        for scale in SCALES:
            if opinion.get(scale) is not None:
                yield row, rater, scale, float(opinion[scale]), 1.0
