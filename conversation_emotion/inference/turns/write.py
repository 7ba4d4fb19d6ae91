"""Writes rows of turns, with what was predicted of them, as tables or as annotation.

.csv .jsonl .parquet        all columns
.rttm                       speaker, emotion as the subtype, confidence
.TextGrid .eaf              a tier of words and one of emotions for each speaker
.vtt                        voice, emotion and words of each cue
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd

from conversation_emotion.features.store import write_whole
from conversation_emotion.inference.turns.rttm import format_rttm
from conversation_emotion.inference.turns.subtitles import format_webvtt
from conversation_emotion.inference.turns.tiers import format_elan, format_textgrid
from conversation_emotion.inference.turns.turn import LabelledTurn, TurnError
from conversation_emotion.settings.turns import TABLES
from conversation_emotion.utterances.audio import AudioError, measure_seconds

ANNOTATIONS = (".rttm", ".textgrid", ".eaf", ".vtt")
"""Suffixes in lower case."""


def write_turns(turns: pd.DataFrame, path: str | Path) -> None:
    """Writes a file that holds all of it or, after an error, what it held before.

    Args:
        turns: A row for each turn, as of `tabulate_turns`. Annotation takes the columns
            ``recording``, ``start``, ``end``, ``speaker``, ``text``, ``channel`` and of predictions
            ``emotion`` and ``confidence``, for which the greatest of ``p_...`` stands in; rows
            without a place in time are left out there, and counted.
        path: File to write, of a suffix above.

    Raises:
        TurnError: The suffix is another; the path cannot be written; the turns are of several
            recordings, which only tables and RTTM hold; two names become one in RTTM.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in (*TABLES, *ANNOTATIONS):
        raise TurnError(
            f"{path}: ends in {path.suffix!r}, expected {', '.join((*TABLES, *ANNOTATIONS))}"
        )
    if path.is_dir():
        raise TurnError(f"{path}: is a folder, expected a file to write")
    write = _write_table(turns, suffix) if suffix in TABLES else _write_text(turns, path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, write)
    except OSError as error:
        raise TurnError(f"{path}: cannot be written ({error.strerror})") from error


def _write_table(table: pd.DataFrame, suffix: str) -> Callable[[Path], object]:
    if suffix == ".csv":
        # A set of classes is one cell: angry|sad.
        flat = table.map(lambda cell: "|".join(cell) if isinstance(cell, list | tuple) else cell)
        return partial(flat.to_csv, index=False, float_format="%.6f", lineterminator="\n")
    if suffix == ".parquet":
        return partial(table.to_parquet, index=False)
    return partial(
        table.to_json, orient="records", lines=True, force_ascii=False, double_precision=6
    )


def _write_text(table: pd.DataFrame, path: Path) -> Callable[[Path], object]:
    turns = label_turns(table, path)
    recordings = {turn.recording for turn in turns}
    suffix = path.suffix.lower()
    if len(recordings) > 1 and suffix != ".rttm":
        raise TurnError(
            f"{path}: a file of this kind is of one recording, the turns are of "
            f"{len(recordings):,}; write the turns of each by themselves"
        )
    recording = next(iter(recordings), None)
    if suffix == ".rttm":
        text = format_rttm(turns)
    elif suffix == ".vtt":
        text = format_webvtt(turns)
    elif suffix == ".eaf":
        text = format_elan(turns, recording)
    else:
        end = max((turn.end for turn in turns), default=0.0)
        text = format_textgrid(turns, max(_measure(recording) or 0.0, end))
    return lambda place: place.write_text(text, "utf-8", newline="\n")


def label_turns(table: pd.DataFrame, path: Path) -> list[LabelledTurn]:
    """Returns the rows that have a place in time; the others are counted."""
    probabilities = table[[name for name in table if str(name).startswith("p_")]]
    turns, left_out = [], 0
    lengths: dict[str | None, float | None] = {}
    for number, row in enumerate(table.to_dict("records")):
        cells = {str(name): None if _is_missing(cell) else cell for name, cell in row.items()}
        recording = cells.get("recording", cells.get("audio"))
        if recording not in lengths:
            lengths[recording] = _measure(recording)
        start, end = cells.get("start") or 0.0, cells.get("end")
        end = lengths[recording] if end is None else end
        confidence = cells.get("confidence")
        if "confidence" not in table and cells.get("emotion") and probabilities.shape[1]:
            confidence = float(probabilities.iloc[number].max())
        if end is None or end <= start:
            left_out += 1
            continue
        channel = cells.get("channel")
        turns.append(
            LabelledTurn(
                start=start,
                end=end,
                recording=recording,
                channel=None if channel is None else int(channel),
                confidence=confidence,
                emotion=cells.get("emotion" if "emotion" in table else "sentiment"),
                **{name: cells.get(name) for name in ("speaker", "text")},
            )
        )
    if left_out:
        print(f"{path}: {left_out:,} turns have no place in time, and are left out")
    return turns


def _is_missing(cell: object) -> bool:
    return (
        cell is None
        or cell is pd.NA
        or cell is pd.NaT
        or (isinstance(cell, float) and cell != cell)
    )


def _measure(recording: str | None) -> float | None:
    try:
        return None if recording is None else measure_seconds(recording)
    except AudioError:
        return None
