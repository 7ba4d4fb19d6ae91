"""Votes: what each rater named of an utterance, as a column of the utterance table.

A cell is JSON: a list of raters, each with the emotions that they named or the share of each, and
with a weight where not all raters count alike::

    [{"rater": "ann", "emotions": ["anger", "sadness"]},
     {"rater": "bob", "emotions": {"anger": 0.7, "neutral": 0.3}, "weight": 2}]

or, where raters are not identified, how many named each emotion: ``{"anger": 3, "neutral": 1}``.
Emotions are named as in the column ``emotion``. A vote for several emotions is divided among them.
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import pandas as pd

VOTES = "votes"
"""Column of the votes of raters; the speaker is none of them."""

SELF_VOTES = "self_votes"
"""Column of the votes of the speakers themselves, where a corpus has them (IEMOCAP)."""

UNNAMED = "#"
"""Begins the names of raters that are not identified, which mean nothing beyond an utterance."""

_ROUNDING = 1e-3
"""By how much the shares of a rater may miss 1: they are written with few digits."""


class Ballot(NamedTuple):
    """What a rater named of an utterance: shares of emotions that add up to 1, and their weight.

    ``is_scaled`` marks shares that were given otherwise, and divided by their sum.
    """

    rater: str
    shares: Mapping[str, float]
    weight: float = 1.0
    is_scaled: bool = False


def write_votes(ballots: Iterable[tuple[str, Iterable[str]]]) -> str | None:
    """Writes a cell from raters with the emotions that they named; None if nobody named any."""
    votes = [
        {"rater": rater, "emotions": named}
        for rater, emotions in ballots
        if (named := list(dict.fromkeys(emotions)))
    ]
    return json.dumps(votes, ensure_ascii=False) if votes else None


def write_counts(counts: Mapping[str, int]) -> str | None:
    """Writes a cell of raters that are not identified; None if there is no vote."""
    given = {name: count for name, count in counts.items() if count}
    return json.dumps(given, ensure_ascii=False) if given else None


def read_votes(cell: str) -> list[Ballot]:
    """Reads a cell; raters who named no emotion are left out.

    Raises:
        ValueError: The cell is no such JSON, a number is below 0 or none, a rater is there twice.
    """
    try:
        given = json.loads(cell)
        found = _read_counts(given) if isinstance(given, dict) else [*map(_read_ballot, given)]
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"{VOTES} are {cell[:80]!r}, expected JSON such as "
            '[{"rater": "ann", "emotions": ["anger"]}] or {"anger": 3, "neutral": 1}'
        ) from error
    ballots = [ballot for ballot in found if ballot.shares and ballot.weight]
    if len(raters := {ballot.rater for ballot in ballots}) < len(ballots):
        names = [ballot.rater for ballot in ballots]
        repeated = next(name for name in raters if names.count(name) > 1)
        raise ValueError(f"{VOTES} name the rater {repeated!r} more than once: {cell[:80]!r}")
    return ballots


def _read_counts(given: Mapping[str, object]) -> list[Ballot]:
    """Makes a rater of each count; shares that are no whole numbers are one rater's."""
    counts = {str(name): _read_number(count) for name, count in given.items()}
    if all(count.is_integer() for count in counts.values()):
        named = [name for name, count in counts.items() for _ in range(int(count))]
        return [Ballot(f"{UNNAMED}{n}", {name: 1.0}) for n, name in enumerate(named, start=1)]
    return [_divide(f"{UNNAMED}1", counts)]


def _read_ballot(given: Mapping[str, object]) -> Ballot:
    emotions, weight = given["emotions"], _read_number(given.get("weight", 1.0))
    if isinstance(emotions, dict):
        shares = {str(name): _read_number(share) for name, share in emotions.items()}
        return _divide(str(given["rater"]), shares, weight)
    if not isinstance(emotions, list):
        raise TypeError(f"emotions are {emotions!r}")
    named = dict.fromkeys(map(str, emotions))
    return Ballot(str(given["rater"]), dict.fromkeys(named, 1 / max(len(named), 1)), weight)


def _divide(rater: str, shares: Mapping[str, float], weight: float = 1.0) -> Ballot:
    total = sum(shares.values())
    given = {name: share / total for name, share in shares.items() if share}
    return Ballot(rater, given, weight, abs(total - 1) > _ROUNDING)


def _read_number(given: object) -> float:
    number = float(given) if isinstance(given, int | float) else math.nan
    if isinstance(given, bool) or not 0 <= number < math.inf:
        raise ValueError(f"{given!r} is no number of 0 and above")
    return number


def list_ballots(
    utterances: "pd.DataFrame", column: str = VOTES
) -> Iterator[tuple[int, list[Ballot]]]:
    """Yields row number and ballots of each utterance that has any.

    Raises:
        ValueError: A cell is no votes; the message names the utterance.
    """
    for row, cell in enumerate(utterances.get(column, ())):
        if isinstance(cell, str) and cell:
            try:
                ballots = read_votes(cell)
            except ValueError as error:
                name = utterances["utterance_id"].iloc[row]
                raise ValueError(f"utterance {name!r}: {error}") from error
            if ballots:
                yield row, ballots
