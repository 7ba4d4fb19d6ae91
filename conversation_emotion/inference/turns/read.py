"""Reads turns that other tools or people gave, with their words and speakers where they have them.

.rttm                       who spoke when; the recording is found by the name in the file
.srt .vtt                   subtitles
.TextGrid .eaf              tiers of Praat and ELAN, one for each speaker
.json                       Whisper, WhisperX, FunASR, pipelines of transformers
.csv .jsonl .parquet        tables with the columns audio, text, speaker, start, end, channel,
                            language, or some of them
"""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

from conversation_emotion.corpora.annotations import find_recording, report
from conversation_emotion.inference.turns.given import Given
from conversation_emotion.inference.turns.rttm import read_rttm
from conversation_emotion.inference.turns.subtitles import read_subtitles
from conversation_emotion.inference.turns.tables import read_table
from conversation_emotion.inference.turns.tiers import read_elan, read_textgrid
from conversation_emotion.inference.turns.transcripts import read_transcript
from conversation_emotion.inference.turns.turn import Turn, TurnError
from conversation_emotion.utterances.audio import MIN_SECONDS, AudioError, measure_seconds
from conversation_emotion.utterances.sound_files import SUFFIXES, printable

READERS: dict[str, Callable[[Path], Iterator[Given]]] = {
    ".rttm": read_rttm,
    ".srt": read_subtitles,
    ".vtt": read_subtitles,
    ".textgrid": read_textgrid,
    ".eaf": read_elan,
    ".json": read_transcript,
    ".csv": read_table,
    ".jsonl": read_table,
    ".parquet": read_table,
}
"""By the suffix of a file, in lower case."""

_OVERRUN = 0.1  # seconds past the end of a recording that need no word


def read_turns(path: str | Path, audio: str | Path | None = None) -> list[Turn]:
    """Reads the turns of a file, in its order.

    A turn that cannot be used stays, with its ``problem``: one that ends before it starts, lies
    outside of its recording, has a time that is none, or has neither words nor a recording. Turns
    that end after their recording are shortened, turns that overlap another of their speaker are
    kept, and either is reported in a line.

    Args:
        path: File of turns.
        audio: Their recording, or a folder of recordings; None looks next to the file, for the name
            that the file gives, then for the file's own name.

    Raises:
        TurnError: The file is missing, of another format, not in UTF-8, broken or empty; the
            message is one line with its place.
    """
    path = Path(path)
    if not path.is_file():
        raise TurnError(f"{path}: {'is a folder' if path.is_dir() else 'there is no such file'}")
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise TurnError(f"{path}: ends in {path.suffix!r}, expected {', '.join(READERS)}")
    try:
        given = list(reader(path))
    except OSError as error:
        raise TurnError(f"{path}: cannot be read ({error.strerror})") from error
    if not given:
        raise TurnError(f"{path}: holds no turns")
    find = _Finder(path, None if audio is None else Path(audio), given)
    return _check_all(path, [(one, *find(one)) for one in given])


class _Finder:
    """Finds the recording of each turn, and why there is none."""

    def __init__(self, path: Path, audio: Path | None, given: Iterable[Given]) -> None:
        if audio is not None and not audio.exists():
            raise TurnError(f"{path}: its recording {audio} does not exist")
        self._path = path
        self._is_table = READERS[path.suffix.lower()] is read_table
        self._file = audio if audio is not None and audio.is_file() else None
        self._folder = path.parent if audio is None or self._file else audio
        names = {one.recording for one in given}
        self._is_one = len(names) == 1 and not self._is_table
        self._find = cache(self._search)

    def __call__(self, one: Given) -> tuple[str | None, str]:
        """Returns the recording of a turn, and why it has none where it should."""
        if self._is_table and one.recording is None:
            return None if self._file is None else printable(self._file), ""
        if self._file is not None and (self._is_one or one.recording in (None, self._file.stem)):
            return printable(self._file), ""
        found = self._find(one.recording)
        if found is not None:
            return printable(found), ""
        name = self._path.stem if one.recording is None else one.recording
        return None, f"no recording {name!r} in {self._folder or '.'}; name it with --audio"

    def _search(self, name: str | None) -> Path | None:
        """Returns the recording of a name with or without suffix, or named as the file of turns."""
        if self._is_table:
            found = find_recording(self._folder, str(name))
            return found if found.is_file() else None
        names = [self._path.stem, self._path.stem.rpartition(".")[0]] if self._is_one else []
        for stem in filter(None, [name, name and Path(name).stem, *names]):
            for candidate in (stem, *(f"{stem}{suffix}" for suffix in SUFFIXES)):
                file = self._folder / Path(candidate).name
                if file.suffix.lower() in SUFFIXES and file.is_file():
                    return file
        return None


def _check_all(path: Path, found: list[tuple[Given, str | None, str]]) -> list[Turn]:
    """Checks turns one by one, then those of a speaker against each other."""
    measure = cache(_measure)
    turns, overrun, overlapping = [], [], []
    last_ends: dict[tuple[object, ...], float] = {}
    for given, recording, why in found:
        turn = _check(given, recording, why, measure)
        seconds, _ = (None, "") if recording is None else measure(recording)
        if seconds is not None and turn.end is not None and not turn.problem:
            if turn.end > seconds + _OVERRUN:
                overrun.append(given.place)
            if turn.end > seconds:
                turn = replace(turn, end=round(seconds, 3))
        turns.append(turn)
        if turn.problem or turn.start is None or turn.end is None:
            continue
        voice = (turn.recording, turn.speaker, turn.channel)
        if turn.speaker is not None and turn.start < last_ends.get(voice, 0.0) - 1e-3:
            overlapping.append(given.place)
        last_ends[voice] = max(turn.end, last_ends.get(voice, 0.0))
    silent = [given.place for given, recording, why in found if why and given.text]
    report(path.name, "turns have words but no recording, and are kept", silent)
    report(path.name, "turns end after their recording, and are shortened", overrun)
    report(path.name, "turns overlap another of their speaker, and are kept", overlapping)
    return turns


def _measure(recording: str) -> tuple[float | None, str]:
    """Returns the length of a recording in seconds, or why it has none."""
    try:
        return measure_seconds(recording), ""
    except AudioError as error:
        return None, str(error)


def _check(
    given: Given,
    recording: str | None,
    why: str,
    measure: Callable[[str], tuple[float | None, str]],
) -> Turn:
    """Makes a turn; its times are numbers, or it has a problem."""
    text = given.text if given.text and given.text.strip() else None
    start, wrong_start = _read_seconds("starts", given.start)
    end, wrong_end = _read_seconds("ends", given.end)
    problem = given.problem or wrong_start or wrong_end or _compare(start, end)
    if not problem and recording is None and text is None:
        problem = why or "has neither words nor a recording"
    if not problem and recording is not None:
        seconds, problem = measure(recording)
        if seconds is not None and (start or 0.0) > seconds - MIN_SECONDS:
            problem = (
                f"starts at {start or 0.0:g} s, outside of {recording}, which has {seconds:g} s"
            )
    return Turn(
        recording=recording,
        start=start,
        end=end,
        speaker=given.speaker,
        text=text,
        language=given.language,
        channel=given.channel,
        problem=f"{given.place}: {problem}" if problem else "",
    )


def _read_seconds(what: str, value: object) -> tuple[float | None, str]:
    """Returns a time in seconds, None where there is none; and what is wrong with it."""
    if value is None:
        return None, ""
    try:
        seconds = float(value) if isinstance(value, str | int | float) else math.nan
    except ValueError:
        seconds = math.nan
    if not math.isfinite(seconds):
        return None, f"{what} at {value!r}, expected seconds"
    if seconds < 0:
        return None, f"{what} at {seconds:g} s, expected 0 s or more"
    return round(seconds, 6), ""


def _compare(start: float | None, end: float | None) -> str:
    begin = start or 0.0
    if end is None:
        return ""
    if end < begin:
        return f"ends at {end:g} s, before it starts at {begin:g} s"
    if end - begin < MIN_SECONDS:
        return f"lasts {1000 * (end - begin):.0f} ms, expected {1000 * MIN_SECONDS:.0f} ms or more"
    return ""
