"""What a page shows of explanations: which moments, words, turns and modalities a turn rests on."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd

from conversation_emotion.inference.explanation import KINDS
from conversation_emotion.inference.explanation.pieces import OTHER_TOKENS, find_words

MOST = 3
"""Pieces of a kind that are named, those with the largest shares."""

HEADS = {"time": "sound", "word": "words", "turn": "context", "modality": "modalities"}


class DrawnMoment(NamedTuple):
    """A moment of a turn, as shares of its length, and what it adds, from -1 to 1."""

    start: float
    end: float
    share: float


class Word(NamedTuple):
    """A word, or what lies between words, which has no share."""

    text: str
    share: float | None


class Fact(NamedTuple):
    """The pieces of a kind that add most, in words, or why there are none."""

    head: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Reasons:
    """What the prediction of a turn rests on.

    Attributes:
        target: The class that is explained.
        moments: Of its own sound.
        words: Its own text, in pieces; empty if its words have no shares.
        facts: One for each kind.
    """

    target: str
    moments: tuple[DrawnMoment, ...]
    words: tuple[Word, ...]
    facts: tuple[Fact, ...]


def collect_reasons(
    explanation: pd.DataFrame | None, texts: Mapping[int, str], names: Mapping[int, str]
) -> dict[int, Reasons]:
    """Returns the reasons of each row of a table of predictions.

    Args:
        explanation: As of `Predictor.explain`; None without any.
        texts: Words of each row that has some.
        names: What other rows are called, such as by speaker and time.
    """
    if explanation is None:
        return {}
    known = explanation[explanation["kind"].notna()]
    found = {}
    for name, pieces in known.groupby("row"):
        row = int(str(name))
        found[row] = Reasons(
            target=str(pieces["target"].iloc[0]),
            moments=tuple(_list_moments(_own(pieces, row, "time"))),
            words=tuple(_mark_words(_own(pieces, row, "word"), texts.get(row, ""))),
            facts=tuple(_list_facts(pieces, row, names)),
        )
    return found


def format_share(share: float) -> str:
    """Writes a share with its sign, as ``+12 %``."""
    return f"{100 * share:+.0f} %".replace("-", "\N{MINUS SIGN}")


def _own(pieces: pd.DataFrame, row: int, kind: str) -> pd.DataFrame:
    """Returns the pieces of a kind that are of the row itself."""
    is_own = pieces["turn"].isna() | (pieces["turn"] == row).fillna(False)
    return pieces[(pieces["kind"] == kind) & is_own & pieces["attribution"].notna()]


def _list_moments(pieces: pd.DataFrame) -> Iterator[DrawnMoment]:
    """Yields moments, summed over the encoders of speech."""
    if pieces.empty:
        return
    first, last = pieces["start"].min(), pieces["end"].max()
    length = (last - first) or 1.0
    sums = pieces.groupby(["start", "end"], as_index=False)["share"].sum()
    for start, end, share in sums[["start", "end", "share"]].to_numpy().tolist():
        places = (start - first) / length, (end - first) / length
        yield DrawnMoment(*(round(one, 4) for one in (*places, share)))


def _mark_words(pieces: pd.DataFrame, text: str) -> Iterator[Word]:
    pieces = pieces[pieces["text"] != OTHER_TOKENS]
    places, end = find_words(text), 0
    if pieces.empty or len(places) != len(pieces):
        return
    for (first, last), share in zip(places, pieces["share"], strict=True):
        if text[end:first]:
            yield Word(text[end:first], None)
        yield Word(text[first:last], float(share))
        end = last


def _list_facts(pieces: pd.DataFrame, row: int, names: Mapping[int, str]) -> Iterator[Fact]:
    for kind in KINDS:
        own = pieces[pieces["kind"] == kind]
        if own.empty:
            continue
        known = own[own["attribution"].notna()]
        sizes = known["share"].abs().sort_values(ascending=False, kind="stable")
        most = [known.loc[place] for place in sizes.index[:MOST]]
        shown = [f"{_name(piece, row, names)} {format_share(piece['share'])}" for piece in most]
        yield Fact(HEADS[kind], ", ".join(shown) or str(own["problem"].iloc[0]))


def _name(piece: pd.Series, row: int, names: Mapping[int, str]) -> str:
    """Returns what a piece is called."""
    turn = None if pd.isna(piece["turn"]) else int(piece["turn"])
    of = "" if turn in (None, row) else f" ({names.get(turn, f'row {turn}')})"
    if piece["kind"] == "time":
        return f"{piece['start']:.2f} to {piece['end']:.2f} s{of}"
    if piece["kind"] == "word":
        return f"“{piece['text']}”{of}"
    if piece["kind"] == "turn" and turn is not None:
        return "itself" if turn == row else names.get(turn, f"row {turn}")
    return str(piece["source"])
