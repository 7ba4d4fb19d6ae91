"""A user's own corpus: one table of utterances as CSV, JSONL or Parquet.

Columns, named as in the utterance table (`conversation_emotion.utterances.table.COLUMNS`):

* ``utterance_id``, and ``text`` or ``audio`` or both, are needed; ``emotion`` is, for training.
* ``audio`` is a path from the manifest's own folder, and stays inside it.
* ``dialogue_id`` is the utterance's own id where it is absent: each its own dialogue.
* ``order`` is the order of the rows inside a dialogue if there is no such column.
* ``speaker`` is the dialogue's id where it is absent: one unknown speaker per dialogue. Name the
  speakers if some return in other dialogues, or no split can keep them apart.
* ``split`` also takes dev, val and validation for valid.
* ``votes`` are JSON, of each rater or counts: ``{"anger": 3, "neutral": 1}``; JSONL and Parquet may
  hold them as they are (`conversation_emotion.utterances.votes`).
* ``corpus`` names the corpus, the same in every row; without it the name is ``manifest``.

Every other column of the contract is optional; unknown columns are kept behind it. Ids are text,
so leading zeros survive. An empty cell is missing; NA, None and nan are words like any other.

CSV may be what a spreadsheet writes: with empty rows and columns, separated by semicolons (numbers
may then have a decimal comma) or tabs, below a line ``sep=``; paths may have backslashes.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from conversation_emotion.corpora.annotations import SPLIT_NAMES, find_recording, parse_csv
from conversation_emotion.settings.corpus import CorpusSource
from conversation_emotion.utterances.table import COLUMNS, NUMBERS, Utterances, build_utterances
from conversation_emotion.utterances.votes import VOTES, read_votes

SUFFIXES = (".csv", ".jsonl", ".parquet")

_NUMBERS = (*NUMBERS, "order")

Cells = dict[str, object]
"""A row of the manifest, by the names of its columns."""


def load_manifest(path: Path) -> Utterances:
    """Reads a manifest into the utterance table.

    Args:
        path: A ``.csv``, ``.jsonl`` or ``.parquet`` file, or a folder that holds exactly one of
            ``manifest.csv``, ``manifest.jsonl`` and ``manifest.parquet``.

    Raises:
        FileNotFoundError: There is no such file, or the folder holds no manifest.
        ValueError: The file cannot be read as its suffix demands, is empty, lacks a column, or
            holds a number or path that is none; or the table's contract is broken.
    """
    file = _find_manifest(path)
    rows = read_cells(file)
    _check_columns(rows, file)
    has_order = any(cells.get("order") is not None for cells in rows.values())
    num_turns = Counter()
    for place, cells in rows.items():
        if cells.get("utterance_id") is None:
            raise ValueError(f"manifest: {place} has no utterance_id")
        dialogue_id = cells.get("dialogue_id") or cells["utterance_id"]
        split = cells.get("split")
        cells["dialogue_id"] = dialogue_id
        cells["speaker"] = cells.get("speaker") or dialogue_id
        cells["split"] = SPLIT_NAMES.get(str(split), split)
        cells["audio"] = _resolve_audio(cells.get("audio"), file.parent.resolve(), place)
        cells["order"] = _read_order(cells, place) if has_order else num_turns[dialogue_id]
        num_turns[dialogue_id] += 1
    return build_utterances(rows.values(), _name_corpus(rows, file))


def read_cells(file: Path) -> dict[str, Cells]:
    """Returns the rows of a table that are not empty, each by its place, for errors.

    Raises:
        ValueError: The file cannot be read as its suffix demands, or a number is none.
    """
    readers = {".csv": _read_csv, ".jsonl": _read_jsonl, ".parquet": _read_parquet}
    rows = {
        place: {column: _clean_cell(cell, column, place) for column, cell in cells.items()}
        for place, cells in readers[file.suffix.lower()](file)
    }
    return {
        place: cells for place, cells in rows.items() if any(x is not None for x in cells.values())
    }


def _find_manifest(path: Path) -> Path:
    if path.is_dir():
        names = [f"manifest{suffix}" for suffix in SUFFIXES]
        found = sorted(file for file in path.iterdir() if file.name.lower() in names)
        if not found:
            raise FileNotFoundError(f"manifest: none of {', '.join(names)} in {path}")
        if len(found) > 1:
            raise ValueError(
                f"manifest: {path} holds {' and '.join(file.name for file in found)}; "
                "pass the one to read"
            )
        return found[0]
    if not path.is_file():
        raise FileNotFoundError(f"manifest: no file {path}")
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(
            f"manifest: {path} ends in {path.suffix!r}, expected {', '.join(SUFFIXES)}; save a "
            "spreadsheet as CSV in UTF-8"
        )
    return path


def _read_csv(path: Path) -> Iterator[tuple[str, Cells]]:
    try:
        table = parse_csv(_read_text(path), strict=True)
    except ValueError as error:
        raise ValueError(f"manifest: {path.name} {error}") from error
    columns = table.columns
    if repeated := {name for name in columns if columns.count(name) > 1}:
        raise ValueError(f"manifest: {path} repeats the columns {sorted(repeated)}")
    for line, cells in table.rows.items():
        if table.delimiter != ",":
            cells = {
                column: cell.replace(",", ".") if column in _NUMBERS else cell
                for column, cell in cells.items()
            }
        yield f"{path.name} line {line}", {**cells}


def _read_jsonl(path: Path) -> Iterator[tuple[str, Cells]]:
    for number, line in enumerate(_read_text(path).split("\n"), start=1):
        place = f"{path.name} line {number}"
        if not line.strip():
            continue
        try:
            cells = json.loads(line)
        except (ValueError, RecursionError) as error:  # also a number of thousands of digits
            raise ValueError(f"manifest: {place} is no JSON: {error}") from error
        if not isinstance(cells, dict):
            raise ValueError(
                f"manifest: {place} is a {type(cells).__name__}, expected an object in braces"
            )
        yield place, cells


def _read_parquet(path: Path) -> Iterator[tuple[str, Cells]]:
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            records = file.read().to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(f"manifest: {path} is no whole Parquet file: {error}") from error
    for row, cells in enumerate(records, start=1):
        yield f"{path.name} row {row}", cells


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"manifest: {path} is not UTF-8 ({error}); save it as UTF-8") from error


def _check_columns(rows: dict[str, Cells], file: Path) -> None:
    if not rows:
        raise ValueError(f"manifest: {file} holds no utterances")
    columns = list(dict.fromkeys(column for cells in rows.values() for column in cells))
    if "utterance_id" not in columns:
        raise ValueError(f"manifest: {file} lacks the column utterance_id, it has {columns}")
    if not {"text", "audio"} & set(columns):
        raise ValueError(f"manifest: {file} needs a column text or audio, it has {columns}")


def _clean_cell(cell: object, column: str, place: str) -> object:
    """Makes an empty cell missing, texts text and numbers numbers; others stay as they are."""
    if cell is None or not str(cell).strip() or (isinstance(cell, float) and math.isnan(cell)):
        return None
    if column in _NUMBERS:
        try:
            number = float(cell) if isinstance(cell, str | int | float) else math.nan
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise ValueError(f"manifest: {place} has {column} {cell!r}, expected a number")
        return number
    if column == VOTES:
        return _check_votes(cell, place)
    if column in COLUMNS:
        if not isinstance(cell, str | int | float):
            raise ValueError(f"manifest: {place} has {column} {cell!r}, expected text")
        return str(cell) if column == "text" else str(cell).strip()
    return cell


def _check_votes(cell: object, place: str) -> str:
    """Returns votes as text; an object of Parquet has all emotions of the file, None if unnamed."""
    if isinstance(cell, dict):
        cell = {name: count for name, count in cell.items() if count is not None}
    text = cell if isinstance(cell, str) else json.dumps(cell, ensure_ascii=False)
    try:
        read_votes(text)
    except ValueError as error:
        raise ValueError(f"manifest: {place}: {error}") from error
    return text


def _resolve_audio(audio: object, folder: Path, place: str) -> str | None:
    if audio is None:
        return None
    if re.match(r"[A-Za-z]:[\\/]", str(audio)) and not Path(str(audio)).is_file():
        raise ValueError(
            f"manifest: {place} has audio {audio!r}, a path on Windows; write it from the "
            f"manifest's folder {folder} on"
        )
    path = find_recording(folder, str(audio)).resolve()
    if not path.is_relative_to(folder):
        raise ValueError(
            f"manifest: {place} has audio {audio!r}, which leaves the manifest's folder {folder}; "
            "put the manifest into a folder that holds all recordings"
        )
    return str(path)


def _read_order(cells: Cells, place: str) -> int:
    order = cells.get("order")
    if not isinstance(order, float) or not order.is_integer():
        raise ValueError(
            f"manifest: {place} has order {order!r}, expected 0, 1, 2, ... in every row, "
            "or no column order at all"
        )
    return int(order)


def _name_corpus(rows: dict[str, Cells], file: Path) -> str:
    names = {cells.get("corpus") for cells in rows.values()}
    if len(names) > 1:
        raise ValueError(
            f"manifest: {file} names the corpora {sorted(map(str, names))}, expected one name"
        )
    return str(names.pop() or "manifest")


CORPUS = CorpusSource(
    load=load_manifest,
    root="a .csv, .jsonl or .parquet file, or a folder with one file named manifest",
    labels="4-class",
)
