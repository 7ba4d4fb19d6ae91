"""Files of corpora, with errors that name the place and what was expected there."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import TypeVar

from conversation_emotion.utterances.sound_files import (
    AUDIO_SUFFIXES,
    count_suffixes,
    find_sound,
    is_litter,
)

Value = TypeVar("Value")

SPLIT_NAMES = {
    "train": "train", "valid": "valid", "validation": "valid", "val": "valid", "dev": "valid",
    "test": "test",
}  # fmt: skip
"""Part of the split by the names that it has in corpora."""


def find_files(root: Path, patterns: Sequence[str], corpus: str, wanted: str) -> list[Path]:
    """Returns the files or folders of one pattern, sorted, without macOS' litter.

    Args:
        root: Folder of the corpus.
        patterns: Patterns of paths below it; the first that matches any is the one that counts.
        corpus: Name of the corpus, which begins the error.
        wanted: What the root is, in words.

    Raises:
        FileNotFoundError: Nothing matches.
    """
    for pattern in patterns:
        if found := sorted(path for path in root.glob(pattern) if not _is_litter(path, root)):
            return found
    raise FileNotFoundError(f"{corpus}: no {' or '.join(patterns)} under {root}; pass {wanted}")


def find_recordings(root: Path, patterns: Sequence[str], corpus: str, wanted: str) -> list[Path]:
    """Returns the recordings of one pattern, in any container, those with its own suffix first.

    The first pattern that finds its own suffix, in any case, is the one that counts; without any,
    the first that finds a sound file. Arguments and errors are those of `find_files`.
    """
    for is_strict in (True, False):
        for pattern in patterns:
            own = PurePath(pattern).suffix
            found = [
                path
                for path in root.glob(str(PurePath(pattern).with_suffix(".*")))
                if path.suffix.lower() in (own, *AUDIO_SUFFIXES) and not _is_litter(path, root)
            ]
            if any(path.suffix.lower() == own for path in found) or (found and not is_strict):
                return sorted(found, key=lambda path: (path.suffix.lower() != own, path))
    raise FileNotFoundError(
        f"{corpus}: no {' or '.join(patterns)} under {root}; pass {wanted}{_describe_folder(root)}"
    )


def _describe_folder(root: Path) -> str:
    found = find_sound(root).sound if root.is_dir() else []
    return f"; there are {count_suffixes(found)} elsewhere in it" if found else ""


def read_csv(
    path: Path, corpus: str, columns: Sequence[str], text: str | None = None
) -> dict[str, dict[str, str]]:
    """Returns the rows of a table that has these columns, each by its place, for errors.

    The table is in UTF-8; of one in another encoding ``text`` is what it holds.

    Raises:
        ValueError: A column is missing.
    """
    text = path.read_text(encoding="utf-8-sig") if text is None else text
    reader = csv.DictReader(io.StringIO(text, newline=""), restval="")
    given = list(reader.fieldnames or [])
    if missing := [column for column in columns if column not in given]:
        raise ValueError(f"{corpus}: {path} lacks the columns {missing}, it has {given}")
    return {f"{path} row {row}": cells for row, cells in enumerate(reader, start=1)}


def read_json(path: Path, corpus: str) -> dict[str, dict]:
    """Returns the objects that a file of JSON in UTF-8 holds by name.

    Raises:
        ValueError: The file is no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise ValueError(f"{corpus}: {path} is no JSON in UTF-8: {error}") from error


def read_optional(path: Path) -> str:
    """Returns a text in UTF-8, '' where there is no such file."""
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def choose(choices: Mapping[str, Value], cell: str, place: str) -> Value:
    """Returns the value of a cell; ``place``, its corpus, row and column, begins the error.

    Raises:
        ValueError: The cell is none of the choices.
    """
    if cell not in choices:
        raise ValueError(f"{place} {cell!r}, expected {', '.join(choices)}")
    return choices[cell]


def _is_litter(path: Path, root: Path) -> bool:
    return any(is_litter(part) for part in path.relative_to(root).parts)
