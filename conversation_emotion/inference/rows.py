"""The rows that are to be predicted, as an utterance table."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from conversation_emotion.datasets.windows import (
    PADDING,
    Windows,
    build_windows,
    single_utterances,
    split_into_turns,
)
from conversation_emotion.features.clips import measure_clips
from conversation_emotion.features.extract import Features
from conversation_emotion.settings.models import ModelSettings, UtteranceModelSettings
from conversation_emotion.utterances.sound_files import printable
from conversation_emotion.utterances.table import build_utterances

CONTENT = ("audio", "text", "offset", "duration", "channel")
"""Columns of the content of an utterance."""

CONVERSATION = ("dialogue_id", "order", "speaker")
"""Columns that make a conversation."""

TIMES = ("start", "end")
"""Columns of a conversation that show which utterance is not finished when a turn begins."""

PIECE_ROWS, PIECE_SECONDS = 2048, 1800.0
"""Most utterances of a piece, and most seconds of their sound, unless one dialogue has more."""

LONGEST = 900.0
"""Most seconds of an utterance, whose hidden states are in memory at once, 43 MB for a minute."""


def as_table(rows: pd.DataFrame | Sequence[str | Path] | str | Path) -> pd.DataFrame:
    """Returns a table as it is, and of paths one with an utterance each."""
    if isinstance(rows, pd.DataFrame):
        return rows
    paths = [rows] if isinstance(rows, str | Path) else rows
    return pd.DataFrame({"audio": [printable(path) for path in paths]})


def tabulate_rows(rows: pd.DataFrame, *, is_conversation: bool) -> pd.DataFrame:
    """Returns the utterance table; the id of an utterance is the number of its row.

    ``voice`` is the speaker's name where the rows have any, as it was given.

    Raises:
        ValueError: A column is missing, or a conversation has no order.
    """
    given = ", ".join(map(str, rows.columns))
    if is_conversation and (missing := [name for name in CONVERSATION if name not in rows]):
        raise ValueError(f"a conversation needs the column {missing[0]}, got {given}")
    if not {"audio", "text"} & set(rows.columns):
        raise ValueError(f"a column audio or text is needed, got {given}")
    table = pd.DataFrame({"utterance_id": [str(number) for number in range(len(rows))]})
    for name in (*CONTENT, *((*CONVERSATION, *TIMES) if is_conversation else ())):
        if name in rows:
            cells = rows[name].astype(object)
            table[name] = cells.where(cells.notna(), None).to_numpy()
    if "speaker" in rows:
        table["voice"] = rows["speaker"].astype(str).where(rows["speaker"].notna(), "").to_numpy()
    if is_conversation:
        table["order"] = _rank(table)
    else:
        table = table.assign(
            dialogue_id=table["utterance_id"], speaker=table["utterance_id"], order=0
        )
    records = table.to_dict("records")
    return build_utterances(
        ({str(name): cell for name, cell in row.items()} for row in records), "input"
    )


def _rank(table: pd.DataFrame) -> pd.Series:
    """Turns any increasing numbers into 0, 1, 2, ... within each dialogue."""
    orders = pd.to_numeric(table["order"], errors="coerce")
    for name, values in (("order", orders), ("dialogue_id", table["dialogue_id"])):
        if values.isna().any():
            raise ValueError(f"row {int(values.isna().argmax())} has no {name}")
    keys = table["dialogue_id"].astype(str)
    repeated = pd.DataFrame({"dialogue": keys, "order": orders}).duplicated()
    if repeated.any():
        row = int(repeated.argmax())
        raise ValueError(f"dialogue {keys[row]!r} has the order {orders[row]:g} twice (row {row})")
    return orders.groupby(keys).rank().astype(int) - 1


def measure_rows(utterances: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, str]]:
    """Adds ``seconds``; leaves out sound of more than `LONGEST`, and returns why, by id."""
    found = measure_clips(utterances, {*utterances["utterance_id"]})
    utterances = utterances.assign(seconds=utterances["utterance_id"].map(found))
    is_long = utterances["seconds"] > LONGEST
    why = {
        str(name): f"{audio}: {seconds:,.0f} s, and one utterance may have {LONGEST:g} s; give "
        "start and end of its turns, or let `conversation-emotion predict` find them"
        for name, audio, seconds in utterances.loc[
            is_long, ["utterance_id", "audio", "seconds"]
        ].itertuples(index=False)
    }
    audio, seconds = utterances["audio"].mask(is_long, None), utterances["seconds"].mask(is_long, 0)
    return utterances.assign(audio=audio, seconds=seconds), why


def cut_into_pieces(utterances: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Cuts an utterance table with ``seconds`` into pieces of whole dialogues, each from row 0."""
    dialogues = utterances.groupby("dialogue_id", sort=False)["seconds"].agg(["size", "sum"])
    numbers: list[int] = []
    number, rows, seconds = 0, 0, 0.0
    for num_rows, length in dialogues.itertuples(index=False):
        if rows and (rows + num_rows > PIECE_ROWS or seconds + length > PIECE_SECONDS):
            number, rows, seconds = number + 1, 0, 0.0
        rows, seconds = rows + num_rows, seconds + length
        numbers += [number] * num_rows
    for _, piece in utterances.groupby(np.array(numbers)):
        yield piece.reset_index(drop=True)


def find_windows(utterances: pd.DataFrame, settings: ModelSettings) -> Windows:
    """Returns the target utterances with their context; there may be none."""
    classes = np.zeros(len(utterances), dtype=np.int64)
    if isinstance(settings, UtteranceModelSettings):
        return single_utterances(classes)
    speakers = utterances["speaker"].to_numpy()
    dialogues = utterances.groupby("dialogue_id", sort=False).indices.values()
    turns = [split_into_turns(np.asarray(rows), speakers) for rows in dialogues]
    if max(map(len, turns)) <= settings.horizon:
        return single_utterances(classes).select(np.array([], dtype=np.int64))
    return build_windows(
        utterances,
        classes,
        history=settings.history,
        horizon=settings.horizon,
        overlap=settings.overlap,
    )


def has_input(windows: Windows, features: Mapping[str, Features]) -> NDArray[np.bool_]:
    """Marks the windows in which some utterance has features that are not masked: (N,)."""
    present = np.any([found.is_present() for found in features.values()], axis=0)
    is_used = (windows.rows != PADDING) & ~windows.masked
    return (present[windows.rows.clip(min=0)] & is_used).any(axis=1)
