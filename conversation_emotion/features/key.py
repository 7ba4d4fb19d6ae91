"""The key of a stored feature: all that it depends on, so that nothing stale is ever read."""

import hashlib
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

from conversation_emotion.settings.features import Layers, Pooling
from conversation_emotion.utterances.sound_files import printable

Answer = TypeVar("Answer")

FORMAT = 1
"""Layout of the store on disk; a new layout gets a new number and other folders."""


@dataclass(frozen=True, kw_only=True)
class FeatureKey:
    """Everything but the content that a feature depends on.

    ``encoder`` is the encoder's identity: kind, settings, weights, library versions.
    """

    encoder: str
    layers: Layers
    pooling: Pooling
    half_precision: bool = False

    def describe(self) -> str:
        """Returns the key as JSON with sorted names, the text that its digest is taken of."""
        return json.dumps({**asdict(self), "format": FORMAT}, sort_keys=True)

    def digest(self) -> str:
        """Returns the name of the store's folder: 32 hexadecimal digits."""
        return hashlib.sha256(self.describe().encode()).hexdigest()[:32]


def text_digest(text: str) -> str:
    """Returns the content key of a text."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


_REBUILT = (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
"""Errors of a database that is damaged, or of another layout; others pass by themselves."""

_PATIENCE = 5.0
"""Seconds that the cache is waited for while another process writes it."""


class FileDigests:
    """SHA-256 of files, kept in an SQLite file by path, size and time: a corpus is read once.

    A database that is damaged is made anew; one that is locked or cannot be written is done
    without. Both cost time and no result, and are said in a note.
    """

    def __init__(self, database: Path) -> None:
        database.parent.mkdir(parents=True, exist_ok=True)
        self.database = database
        self._found: dict[str, tuple[str, str]] = {}
        self._new: list[tuple[str, str, str]] = []
        rows = self._ask(
            lambda found: found.execute("SELECT path, stamp, sha FROM digests").fetchall()
        )
        self._found = {path: (stamp, sha) for path, stamp, sha in rows or ()}

    def digest(self, path: Path) -> str:
        """Returns the digest of a file's bytes.

        Raises:
            OSError: The file cannot be read.
        """
        status, name = path.stat(), printable(path)
        stamp = f"{status.st_size}-{status.st_mtime_ns}"
        if self._found.get(name, ("", ""))[0] == stamp:
            return self._found[name][1]
        with path.open("rb") as file:
            sha = hashlib.file_digest(file, "sha256").hexdigest()
        self._found[name] = (stamp, sha)
        self._new.append((name, stamp, sha))
        return sha

    def save(self) -> None:
        """Writes the digests found since the last save."""
        if self._new:
            self._ask(
                lambda found: found.executemany(
                    "INSERT OR REPLACE INTO digests VALUES (?, ?, ?)", self._new
                )
            )
        self._new.clear()

    def _ask(self, request: Callable[[sqlite3.Connection], Answer]) -> Answer | None:
        """Asks the database, a new one in place of a damaged one; None if it cannot be had."""
        try:
            return self._try(request)
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF not in _REBUILT:
                tqdm.write(f"note: done without the cache of digests, {self.database}: {error}")
                return None
            tqdm.write(f"note: the cache of digests is made anew, {self.database}: {error}")
        for file in (self.database, self.database.with_name(f"{self.database.name}-journal")):
            file.unlink(missing_ok=True)
        with suppress(sqlite3.Error):  # another process may hold it now
            return self._try(request)
        return None

    def _try(self, request: Callable[[sqlite3.Connection], Answer]) -> Answer:
        with closing(sqlite3.connect(self.database, timeout=_PATIENCE)) as found, found:
            found.execute(
                "CREATE TABLE IF NOT EXISTS digests (path TEXT PRIMARY KEY, stamp TEXT, sha TEXT)"
            )
            return request(found)
