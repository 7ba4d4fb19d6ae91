"""Databases in audformat (audEERING), as `audb` unpacks them: ``db.yaml``, tables, recordings.

Reads the tables that have a column ``emotion``. Columns of the same scheme that name a rater hold
that rater's votes. Where some of them belong to a part of a split, by
their ``split_id`` or by a name such as ``emotion.train``, these are read and no others. Next to
the label, any table of the database may describe the same recording or segment by these columns:
``speaker``; ``gender`` or ``sex``, also as a property of the speaker; ``transcription`` or
``text``; ``language``; ``valence``, ``arousal`` and ``dominance``. A recording whose speaker is not
named has one of its own. Each recording or segment is its own dialogue. The language is the
database's, if it has one. Where the labels of a scheme are codes for words, the words are taken;
speakers that are numbers get leading zeros, so that they sort as numbers do; ids leave out the
folder that all recordings share.

Needs the package audformat.
"""

import os
from collections.abc import Iterator
from numbers import Integral
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from conversation_emotion.corpora.annotations import find_files
from conversation_emotion.settings.corpus import CorpusSource
from conversation_emotion.utterances.table import GENDERS, Utterances, build_utterances
from conversation_emotion.utterances.votes import write_votes

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

_ROOT = "the folder of a database in audformat, the one that holds db.yaml"
_SPLITS = {"train": "train", "dev": "valid", "test": "test"}


class Place(NamedTuple):
    """A recording, or a segment of it in seconds."""

    file: str
    start: float = 0.0
    end: float | None = None


def load_audformat(root: Path) -> Utterances:
    """Reads the labelled recordings or segments into the utterance table.

    Raises:
        FileNotFoundError: There is no ``db.yaml``.
        ModuleNotFoundError: The package audformat is not installed.
        ValueError: No table has a column ``emotion``, or two contradict each other on a place.
    """
    find_files(root, ["db.yaml"], "audformat", _ROOT)
    try:
        import audformat
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "audformat: reading a database needs the package audformat: "
            "pip install 'conversation-emotion[audformat]'"
        ) from None
    database = audformat.Database.load(str(root))
    return build_utterances(_read_rows(root, database), "audformat")


def _read_rows(root: Path, database: "audformat.Database") -> Iterator[dict[str, object]]:
    columns = {column: _read_column(database, names) for column, names in COLUMNS.items()}
    columns["speaker"] = _name_speakers(columns["speaker"])
    language = database.languages[0] if len(database.languages) == 1 else None
    labels, votes = _read_labels(database), _read_votes(database)
    shared = os.path.commonpath([PurePosixPath(place.file).parent for place in labels] or [""])
    for place, (emotion, split) in labels.items():
        given = {
            column: cells.get(place, cells.get(Place(place.file)))
            for column, cells in columns.items()
        }
        utterance_id = str(PurePosixPath(place.file).relative_to(shared).with_suffix(""))
        if place != Place(place.file):
            utterance_id += f"_{place.start:g}_{'' if place.end is None else f'{place.end:g}'}"
        gender = str(given["gender"]).lower()
        yield {
            **given,
            "utterance_id": utterance_id,
            "speaker": given["speaker"] or utterance_id,
            "gender": gender if gender in GENDERS else None,
            "language": _shorten(given["language"] or language),
            "audio": str(root / place.file),
            "offset": place.start or None,
            "duration": None if place.end is None else place.end - place.start,
            "emotion": emotion,
            "votes": write_votes(votes.get(place, votes.get(Place(place.file), {})).items()),
            "split": split,
        }


def _read_labels(database: "audformat.Database") -> dict[Place, tuple[str | None, str | None]]:
    """The emotion and the split of each place, from the parts of a split if there are any."""
    rated = {name: table for name, table in database.tables.items() if "emotion" in table.columns}
    if not rated:
        columns = {name: list(table.columns) for name, table in database.tables.items()}
        raise ValueError(
            f"audformat: no table of {database.name!r} has a column emotion, they have {columns}"
        )
    splits = {name: _find_split(database, name) for name in rated}
    if any(splits.values()):
        rated = {name: table for name, table in rated.items() if splits[name]}
    labels: dict[Place, tuple[str | None, str | None]] = {}
    for name, table in rated.items():
        for place, emotion in _read_cells(database, table, "emotion", "emotion").items():
            label = (None if emotion is None else str(emotion), splits[name])
            if labels.setdefault(place, label) != label:
                raise ValueError(
                    f"audformat: {place} is {labels[place]} in one table and {label} in {name!r}"
                )
    return labels


def _read_votes(database: "audformat.Database") -> dict[Place, dict[str, list[str]]]:
    """What each rater named of each place, by columns of the scheme of ``emotion`` with a rater."""
    tables = [*database.tables.values()]  # audformat gives an iterator, for one use
    schemes = {
        table.columns["emotion"].scheme_id for table in tables if "emotion" in table.columns
    } - {None}
    votes: dict[Place, dict[str, list[str]]] = {}
    for table in tables:
        for name, column in table.columns.items():
            if column.rater_id is not None and column.scheme_id in schemes:
                for place, emotion in _read_cells(database, table, name, name).items():
                    if emotion is not None:
                        votes.setdefault(place, {})[str(column.rater_id)] = [str(emotion)]
    return votes


def _find_split(database: "audformat.Database", name: str) -> str | None:
    split_id = database.tables[name].split_id
    kind = database.splits[split_id].type if split_id else None
    return next((_SPLITS[part] for part in (kind, *name.split(".")) if part in _SPLITS), None)


def _read_column(database: "audformat.Database", names: tuple[str, ...]) -> dict[Place, object]:
    """Values of any table under the first of the names, or as a property of its speakers."""
    given: dict[Place, object] = {}
    for name in names:
        for table in database.tables.values():
            for column in table.columns:
                for place, cell in _read_cells(database, table, column, name).items():
                    if cell is not None:
                        given.setdefault(place, cell)
    return given


def _read_cells(
    database: "audformat.Database", table: "audformat.Table", column: str, name: str
) -> dict[Place, object]:
    """Cells of a column under a name, codes as what they stand for; none if it has another name.

    The labels of its scheme may be codes for words, or those of speakers for their properties, one
    of them of this name.
    """
    scheme = table.columns[column].scheme
    labels = scheme.labels if scheme else None
    if isinstance(labels, str):  # the name of a table that lists them
        labels = database[labels].df.to_dict("index")
    meanings = labels if isinstance(labels, dict) else {}
    properties = {code: x for code, x in meanings.items() if isinstance(x, dict)}
    cells = table.columns[column].get().astype(object)
    if column == "speaker" and any(name in x for x in properties.values()):
        return _list_cells(cells.map({code: x.get(name) for code, x in properties.items()}))
    if column != name:  # another column of the same scheme, such as an addressee among speakers
        return {}
    return _list_cells(cells.map(meanings) if meanings and not properties else cells)


def _name_speakers(speakers: dict[Place, object]) -> dict[Place, object]:
    """Turns speakers into text; numbers get leading zeros, to sort as numbers do: 3 is 03."""
    width = max((len(str(x)) for x in speakers.values() if isinstance(x, Integral)), default=0)
    return {
        place: str(x).zfill(width) if isinstance(x, Integral) else str(x)
        for place, x in speakers.items()
    }


def _list_cells(cells: "pd.Series") -> dict[Place, object]:
    """Each place's cell, None where there is none."""
    import audformat
    import pandas as pd

    segments = audformat.utils.to_segmented_index(cells.index)
    places = [
        Place(str(file), start.total_seconds(), None if pd.isna(end) else end.total_seconds())
        for file, start, end in segments  # pyright: ignore[reportGeneralTypeIssues]
    ]
    # Not Series.where, which keeps the NaN of a code that is missing.
    return {
        place: None if is_missing else cell
        for place, cell, is_missing in zip(places, cells, cells.isna(), strict=True)
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


CORPUS = CorpusSource(load=load_audformat, root=_ROOT)
