"""The rows that are to be predicted, as an utterance table."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from conversation_emotion.utterances.table import build_utterances

CONTENT = ("audio", "text", "offset", "duration", "channel")
"""Columns of the content of an utterance."""

CONVERSATION = ("dialogue_id", "order", "speaker")
"""Columns that make a conversation."""

TIMES = ("start", "end")
"""Columns of a conversation that show which utterance is not finished when a turn begins."""

PIECE_ROWS, PIECE_SECONDS = 2048, 1800.0
"""Most utterances of a piece, and most seconds of their sound, unless one dialogue has more."""


def tabulate_rows(rows: pd.DataFrame, *, is_conversation: bool) -> pd.DataFrame:
    """Returns the utterance table; the id of an utterance is the number of its row.

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
