"""Places of speech, and their words, kept in the cache by sound, language and model."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from conversation_emotion.features.database import CacheTable
from conversation_emotion.features.encoders import Transcriber, Transcript
from conversation_emotion.features.key import FileDigests, text_digest
from conversation_emotion.utterances.audio import read_audio
from conversation_emotion.utterances.sound_files import locate


class Place(NamedTuple):
    """Where the sound of a row is."""

    row: int
    audio: str
    offset: float
    duration: float
    channel: int | None

    def read(self, start: float = 0.0, most: float | None = None) -> NDArray[np.float32]:
        """Reads it, or ``most`` seconds from ``start`` on: (S,)."""
        left = self.duration - start
        duration = left if most is None else min(left, most)
        return read_audio(
            self.audio, offset=self.offset + start, duration=duration, channel=self.channel
        )


class Written(NamedTuple):
    """What is said in a place, see `Transcript`."""

    text: str
    language: str
    problem: str


class KeptWords:
    """The words of one model.

    Args:
        transcriber: The model.
        cache: The cache folder.
    """

    def __init__(self, transcriber: Transcriber, cache: Path) -> None:
        self._identity = transcriber.identity
        self._table = CacheTable(cache / "words.db", "words", ("key", *Written._fields))
        self._digests = FileDigests(cache / "digests.db")

    def find_keys(self, wanted: Iterable[tuple[Sequence[Place], str]]) -> list[str | None]:
        """Returns the key of what is said in some places in a language, for each pair of these.

        It is None where a file cannot be read, which is said elsewhere.
        """
        keys = [self._find_key(places, language) for places, language in wanted]
        self._digests.save()
        return keys

    def _find_key(self, places: Sequence[Place], language: str) -> str | None:
        try:
            parts = [
                f"{self._digests.digest(locate(audio))}-{offset}-{duration}-{channel}"
                for _, audio, offset, duration, channel in places
            ]
        except (OSError, ValueError):
            return None
        return text_digest(" ".join((self._identity, language, *parts)))

    def read(self, keys: Iterable[str | None]) -> dict[str | None, Written]:
        """Returns what is kept, by key."""
        found = self._table.read(key for key in keys if key is not None)
        return {key: Written._make(row) for key, row in found.items()}

    def write(self, key: str | None, found: Transcript) -> None:
        """Keeps what is said, at once, so that a kill does not lose it."""
        if key is not None:
            self._table.write([(key, found.text, found.language, found.problem)])
