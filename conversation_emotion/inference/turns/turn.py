"""A turn of a conversation, as found or as given."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields

import pandas as pd

from conversation_emotion.utterances.sound_files import printable


class TurnError(ValueError):
    """A file of turns that cannot be read or written: one line with its place."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


@dataclass(frozen=True, kw_only=True)
class Turn:
    """What one speaker says without a longer pause.

    Attributes:
        recording: Path of the file that holds it; None where there are words alone.
        start: Seconds from the beginning of the recording; None for its beginning.
        end: Seconds from the beginning of the recording; None for its end.
        speaker: Name of the speaker within the recording; None if unknown.
        text: The words; None if unknown.
        language: IETF tag of the words; None if unknown.
        channel: Channel of the file that holds the voice, from 0; None for the mean of all.
        problem: Why it cannot be used, with its place in the file that gives it; else empty.
    """

    recording: str | None = None
    start: float | None = None
    end: float | None = None
    speaker: str | None = None
    text: str | None = None
    language: str | None = None
    channel: int | None = None
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class LabelledTurn:
    """A turn with its place in time and what was predicted of it, as formats of annotation hold it.

    Attributes:
        start: Seconds from the beginning of the recording.
        end: As ``start``, later.
        recording: As of `Turn`; so are ``speaker``, ``text`` and ``channel``.
        emotion: The predicted emotion; None if there is none.
        confidence: Probability that it is right; None if unknown.
    """

    start: float
    end: float
    recording: str | None = None
    speaker: str | None = None
    text: str | None = None
    channel: int | None = None
    emotion: str | None = None
    confidence: float | None = None


def tabulate_turns(turns: Iterable[Turn]) -> pd.DataFrame:
    """Returns a row for each turn, as a `Predictor` takes them.

    Columns are those of `Turn`; ``audio``, ``offset`` and ``duration``, which place the turn in its
    file; and ``dialogue_id`` and ``order``: each recording is a dialogue, its turns in order of
    time. What is unknown is missing.
    """
    names = [field.name for field in fields(Turn)]
    rows = [
        {
            name: printable(cell) if isinstance(cell, str) else cell  # pandas holds Unicode alone
            for name, cell in asdict(turn).items()
        }
        for turn in turns
    ]
    table = pd.DataFrame(rows, columns=names)
    for name in ("start", "end", "channel"):
        table[name] = pd.to_numeric(table[name]).astype("float64")
    dialogues = table["recording"].fillna("")
    ranks = table["start"].fillna(0.0).groupby(dialogues).rank(method="first")
    return table.assign(
        audio=table["recording"],
        offset=table["start"],
        duration=table["end"] - table["start"].fillna(0.0),
        dialogue_id=dialogues,
        order=ranks.astype(int) - 1,
    )
