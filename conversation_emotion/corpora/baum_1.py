"""BAUM-1 (Zhalehpour et al., 2017): Turkish, acted clips and spontaneous ones of the same people.

Reads the videos of the release and its tables, a part where its folder is there, one or both::

    Annotations_BAUM1a.xlsx    BAUM1a_MP4_all/s001/S001_001.mp4       acted
    Annotations_BAUM1s.xlsx    BAUM1s_MP4 - All/s001/S001_006.mp4     spontaneous

The layout has a single source: no copy was available, and folders, codes and columns are as one
user's scripts have them; the headings ``Clip Name`` and ``Emotion`` are in another's. A column is
therefore found by what its heading contains, in any case: clip or file, emotion, code, and gender
or sex, which may be absent; the first sheet is read. Assumed is that the first field of a name is
the speaker, the same person in both parts. The letter case of names is not trusted.

The emotion is the code's, 1 to 9 in the acted and 1 to 13 in the spontaneous part, in the order of
`EMOTIONS`, and the name next to it must begin alike. By the scripts, the row of the spontaneous
S015_007 leaves open whether it is happiness or neutral: unless both cells agree, it has no emotion.
Clips that the table does not list (eight acted ones, by the scripts) have none either, and a listed
clip that is missing is named at its place. Subtitles are not read; ``text`` is missing.

Needs the package openpyxl. A column behind the contract: ``style``, acted or spontaneous.
"""

import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from zipfile import BadZipFile

from conversation_emotion.settings.corpus import CorpusSource
from conversation_emotion.utterances.labels import four_classes
from conversation_emotion.utterances.table import Utterances, build_utterances

EMOTIONS = {
    "acted": (
        "anger", "boredom", "disgust", "fear", "happiness", "interest", "sadness", "surprise",
        "unsure",
    ),
    "spontaneous": (
        "anger", "boredom", "bothered", "concentrating", "contempt", "disgust", "fear",
        "happiness", "neutral", "sadness", "surprise", "thinking", "unsure",
    ),
}  # fmt: skip
"""Emotions and mental states of each part; the first has the code 1."""


_FOLDERS = {
    "acted": ("BAUM1a_MP4_all", "BAUM1a_MP4 - All"),
    "spontaneous": ("BAUM1s_MP4 - All", "BAUM1s_MP4_all"),
}
"""Names that the folder of each part has."""

_AMBIGUOUS = ("spontaneous", "S015_007")
_ALIKE = ("concentrating", "contempt")
_GENDERS = {"f": "female", "female": "female", "m": "male", "male": "male", "": None}
_CLIP = re.compile(r"(?P<name>(?P<speaker>S\d{3})_\d+)(?:\.MP4)?")


def load_baum_1(root: Path) -> Utterances:
    """Reads the parts that are there into the utterance table.

    Raises:
        FileNotFoundError: No part has its folder, or one has no table.
        ModuleNotFoundError: The package openpyxl is not installed.
        ValueError: A table lacks a column, or a row's clip, code, emotion or gender is none.
    """
    found = {
        style: folder
        for style, names in _FOLDERS.items()
        if (folder := next(filter(Path.is_dir, map(root.joinpath, names)), None))
    }
    if not found:
        raise FileNotFoundError(
            f"baum-1: neither {' nor '.join(names[0] for names in _FOLDERS.values())} in {root}; "
            "pass the folder that holds one of them, and its table"
        )
    rows = (row for style, folder in found.items() for row in _read_part(style, folder))
    return build_utterances(rows, "baum-1")


def _read_part(style: str, folder: Path) -> Iterator[dict[str, object]]:
    """Yields the rows of the table, then the clips that it does not list."""
    table = folder.with_name(f"Annotations_{folder.name.partition('_')[0]}.xlsx")
    if not table.is_file():
        raise FileNotFoundError(
            f"baum-1: {folder.name} has no {table.name} next to it in {folder.parent}; put it "
            "there, or move the folder away to read the other part alone"
        )
    clips = {
        path.stem.upper(): path
        for path in sorted(folder.glob("*/*.*"))
        if path.suffix.lower() == ".mp4" and not path.name.startswith(".")
    }
    listed = set()
    for line, cells in enumerate(_read_table(table), start=2):
        if any(cells.values()):
            place = f"{table} row {line}"
            clip = _match_clip(cells["clip"], place)
            name = clip["name"]
            listed.add(name)
            path = clips.get(name, folder / clip["speaker"].lower() / f"{name}.mp4")
            gender = cells["gender"].casefold()
            if gender not in _GENDERS:
                raise ValueError(
                    f"baum-1: {place} has the gender {cells['gender']!r}, expected female or male"
                )
            yield {
                **_describe(clip, style, path),
                "gender": _GENDERS[gender],
                "emotion": _read_emotion(name, cells, style, place),
            }
    for name, path in clips.items():
        if name not in listed:
            yield _describe(_match_clip(name, str(path)), style, path)


def _read_table(table: Path) -> list[dict[str, str]]:
    """Reads clip, emotion, code and gender of each row, without white space; '' if it is empty."""
    import pandas as pd

    try:
        cells = pd.read_excel(table, dtype=str, engine="openpyxl", keep_default_na=False)
    except ImportError:
        raise ModuleNotFoundError(
            "baum-1: reading its tables needs the package openpyxl: "
            "pip install 'conversation-emotion[baum]'"
        ) from None
    except (BadZipFile, KeyError) as error:
        raise ValueError(f"baum-1: {table} is no Excel workbook (.xlsx): {error}") from None
    cells = cells.rename(columns=str).fillna("").apply(lambda column: column.str.strip())
    headings = [str(heading) for heading in cells]
    columns = {
        "clip": _find_heading(headings, "clip name", "file name", "clip", "file"),
        "emotion": _find_heading([h for h in headings if "code" not in h.casefold()], "emotion"),
        "code": _find_heading(headings, "code"),
    }
    if None in columns.values():
        raise ValueError(
            f"baum-1: {table} has the columns {headings}, expected one whose heading contains "
            "'clip' or 'file', one with 'emotion' and one with 'code'; rename them"
        )
    columns["gender"] = _find_heading(headings, "gender", "sex")
    return [
        {name: row.get(heading, "") for name, heading in columns.items()}
        for row in cells.to_dict("records")
    ]


def _find_heading(headings: list[str], *words: str) -> str | None:
    """Finds the first heading that contains a word, of the first word that any contains."""
    return next((name for word in words for name in headings if word in name.casefold()), None)


def _match_clip(cell: str, place: str) -> re.Match[str]:
    match = _CLIP.fullmatch(cell.upper())
    if not match:
        raise ValueError(
            f"baum-1: {place} names the clip {cell!r}, expected a speaker and a number, such as "
            "S001_001; correct it, or move away what is no clip of baum-1"
        )
    return match


def _describe(clip: re.Match[str], style: str, path: Path) -> dict[str, object]:
    return {
        "utterance_id": f"{style}_{clip['name']}",
        "speaker": clip["speaker"],
        "language": "tr",
        "audio": str(path),
        "style": style,
    }


def _read_emotion(name: str, cells: dict[str, str], style: str, place: str) -> str | None:
    """Returns the emotion on which code and name agree, or none if both are empty."""
    emotions = {str(code): name for code, name in enumerate(EMOTIONS[style], start=1)}
    given, code = cells["emotion"], cells["code"]
    emotion = emotions.get(code)
    if emotion and given.casefold().startswith(emotion[: 4 if emotion in _ALIKE else 3]):
        return emotion
    if (style, name) == _AMBIGUOUS or not (code or given):
        return None
    raise ValueError(
        f"baum-1: {place} has the emotion {given!r} with the code {code!r}, expected "
        f"{', '.join(f'{code} {name}' for code, name in emotions.items())}; correct the table, or "
        "empty both cells to leave the clip unlabelled"
    )


CORPUS = CorpusSource(
    load=load_baum_1,
    root="the BAUM-1 folder, the one that holds BAUM1a_MP4_all or 'BAUM1s_MP4 - All'",
    label_maps={"4-class": four_classes(chain(*EMOTIONS.values()))},
)
