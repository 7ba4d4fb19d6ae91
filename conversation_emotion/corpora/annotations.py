"""Label files of corpora, with errors that name the place and what was expected there."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

Value = TypeVar("Value")


def read_csv(path: Path, corpus: str, columns: Sequence[str]) -> list[dict[str, str]]:
    """Returns the rows of a table in UTF-8 that has these columns.

    Raises:
        ValueError: A column is missing.
    """
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        given = list(reader.fieldnames or [])
        if missing := [column for column in columns if column not in given]:
            raise ValueError(f"{corpus}: {path} lacks the columns {missing}, it has {given}")
        return list(reader)


def read_json(path: Path, corpus: str) -> dict[str, dict]:
    """Returns the objects that a file of JSON in UTF-8 holds by name.

    Raises:
        ValueError: The file is no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise ValueError(f"{corpus}: {path} is no JSON in UTF-8: {error}") from error


def choose(choices: Mapping[str, Value], cell: str, place: str) -> Value:
    """Returns the value of a cell.

    Args:
        choices: Value of each cell that may occur.
        cell: The cell.
        place: Corpus, place and column, which begin the error.

    Raises:
        ValueError: The cell is none of the choices.
    """
    if cell not in choices:
        raise ValueError(f"{place} {cell!r}, expected {', '.join(choices)}")
    return choices[cell]
