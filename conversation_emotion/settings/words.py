"""Settings of the words that models read: those of the corpus, or those that an ASR writes down."""

from dataclasses import dataclass
from typing import Any, TypeVar

from conversation_emotion.settings.flags import change

Settings = TypeVar("Settings", bound=Any)

TRANSCRIBED = ", words by ASR"
"""Ends the names of rows whose words an ASR writes down."""


@dataclass(frozen=True, kw_only=True)
class WordSettings:
    """Whose words a model reads."""

    asr: str | None = None
    """Whisper with its decoder, by hub id or folder: rows that read text are there twice, with the
    words of the corpus and with those that it writes down of the recordings, and a table compares
    the two."""

    asr_language: str | None = None
    """Language of what --asr writes down, such as de or German; that of the corpus, else detected,
    if none."""

    def __post_init__(self) -> None:
        if self.asr_language is not None and self.asr is None:
            raise ValueError("--asr-language is that of --asr, which is not given")

    def check(self, *, reads_text: bool) -> None:
        """Raises a `ValueError` where no row reads text."""
        if self.asr is not None and not reads_text:
            raise ValueError("--asr needs a row that reads text: --modality text or speech+text")

    def check_one(self, what: str) -> None:
        """Raises a `ValueError` where there are two models, one with the words of an ASR."""
        if self.asr is not None:
            raise ValueError(f"{what} has one model, --asr trains two: leave --asr out")


GIVEN = WordSettings()
"""The words of the corpus."""


def split_words(rows: dict[str, Settings]) -> dict[str, Settings]:
    """Returns each row with the words of the corpus, and where it names an ASR with its words."""
    found = {}
    for name, row in rows.items():
        found[name] = change(row, asr=None, asr_language=None)
        if row.words.asr is not None:
            found[f"{name}{TRANSCRIBED}"] = row
    return found
