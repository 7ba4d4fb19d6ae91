"""A table of the cache in an SQLite file: texts by key, whose loss costs time and no result."""

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

Answer = TypeVar("Answer")

_REBUILT = (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
"""Errors of a database that is damaged, or of another layout; others pass by themselves."""

_PATIENCE = 5.0
"""Seconds that the cache is waited for while another process writes it."""


class CacheTable:
    """Rows of texts, the first of which is the key.

    A database that is damaged is made anew; one that is locked or cannot be written is done
    without. Both are said in a note.

    Args:
        database: Its file, which has this table alone; its folder is made.
        name: Name of the table.
        columns: Names of the columns, the key first.
    """

    def __init__(self, database: Path, name: str, columns: Sequence[str]) -> None:
        database.parent.mkdir(parents=True, exist_ok=True)
        self._database, self._name, self._columns = database, name, tuple(columns)

    def read_all(self) -> list[tuple[str, ...]]:
        """Returns all rows."""
        request = f"SELECT {', '.join(self._columns)} FROM {self._name}"
        return self._ask(lambda found: found.execute(request).fetchall()) or []

    def read(self, keys: Iterable[str]) -> dict[str, tuple[str, ...]]:
        """Returns the rows of those keys that there are, without the key."""
        names = ", ".join(self._columns[1:])
        request = f"SELECT {names} FROM {self._name} WHERE {self._columns[0]} = ?"
        keys = list(keys)
        rows = self._ask(lambda found: [found.execute(request, (k,)).fetchone() for k in keys])
        return {key: row for key, row in zip(keys, rows or [None] * len(keys), strict=True) if row}

    def write(self, rows: Iterable[tuple[str, ...]]) -> None:
        """Writes rows, in place of those of the same keys."""
        marks = ", ".join("?" * len(self._columns))
        request = f"INSERT OR REPLACE INTO {self._name} VALUES ({marks})"
        if rows := list(rows):
            self._ask(lambda found: found.executemany(request, rows))

    def _ask(self, request: Callable[[sqlite3.Connection], Answer]) -> Answer | None:
        """Asks the database, a new one in place of a damaged one; None if it cannot be had."""
        try:
            return self._try(request)
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF not in _REBUILT:
                tqdm.write(
                    f"note: done without the cache of {self._name}, {self._database}: {error}"
                )
                return None
            tqdm.write(f"note: the cache of {self._name} is made anew, {self._database}: {error}")
        for file in (self._database, self._database.with_name(f"{self._database.name}-journal")):
            file.unlink(missing_ok=True)
        with suppress(sqlite3.Error):  # another process may hold it now
            return self._try(request)
        return None

    def _try(self, request: Callable[[sqlite3.Connection], Answer]) -> Answer:
        key, *others = self._columns
        columns = ", ".join((f"{key} TEXT PRIMARY KEY", *(f"{name} TEXT" for name in others)))
        with closing(sqlite3.connect(self._database, timeout=_PATIENCE)) as found, found:
            found.execute(f"CREATE TABLE IF NOT EXISTS {self._name} ({columns})")
            return request(found)
