"""The key of a stored feature: all that it depends on, so that nothing stale is ever read."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from conversation_emotion.features.database import CacheTable
from conversation_emotion.settings.features import Layers, Pooling
from conversation_emotion.utterances.sound_files import printable

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


class FileDigests:
    """SHA-256 of files, kept in the cache by path, size and time: a corpus is read once."""

    def __init__(self, database: Path) -> None:
        self._table = CacheTable(database, "digests", ("path", "stamp", "sha"))
        self._found = {path: (stamp, sha) for path, stamp, sha in self._table.read_all()}
        self._new: list[tuple[str, str, str]] = []

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
        self._table.write(self._new)
        self._new.clear()
