"""A folder of a Hugging Face dataset, without the package datasets: audio folders and Parquet.

Reads what a download of a dataset's repository holds, one of these two::

    train/metadata.csv                    or .jsonl or .parquet, here or in the root, with file_name
    data/train-00000-of-00002.parquet     the recordings inside; also in the folder of the
                                          configuration, in folders train, validation and test

The part of the split is the folder of the recording or the shard, or the beginning of the shard's
name: train; validation, valid, val or dev; test. Columns are taken by their usual names
(``COLUMNS``), the first that is there; of class labels in Parquet the names are taken, not the
numbers. Where a dataset calls its columns otherwise, write a manifest instead. Each utterance is
its own dialogue, and one whose speaker is not named has a speaker of its own. A row without a
recording, or whose class is none of the names, lacks that alone; a row of metadata without a file
is left out. All of them are counted.

Recordings inside Parquet are unpacked into the folder ``huggingface`` of the cache
(``CONVERSATION_EMOTION_CACHE``), again only when the shard has changed.
"""

import hashlib
import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from conversation_emotion.corpora.annotations import (
    SPLIT_NAMES,
    find_recording,
    parse_csv,
    report,
)
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

_METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
_BATCH_ROWS = 64

Remarks = defaultdict[str, list[str]]
"""Rows that are not as they should be, by what is wrong with them."""


def load_huggingface(root: Path) -> Utterances:
    """Reads the dataset into the utterance table, and reports rows that lack something.

    Raises:
        FileNotFoundError: There is neither a file of metadata nor a shard.
        ValueError: A file cannot be read as its suffix demands, no row has a recording, one names
            a recording outside the folder, or there are shards of several configurations.
    """
    remarks: Remarks = defaultdict(list)
    tables = sorted(
        path
        for folder in ("", "*/", "data/*/")
        for name in _METADATA
        for path in root.glob(folder + name)
    )
    if tables:
        rows = [row for table in tables for row in _read_metadata(table, root, remarks)]
    elif shards := sorted(root.rglob("*.parquet")):
        _check_configurations(shards, root)
        rows = [row for shard in shards for row in _read_shard(shard, root, remarks)]
    else:
        raise FileNotFoundError(
            f"huggingface: no {' or '.join(_METADATA)}, and no *.parquet, in {root} or its "
            "folders; pass the folder of a dataset"
        )
    for what, places in remarks.items():
        report("huggingface", what, places)
    if not any(row["audio"] for row in rows):
        raise ValueError(
            f"huggingface: {root} holds no recording as a file, in a column {' or '.join(AUDIO)} "
            "or named by file_name; export the dataset as an audio folder, or write a manifest"
        )
    return build_utterances(rows, "huggingface")


def _read_metadata(table: Path, root: Path, remarks: Remarks) -> Iterator[dict[str, object]]:
    rows = {f"{table} row {number}": row for number, row in enumerate(_read_rows(table), start=1)}
    stems = Counter(Path(str(cells.get("file_name"))).with_suffix("") for cells in rows.values())
    for place, cells in rows.items():
        name = str(cells.get("file_name") or "")
        if not name.strip():
            remarks["rows name no file, and are left out"].append(place)
            continue
        audio = find_recording(table.parent, name).resolve()
        if not audio.is_relative_to(root):
            raise ValueError(
                f"huggingface: {place} has file_name {name!r}, expected a path that stays in {root}"
            )
        inside = audio.relative_to(root)
        # Of a.wav and a.mp3, neither is named a.
        is_unique = stems[Path(name).with_suffix("")] == 1
        utterance_id = inside.with_suffix("") if is_unique else inside
        yield _describe(str(utterance_id), str(audio), _find_split(inside.parts[:-1]), cells)


def _read_rows(table: Path) -> Sequence[Mapping[str, object]]:
    kind = table.suffix.removeprefix(".").upper()
    if table.suffix == ".parquet":
        from pyarrow import parquet

        with _named_errors(table):
            return parquet.read_table(table).to_pylist()
    try:
        text = table.read_text(encoding="utf-8-sig")
        if table.suffix == ".csv":
            return [*parse_csv(text, strict=True).rows.values()]
        rows = [json.loads(line) for line in text.split("\n") if line.strip()]
        if strange := [row for row in rows if not isinstance(row, dict)]:
            raise ValueError(f"{strange[0]!r} is no object in braces")
        return rows
    except ValueError as error:
        raise ValueError(f"huggingface: {table} is no {kind} in UTF-8: {error}") from error


@contextmanager
def _named_errors(shard: Path) -> Iterator[None]:
    """Names the file that Arrow cannot read, some of whose errors are those of the system."""
    import pyarrow

    try:
        yield
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise ValueError(f"huggingface: {shard} is no whole Parquet file: {error}") from error


def _find_split(folders: Sequence[str]) -> str | None:
    return next((SPLIT_NAMES[part] for part in folders if part in SPLIT_NAMES), None)


def _check_configurations(shards: Sequence[Path], root: Path) -> None:
    """Refuses a folder with several configurations, which often hold the same recordings."""
    folders = {shard.relative_to(root).parts[:-1] for shard in shards}
    kept = {"/".join(x for x in parts if x not in ("data", *SPLIT_NAMES)) for parts in folders}
    if len(kept) > 1:
        raise ValueError(
            f"huggingface: {root} holds the configurations "
            f"{', '.join(name or 'of the folder itself' for name in sorted(kept))}; pass the "
            "folder of one"
        )


def _read_shard(shard: Path, root: Path, remarks: Remarks) -> Iterator[dict[str, object]]:
    folders = shard.relative_to(root).parts[:-1]
    split = SPLIT_NAMES.get(shard.stem.split("-")[0]) or _find_split(folders)
    name = "/".join([*(x for x in folders if x in SPLIT_NAMES), shard.stem])
    status = shard.stat()
    version = f"{shard} {status.st_size} {status.st_mtime_ns}"
    digest = hashlib.sha256(version.encode()).hexdigest()[:32]
    unpacked = cache_folder() / "huggingface" / digest
    for number, cells in enumerate(_read_named(shard, remarks)):
        audio = _unpack(cells, unpacked / f"{number}")
        if audio is None:
            remarks["rows hold no recording as a file"].append(f"{shard} row {number}")
        yield _describe(f"{name}-{number}", audio and str(audio), split, cells)


def _read_named(shard: Path, remarks: Remarks) -> Iterator[dict[str, object]]:
    """Yields the rows of a shard, with the names of classes instead of their numbers."""
    from pyarrow import parquet

    def read() -> Iterator[dict[str, object]]:
        with _named_errors(shard), parquet.ParquetFile(shard) as file:
            described.update(_read_class_labels(file.schema_arrow.metadata or {}))
            for batch in file.iter_batches(batch_size=_BATCH_ROWS):
                yield from batch.to_pylist()

    described: dict[str, list[str]] = {}
    for number, cells in enumerate(read()):
        for column, names in described.items():
            label = cells.get(column)  # -1 is how a dataset writes that there is none
            known = dict(enumerate(names))
            cells[column] = known.get(label) if isinstance(label, int) else None
            if cells[column] is None and label not in (None, -1):
                what = f"rows have a label in {column} that is none of its {len(names)} classes"
                remarks[what].append(f"{shard} row {number} ({label!r})")
        yield cells


def _read_class_labels(metadata: Mapping[bytes, bytes]) -> dict[str, list[str]]:
    """Names of the classes of each column that holds numbers for them."""
    described = json.loads(metadata.get(b"huggingface", b"{}"))
    features = described.get("info", {}).get("features", {})
    return {
        column: feature["names"]
        for column, feature in features.items()
        if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
    }


def _unpack(cells: dict[str, object], stem: Path) -> Path | None:
    """Writes a row's recording where it is not yet, and returns where; None if it has none."""
    held = next((cells[column] for column in AUDIO if column in cells), None)
    encoded = held.get("bytes") if isinstance(held, dict) else None
    if not isinstance(held, dict) or not isinstance(encoded, bytes):
        return None
    suffix = Path(str(held.get("path") or "")).suffix
    path = stem.with_name(stem.name + (suffix or ".wav"))
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f"{path.name}.{os.getpid()}.part")
        unfinished.write_bytes(encoded)
        unfinished.replace(path)
    return path


def _describe(
    utterance_id: str, audio: str | None, split: str | None, cells: Mapping[str, object]
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
