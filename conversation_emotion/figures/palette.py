"""Colours, symbols and plain text of pictures: fit for colour-blind readers, and for any name."""

from typing import NamedTuple


class Look(NamedTuple):
    """How a class or an encoder is drawn: a colour, and a symbol of matplotlib and of plotly."""

    colour: str
    marker: str
    symbol: str


LOOKS = (
    Look("#0072B2", "o", "circle"),
    Look("#D55E00", "s", "square"),
    Look("#009E73", "^", "triangle-up"),
    Look("#CC79A7", "D", "diamond"),
    Look("#E69F00", "v", "triangle-down"),
    Look("#56B4E9", "P", "cross"),
    Look("#000000", "X", "x"),
    Look("#8C6D00", "*", "star"),
)
"""Colours for colour-blind readers (Okabe and Ito, 2008), with a dark yellow for their light one,
which is lost on white; the symbols distinguish the classes without any colour."""

UNKNOWN = Look("#999999", ".", "circle-open")
"""Look of a point without a class."""


def look_of(number: int) -> Look:
    """Returns the look of a class by its number; more classes than looks take new pairs of both."""
    count = len(LOOKS)
    shift = LOOKS[(number + number // count) % count]
    return Look(LOOKS[number % count].colour, shift.marker, shift.symbol)


def plain(text: str) -> str:
    """Keeps matplotlib from reading a name as a formula, or from hiding it in a legend."""
    text = text.replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text
