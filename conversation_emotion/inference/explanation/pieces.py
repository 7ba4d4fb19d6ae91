"""Pieces of an utterance that a reader can point at: moments of its sound, and its words."""

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

PieceKind = Literal["time", "word", "turn", "modality"]

KINDS: tuple[PieceKind, ...] = get_args(PieceKind)

Method = Literal["integrated gradients", "leave one out", "Shapley value"]

SECONDS = 0.1
"""Length of a moment, about that of a sound of speech; frames that are longer stay whole."""

OTHER_TOKENS = "(special tokens)"
"""Name of what is no word, such as the tokens before and after a text."""

_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(f"[{_CJK}]|[^\\s{_CJK}]+")


class Piece(NamedTuple):
    """What a prediction rests on, in part.

    Attributes:
        kind: What it is; None where nothing is predicted.
        source: The source that it is of; None of a whole utterance.
        turn: Row of the utterance that it is of, in the utterance table; None of all.
        start: Where it begins, in seconds of the recording; None if unknown. So is ``end``.
        text: Its words.
        attribution: What it adds to the log-probability; NaN if there is none.
        method: How that was found.
        problem: Why there is none, or what is wrong with it; else empty.
    """

    kind: PieceKind | None
    source: str | None = None
    turn: int | None = None
    start: float | None = None
    end: float | None = None
    text: str | None = None
    attribution: float = np.nan
    method: Method | None = None
    problem: str = ""


class Moment(NamedTuple):
    """A moment of a clip, in seconds from its beginning, and the sum over its frames."""

    start: float
    end: float
    attribution: float


def number_moments(num_frames: int, frame_rate: float) -> NDArray[np.int64]:
    """Returns the moment that the middle of each frame lies in: (T,)."""
    length = max(SECONDS, 1 / frame_rate)
    middles = (np.arange(num_frames) + 0.5) / frame_rate
    return np.floor(middles / length + 1e-9).astype(np.int64)


def sum_moments(
    attributions: NDArray[np.floating], frame_rate: float, seconds: float
) -> list[Moment]:
    """Sums the attributions of frames, (T,), over moments of `SECONDS`.

    The last one ends with the clip, whose length in ``seconds`` is that of its sound.
    """
    length = max(SECONDS, 1 / frame_rate)
    numbers = number_moments(len(attributions), frame_rate)
    sums = np.bincount(numbers, weights=attributions)
    last = len(sums) - 1
    return [
        Moment(
            round(number * length, 6),
            round(max(seconds, last * length) if number == last else (number + 1) * length, 6),
            float(sums[number]),
        )
        for number in np.unique(numbers)
    ]


def find_words(text: str) -> list[tuple[int, int]]:
    """Returns where the words of a text lie: what white space parts, and each letter of Chinese."""
    return [found.span() for found in _WORD.finditer(text)]


def leave_out_word(text: str, number: int) -> str:
    """Returns a text without one of its words."""
    start, end = find_words(text)[number]
    return " ".join(f"{text[:start]} {text[end:]}".split())


def sum_words(
    attributions: NDArray[np.floating], spans: Sequence[tuple[int, int]], text: str
) -> list[tuple[str, float]]:
    """Sums the attributions of tokens, (T,), over words, and names these.

    What lies in no word comes last, as `OTHER_TOKENS`. Words that the encoder cut off have 0.
    """
    words = find_words(text)
    sums, rest = np.zeros(len(words)), 0.0
    for value, (start, end) in zip(attributions.tolist(), spans, strict=True):
        places = [n for n, (first, last) in enumerate(words) if start < last and first < end]
        if places:
            sums[places[0]] += value
        else:
            rest += value
    found = [(text[first:last], float(one)) for (first, last), one in zip(words, sums, strict=True)]
    return [*found, (OTHER_TOKENS, rest)]
