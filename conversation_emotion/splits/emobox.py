"""EmoBox's test lists across corpora (Ma et al., 2024), and the utterances that they name.

A list is a file of lines as EmoBox distributes them, 60 utterances of each of four classes::

    {"wav_filename": "Actor_15/03-01-03-01-01-02-15.wav", "label": "happy", "speaker": "15"}

An utterance is identified by the last two parts of its path, or by its id: ``JK/sa09.wav`` is
``JK_sa09`` in a flat copy of SAVEE. MELD counts its dialogues from 0 in each part of the split, and
the list does not name the part: the label decides, and where it fits several the first part does,
which is counted. Speakers are not compared, since the list names IEMOCAP's by the recording.
"""

import json
from collections import defaultdict
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
import pandas as pd

from conversation_emotion.splits.protocols import Rows


class ListedRows(NamedTuple):
    """Rows of a table that a list names, in the order of the table.

    ``num_listed`` utterances are in the list; ``num_unclear`` names fitted several utterances of
    the same label.
    """

    rows: Rows
    num_listed: int
    num_unclear: int


def find_listed(path: Path, utterances: pd.DataFrame) -> ListedRows:
    """Returns the rows that a list names, of utterances whose ``emotion`` is one of four classes.

    Names that a copy lacks are left out, since copies are often incomplete; the counts report them.
    The utterances are rows of one corpus, pooled or not; numbers are those of the index.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: A line is no entry, an utterance has another class in the list, or nothing of
            the list is there.
    """
    entries = [_read_entry(path, line) for line in path.read_text("utf-8").splitlines() if line]
    indexed = _index_names(utterances)
    found: list[int] = []
    num_unclear = 0
    for name, label, speaker in entries:
        # Names that count within a speaker's folder mean nothing without it.
        keys = _keys(name)[: 2 if PurePosixPath(name).parent.name == speaker else None]
        rows = next((indexed[key] for key in keys if key in indexed), [])
        if not rows:
            continue
        fitting = [row for row in rows if utterances.at[row, "emotion"] == label]
        if not fitting:
            raise ValueError(
                f"{path}: {name} is {label}, but in the corpus "
                f"{utterances.at[rows[0], 'emotion']}; this list is of another corpus"
            )
        num_unclear += len(fitting) > 1
        found.append(fitting[0])
    if not found:
        raise ValueError(
            f"{path}: none of its {len(entries)} utterances is in the corpus, first "
            f"{entries[0][0] if entries else 'of none'}; is it the list of this corpus?"
        )
    return ListedRows(np.unique(np.array(found, dtype=np.int64)), len(entries), num_unclear)


def _read_entry(path: Path, line: str) -> tuple[str, str, str]:
    try:
        entry = json.loads(line)
        return str(entry["wav_filename"]), str(entry["label"]), str(entry["speaker"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} has the line {line[:80]!r}, expected wav_filename, label, speaker"
        ) from error


def _index_names(utterances: pd.DataFrame) -> dict[str, list[int]]:
    """Rows by every name that they may be listed under, in the order of the official parts."""
    rows_of: dict[str, list[int]] = defaultdict(list)
    parts = {"train": 0, "valid": 1, "test": 2}
    order = utterances["split"].map(parts).fillna(3).sort_values(kind="stable").index
    for row in order:
        names = {str(utterances.at[row, "utterance_id"]).split(":", 1)[-1]}
        if isinstance(audio := utterances.at[row, "audio"], str):
            names |= set(_keys(audio))
        for name in names:
            rows_of[name].append(int(row))
    return rows_of


def _keys(name: str) -> list[str]:
    """Returns the names to look for, the most specific first: folder/file, folder_file, file."""
    path = PurePosixPath(name)
    return [f"{path.parent.name}/{path.stem}", f"{path.parent.name}_{path.stem}", path.stem]
