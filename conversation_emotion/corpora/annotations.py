"""Files of corpora, with errors that name the place and what was expected there."""

import csv
import io
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import NamedTuple, TypeVar
from unicodedata import normalize

from conversation_emotion.utterances.labels import name_by_noun
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

CURLY = {
    code: bytes([code]).decode("cp1252")
    for code in range(0x80, 0xA0)
    if code not in (0x81, 0x8D, 0x8F, 0x90, 0x9D)  # no characters in Windows' code page
}
"""Control characters that were curly quotes or dashes in Windows' code page."""

NUM_NAMED = 5
"""How many of a list a line on the terminal names."""

_SEPARATOR = re.compile(r'"?sep=([^\r\n])"?[ \t]*\r?\n')


class Cells(NamedTuple):
    """A table of text: its columns, its rows by their line in the file, what separates cells."""

    columns: list[str]
    rows: dict[int, dict[str, str]]
    delimiter: str


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


def find_recording(folder: Path, name: str) -> Path:
    """Returns the file that a table names, which other systems may write in another way.

    Windows writes backslashes, and macOS a letter and its accent as two characters (NFD) where
    other systems write one (NFC). Where no spelling is a file, it is the name with slashes.
    """
    plain = name.replace("\\", "/")
    spellings = (name, plain, normalize("NFC", plain), normalize("NFD", plain))
    return next((folder / x for x in spellings if os.path.isfile(folder / x)), folder / plain)


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


def report(corpus: str, what: str, places: Sequence[object]) -> None:
    """Prints how many files or rows are not as they should be, and names the first of them."""
    if places:
        more = f" and {len(places) - NUM_NAMED:,} more" if len(places) > NUM_NAMED else ""
        named = ", ".join(map(str, places[:NUM_NAMED]))
        print(f"{corpus}: {len(places):,} {what}: {named}{more}")


def read_texts(paths: Iterable[Path], corpus: str) -> dict[Path, str]:
    """Returns what files of text hold, and reports which are not in UTF-8 or cannot be read.

    What is not UTF-8 is read in Windows' code page; what cannot be read is left out.
    """
    texts, others, unreadable = {}, [], []
    for path in paths:
        try:
            texts[path], is_utf8 = _decode(path.read_bytes())
            others += [] if is_utf8 else [path]
        except OSError as error:
            unreadable.append(f"{path} ({error.strerror})")
    report(corpus, "texts are not in UTF-8, and were read as Windows-1252", others)
    report(corpus, "texts cannot be read, and are missing", unreadable)
    return texts


def read_csv(path: Path, corpus: str, columns: Sequence[str]) -> dict[str, dict[str, str]]:
    """Returns the rows of a table that has these columns, each by its place, for errors.

    The table is in UTF-8 or, which is reported, in Windows' code page.

    Raises:
        ValueError: A column is missing, or the file is no table.
    """
    text, is_utf8 = _decode(path.read_bytes())
    report(corpus, "table is not in UTF-8, and was read as Windows-1252", [] if is_utf8 else [path])
    try:
        cells = parse_csv(text)
    except ValueError as error:
        raise ValueError(f"{corpus}: {path} {error}") from error
    if missing := [column for column in columns if column not in cells.columns]:
        raise ValueError(f"{corpus}: {path} lacks the columns {missing}, it has {cells.columns}")
    return {f"{path} row {row}": one for row, one in enumerate(cells.rows.values(), start=1)}


def parse_csv(text: str, *, strict: bool = False) -> Cells:
    """Reads a table of text as spreadsheets write it, without its empty rows and columns.

    Cells are separated by what a line ``sep=`` above the header names, else by what is most
    frequent in the header: a comma, a semicolon or a tab.

    Args:
        text: The table with its header.
        strict: Whether a row of another length than the header is an error, and so is a broken
            quotation; else what a row lacks is empty.

    Raises:
        ValueError: A line is no row of the table; the message begins with the line.
    """
    given = _SEPARATOR.match(text)
    text = text[given.end() :] if given else text
    header = next((line for line in text.splitlines() if line.strip(' ,;\t"')), "")
    delimiter = given[1] if given else max(",;\t", key=header.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=strict)
    above = 1 if given else 0
    lines: list[tuple[int, list[str]]] = []
    try:
        for cells in reader:
            if any(map(str.strip, cells)):
                lines.append((above + reader.line_num, cells))
    except csv.Error as error:
        raise ValueError(f"line {above + reader.line_num}: {error}") from error
    columns = [name.strip() for name in lines[0][1]] if lines else []
    rows = {line: _fit(cells, len(columns), line, strict=strict) for line, cells in lines[1:]}
    used = [
        number
        for number, name in enumerate(columns)
        if name or any(cells[number].strip() for cells in rows.values())
    ]
    named = {
        line: {columns[number]: cells[number] for number in used} for line, cells in rows.items()
    }
    return Cells([columns[number] for number in used], named, delimiter)


def _fit(cells: list[str], size: int, line: int, *, strict: bool) -> list[str]:
    """Returns as many cells as the header has: empty ones behind it are left out or filled in."""
    extra = max((number for number, cell in enumerate(cells, start=1) if cell.strip()), default=0)
    if strict and (len(cells) < size or extra > size):
        raise ValueError(
            f"line {line} has {len(cells)} cells, the header has {size}; "
            "put text with a comma into double quotes"
        )
    return (cells + [""] * size)[:size]


def read_json(path: Path, corpus: str) -> dict[str, dict]:
    """Returns the objects that a file of JSON in UTF-8 holds by name.

    Raises:
        ValueError: The file is no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise ValueError(f"{corpus}: {path} is no JSON in UTF-8: {error}") from error


def read_optional(path: Path, corpus: str) -> str:
    """Returns a text as `read_texts` does, '' where there is no such file."""
    return read_texts([path] if path.is_file() else [], corpus).get(path, "")


def choose(choices: Mapping[str, Value], cell: str, place: str) -> Value:
    """Returns the value of a cell; ``place``, its corpus, row and column, begins the error.

    Raises:
        ValueError: The cell is none of the choices.
    """
    if cell not in choices:
        raise ValueError(f"{place} {cell!r}, expected {', '.join(choices)}")
    return choices[cell]


def name_primary(named: str, emotions: Iterable[str | None]) -> str | None:
    """Returns the emotion that a rater of MSP's corpora named first, ``other`` if it is none.

    Raters named ``Angry``, ``Happy``, or ``Other-`` and their own words; None named nothing.
    """
    noun = name_by_noun(named.strip())
    if not noun or noun in ("nan", "none"):
        return None
    return noun if noun in {*emotions} else "other"


def _is_litter(path: Path, root: Path) -> bool:
    return any(is_litter(part) for part in path.relative_to(root).parts)


def _decode(encoded: bytes) -> tuple[str, bool]:
    """Decodes UTF-8, else Windows' code page -> the text, and whether it was UTF-8."""
    try:
        return encoded.decode("utf-8-sig"), True
    except UnicodeDecodeError:
        return encoded.decode("latin-1").translate(CURLY), False
