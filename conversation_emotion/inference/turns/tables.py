"""Tables of turns: CSV, JSON Lines, Parquet, with any of the columns of a turn."""

from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path

from conversation_emotion.corpora.manifest import read_cells
from conversation_emotion.inference.turns.given import Given
from conversation_emotion.inference.turns.turn import TurnError

COLUMNS = ("audio", "text", "speaker", "start", "end", "channel", "language")
"""Columns of a table of turns, any of which may be absent, but for one of the first two."""

LABELS = ("emotion", "sentiment")
"""Columns that only adaptation reads, see `conversation_emotion.inference.labelled`."""


def read_table(path: Path) -> Iterator[Given]:
    """Yields the rows of a table.

    Raises:
        TurnError: It cannot be read, has neither audio nor text, a number that is none, or a column
            whose name is nearly that of another.
    """
    try:
        rows = read_cells(path)
    except ValueError as error:
        raise TurnError(str(error)) from error
    columns = list(dict.fromkeys(column for cells in rows.values() for column in cells))
    _check_columns(columns, path)
    for place, cells in rows.items():
        words = {name: _to_text(cells.get(name)) for name in ("audio", "text", "speaker")}
        channel, problem = cells.get("channel"), ""
        if isinstance(channel, float) and (channel < 0 or not channel.is_integer()):
            channel, problem = None, f"has channel {channel:g}, expected 0, 1, 2, ..."
        if words["audio"] is None and words["text"] is None:
            problem = "has neither audio nor text"
        yield Given(
            place=str(path.parent / place),
            start=cells.get("start"),
            end=cells.get("end"),
            speaker=words["speaker"],
            text=words["text"],
            language=_to_text(cells.get("language")),
            channel=int(channel) if isinstance(channel, float) else None,
            recording=words["audio"],
            problem=problem,
        )


def _check_columns(columns: list[str], path: Path) -> None:
    """Refuses misspelt columns and a table without content; reports the columns not read."""
    if not columns:
        raise TurnError(f"{path}: holds no rows; its columns may be {', '.join(COLUMNS)}")
    others = [column for column in columns if column not in COLUMNS]
    absent = [column for column in COLUMNS if column not in columns]
    for column in others:
        if near := get_close_matches(column.lower().strip(), absent, n=1, cutoff=0.8):
            raise TurnError(f"{path}: has the column {column!r}; rename it to {near[0]!r}")
    if not {"audio", "text"} & {*columns}:
        raise TurnError(
            f"{path}: has the columns {', '.join(columns)}, expected audio or text or both"
        )
    if labels := [column for column in others if column in LABELS]:
        print(f"{path}: only --adapt reads the column {', '.join(labels)}")
    if rest := [column for column in others if column not in LABELS]:
        print(f"{path}: passed over the columns {', '.join(rest)}")


def _to_text(cell: object) -> str | None:
    return None if cell is None else str(cell)
