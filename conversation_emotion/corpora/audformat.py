"""Databases in audformat (audEERING), as `audb` unpacks them: ``db.yaml``, tables, recordings.

Reads the tables that have a column ``emotion``. Where some of them belong to a part of a split, by
their ``split_id`` or by a name such as ``emotion.train``, these are read and no others. Next to
the label, any table of the database may describe the same recording or segment by these columns:
``speaker``; ``gender`` or ``sex``, also as a property of the speaker; ``transcription`` or
``text``; ``language``; ``valence``, ``arousal`` and ``dominance``. A recording whose speaker is not
named has one of its own. Each recording or segment is its own dialogue. The language is the
database's, if it has one.

Needs the package audformat.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from conversation_emotion.settings.corpus import CorpusSource
from conversation_emotion.utterances.table import GENDERS, Utterances, build_utterances

if TYPE_CHECKING:
    import audformat
    import pandas as pd

COLUMNS = {
    "speaker": ("speaker",),
    "gender": ("gender", "sex"),
    "text": ("transcription", "text"),
    "language": ("language",),
    "valence": ("valence",),
    "arousal": ("arousal",),
    "dominance": ("dominance",),
}
"""Columns of audformat from which each column of the utterance table is taken, best first."""

_SPLITS = {"train": "train", "dev": "valid", "test": "test"}


class Place(NamedTuple):
    """A recording, or a segment of it in seconds."""

    file: str
    start: float = 0.0
    end: float | None = None


class _Label(NamedTuple):
    """The emotion of a place, and the part of the split that holds it."""

    emotion: str | None
    split: str | None


def load_audformat(root: Path) -> Utterances:
    """Reads the labelled recordings or segments into the utterance table.

    Args:
        root: The folder that holds ``db.yaml``.

    Raises:
        FileNotFoundError: There is no ``db.yaml``.
        ModuleNotFoundError: The package audformat is not installed.
        ValueError: No table has a column ``emotion``, or two contradict each other on a place.
    """
    root = root.resolve()
    if not (root / "db.yaml").is_file():
        raise FileNotFoundError(f"audformat: no db.yaml in {root}; pass the folder of a database")
    try:
        import audformat
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "audformat: reading a database needs the package audformat: "
            "pip install 'conversation-emotion[audformat]'"
        ) from None
    database = audformat.Database.load(str(root))
    labels = _read_labels(database)
    given = {
        column: _read_column(database.tables.values(), names) for column, names in COLUMNS.items()
    }
    language = database.languages[0] if len(database.languages) == 1 else None
    rows = []
    for place, label in labels.items():
        row = {
            column: values.get(place, values.get(Place(place.file)))
            for column, values in given.items()
        }
        language_here = _shorten(row["language"] or language)
        rows.append({**_describe(root, place, label, row), "language": language_here})
    return build_utterances(rows, "audformat")


def _read_labels(database: "audformat.Database") -> dict[Place, _Label]:
    """The emotion of each place, from the parts of a split if there are any."""
    rated = {name: table for name, table in database.tables.items() if "emotion" in table.columns}
    if not rated:
        columns = {name: list(table.columns) for name, table in database.tables.items()}
        raise ValueError(
            f"audformat: no table of {database.name!r} has a column emotion, they have {columns}"
        )
    splits = {name: _find_split(database, name) for name in rated}
    if any(splits.values()):
        rated = {name: table for name, table in rated.items() if splits[name]}
    labels: dict[Place, _Label] = {}
    for name, table in rated.items():
        for place, emotion in _read_cells(table, "emotion").items():
            label = _Label(None if emotion is None else str(emotion), splits[name])
            if labels.setdefault(place, label) != label:
                raise ValueError(
                    f"audformat: {place} is {labels[place]} in one table and {label} in {name!r}"
                )
    return labels


def _find_split(database: "audformat.Database", name: str) -> str | None:
    split_id = database.tables[name].split_id
    kind = database.splits[split_id].type if split_id else None
    return next((_SPLITS[part] for part in (kind, *name.split(".")) if part in _SPLITS), None)


def _read_column(
    tables: Iterable["audformat.Table"], names: tuple[str, ...]
) -> dict[Place, object]:
    """Values of any table under one of the names, or as a property of its speakers."""
    given: dict[Place, object] = {}
    for table in tables:
        for name in names:
            if name in table.columns:
                cells = _read_cells(table, name)
            elif "speaker" in table.columns and name in _speaker_properties(table):
                cells = _read_cells(table, "speaker", name)
            else:
                continue
            for place, cell in cells.items():
                if cell is not None:
                    given.setdefault(place, cell)
    return given


def _speaker_properties(table: "audformat.Table") -> set[str]:
    scheme = table.columns["speaker"].scheme
    labels = scheme.labels if scheme else None
    if isinstance(labels, dict):
        return {name for entry in labels.values() if isinstance(entry, dict) for name in entry}
    if isinstance(labels, str) and table.db is not None:
        return set(table.db.misc_tables[labels].columns)
    return set()


def _read_cells(
    table: "audformat.Table", column: str, of: str | None = None
) -> dict[Place, object]:
    """Each place's cell, or a property of its entry; None where there is none."""
    cells = table[column].get(map=of) if of else table[column].get()
    cells = cells.astype(object)
    return dict(zip(_list_places(cells.index), cells.where(cells.notna(), None), strict=True))


def _list_places(index: "pd.Index") -> list[Place]:
    import pandas as pd

    if not isinstance(index, pd.MultiIndex):
        return [Place(str(file)) for file in index]
    return [
        Place(str(file), start.total_seconds(), None if pd.isna(end) else end.total_seconds())
        for file, start, end in index
    ]


def _describe(root: Path, place: Place, label: _Label, row: dict[str, object]) -> dict[str, object]:
    utterance_id = str(Path(place.file).with_suffix(""))
    if place != Place(place.file):
        utterance_id += f"_{place.start:g}_{'' if place.end is None else f'{place.end:g}'}"
    gender = str(row["gender"]).lower()
    return {
        **row,
        "utterance_id": utterance_id,
        "dialogue_id": utterance_id,
        "order": 0,
        "speaker": utterance_id if row["speaker"] is None else str(row["speaker"]),
        "gender": gender if gender in GENDERS else None,
        "audio": str(root / place.file),
        "offset": place.start or None,
        "duration": None if place.end is None else place.end - place.start,
        "emotion": label.emotion,
        "split": label.split,
    }


def _shorten(language: object) -> str | None:
    """Turns ISO 639's three letters, which audformat uses, into a tag: deu into de."""
    if language is None:
        return None
    from iso639 import Lang
    from iso639.exceptions import InvalidLanguageValue

    try:
        return Lang(str(language)).pt1 or str(language)
    except InvalidLanguageValue:
        return str(language)


CORPUS = CorpusSource(
    load=load_audformat,
    root="the folder of a database in audformat, the one that holds db.yaml",
)
