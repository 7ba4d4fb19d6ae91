"""A folder of a Hugging Face dataset, without the package datasets: audio folders and Parquet.

Reads what a download of a dataset's repository holds, one of these two::

    train/metadata.csv                    or metadata.jsonl, here or in the root, with file_name
    data/train-00000-of-00002.parquet     the recordings inside

The part of the split is the folder of the recording or the beginning of the shard's name: train;
validation, valid, val or dev; test. Columns are taken by their usual names (``COLUMNS``), the first
that is there; of class labels in Parquet the names are taken, not the numbers. Where a dataset
calls its columns otherwise, write a manifest instead. Each utterance is its own dialogue, and one
whose speaker is not named has a speaker of its own.

Recordings inside Parquet are unpacked into the folder ``huggingface`` of the cache
(``CONVERSATION_EMOTION_CACHE``), again only when the shard has changed.
"""

import csv
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path

from conversation_emotion.corpora.annotations import SPLIT_NAMES
from conversation_emotion.settings.cache import cache_folder
from conversation_emotion.settings.corpus import CorpusSource
from conversation_emotion.utterances.table import GENDERS, Utterances, build_utterances

COLUMNS = {
    "emotion": ("emotion", "label", "labels"),
    "speaker": ("speaker", "speaker_id"),
    "gender": ("gender", "sex"),
    "text": ("text", "transcription", "transcript", "sentence"),
    "language": ("language", "lang"),
}
"""Columns of a dataset from which each column of the utterance table is taken, best first."""

AUDIO = ("audio", "speech")
"""Columns that hold recordings in Parquet."""

_METADATA = ("metadata.csv", "metadata.jsonl")
_BATCH_ROWS = 64


def load_huggingface(root: Path) -> Utterances:
    """Reads the dataset into the utterance table.

    Raises:
        FileNotFoundError: There is neither a file of metadata nor a shard.
        ValueError: A file cannot be read as its suffix demands, a row names no recording or one
            outside the folder, or a shard holds its recordings in another way.
    """
    tables = sorted(
        path
        for folder in ("", "*/", "data/*/")
        for name in _METADATA
        for path in root.glob(folder + name)
    )
    if tables:
        rows = (row for table in tables for row in _read_metadata(table, root))
    elif shards := sorted({*root.glob("*.parquet"), *root.glob("data/*.parquet")}):
        rows = (row for shard in shards for row in _read_shard(shard))
    else:
        raise FileNotFoundError(
            f"huggingface: no {' or '.join(_METADATA)}, and no *.parquet, in {root}, its folders "
            "or data; pass the folder of a dataset"
        )
    return build_utterances(rows, "huggingface")


def _read_metadata(table: Path, root: Path) -> Iterator[dict[str, object]]:
    for number, cells in enumerate(_read_rows(table), start=1):
        name = cells.get("file_name")
        audio = (table.parent / str(name)).resolve()
        if not name or not audio.is_relative_to(root):
            raise ValueError(
                f"huggingface: {table} row {number} has file_name {name!r}, expected a path that "
                f"stays in {root}"
            )
        inside = audio.relative_to(root)
        split = next((SPLIT_NAMES[part] for part in inside.parts[:-1] if part in SPLIT_NAMES), None)
        yield _describe(str(inside.with_suffix("")), str(audio), split, cells)


def _read_rows(table: Path) -> Sequence[Mapping[str, object]]:
    try:
        text = table.read_text(encoding="utf-8-sig")
        if table.suffix == ".csv":
            return list(csv.DictReader(text.splitlines(keepends=True), strict=True))
        rows = [json.loads(line) for line in text.split("\n") if line.strip()]
        if strange := [row for row in rows if not isinstance(row, dict)]:
            raise ValueError(f"{strange[0]!r} is no object in braces")
        return rows
    except (ValueError, csv.Error) as error:
        kind = table.suffix.removeprefix(".").upper()
        raise ValueError(f"huggingface: {table} is no {kind} in UTF-8: {error}") from error


def _read_shard(shard: Path) -> Iterator[dict[str, object]]:
    import pyarrow
    from pyarrow import parquet

    split = SPLIT_NAMES.get(shard.stem.split("-")[0])
    status = shard.stat()
    version = f"{shard} {status.st_size} {status.st_mtime_ns}"
    digest = hashlib.sha256(version.encode()).hexdigest()[:32]
    folder = cache_folder() / "huggingface" / digest
    try:
        with parquet.ParquetFile(shard) as file:
            labels = _read_class_labels(file.schema_arrow.metadata or {})
            batches = (batch.to_pylist() for batch in file.iter_batches(batch_size=_BATCH_ROWS))
            for number, cells in enumerate(chain.from_iterable(batches)):
                for column, names in labels.items():
                    label = cells.get(column)  # -1 is how a dataset writes that there is none
                    is_class = isinstance(label, int) and label >= 0
                    cells[column] = names[label] if is_class else None
                audio = _unpack(cells, folder / f"{number}", f"{shard} row {number}")
                yield _describe(f"{shard.stem}-{number}", str(audio), split, cells)
    except pyarrow.ArrowInvalid as error:
        raise ValueError(f"huggingface: {shard} is no Parquet file: {error}") from error


def _read_class_labels(metadata: Mapping[bytes, bytes]) -> dict[str, list[str]]:
    """Names of the classes of each column that holds numbers for them."""
    described = json.loads(metadata.get(b"huggingface", b"{}"))
    features = described.get("info", {}).get("features", {})
    return {
        column: feature["names"]
        for column, feature in features.items()
        if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
    }


def _unpack(cells: dict[str, object], stem: Path, place: str) -> Path:
    """Writes a row's recording where it is not yet, and returns where."""
    held = next((cells[column] for column in AUDIO if column in cells), None)
    encoded = held.get("bytes") if isinstance(held, dict) else None
    if not isinstance(held, dict) or not isinstance(encoded, bytes):
        raise ValueError(
            f"huggingface: {place} holds no recording as a file in a column "
            f"{' or '.join(AUDIO)}; export the dataset as an audio folder, or write a manifest"
        )
    suffix = Path(str(held.get("path") or "")).suffix
    path = stem.with_name(stem.name + (suffix or ".wav"))
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f"{path.name}.{os.getpid()}.part")
        unfinished.write_bytes(encoded)
        unfinished.replace(path)
    return path


def _describe(
    utterance_id: str, audio: str, split: str | None, cells: Mapping[str, object]
) -> dict[str, object]:
    given = {column: _find(cells, names) for column, names in COLUMNS.items()}
    gender = str(given["gender"]).lower()
    return {
        **given,
        "utterance_id": utterance_id,
        "speaker": given["speaker"] or utterance_id,
        "gender": gender if gender in GENDERS else None,
        "audio": audio,
        "split": split,
    }


def _find(cells: Mapping[str, object], names: tuple[str, ...]) -> str | None:
    """The first column that is there, as text; an empty cell is none."""
    cell = next((cells[name] for name in names if name in cells), None)
    return None if cell is None or not str(cell).strip() else str(cell)


CORPUS = CorpusSource(
    load=load_huggingface,
    root="the folder of a Hugging Face dataset: metadata.csv or .jsonl, or Parquet",
)
