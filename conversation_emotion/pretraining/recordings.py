"""Recordings to pre-train on: folder trees of audio and corpora of the suite, without labels."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from tqdm import tqdm

from conversation_emotion.corpora import load_corpus
from conversation_emotion.settings.corpus import list_corpora
from conversation_emotion.settings.pretraining import AudioSettings
from conversation_emotion.utterances.audio import AudioError, measure_seconds
from conversation_emotion.utterances.sound_files import (
    SUFFIXES,
    SoundFiles,
    count_suffixes,
    find_sound,
)


class Clip(NamedTuple):
    """A piece of a recording from ``offset`` on, in seconds; channel None is the mean of all."""

    path: str
    offset: float
    seconds: float
    channel: int | None = None


class Recordings(NamedTuple):
    """The clips of one source, in an order that does not depend on the machine.

    ``broken`` is why a file cannot be used, by path; ``num_short`` clips are left out as too short;
    ``passed_over`` counts the other files by suffix.
    """

    name: str
    clips: list[Clip]
    broken: dict[str, str]
    num_short: int
    passed_over: str = ""

    @property
    def hours(self) -> float:
        """Hours of audio."""
        return sum(clip.seconds for clip in self.clips) / 3600


def find_sources(settings: AudioSettings) -> list[Recordings]:
    """Returns the clips of every source; errors as of `find_recordings`."""
    return [
        find_recordings(root, min_seconds=settings.min_seconds, max_seconds=settings.max_seconds)
        for root in settings.root
    ]


def find_recordings(source: str, *, min_seconds: float, max_seconds: float) -> Recordings:
    """Returns all clips of a source, measured by their headers.

    Args:
        source: A file; or a folder, searched with all its subfolders; or ``NAME=ROOT`` with a
            name in `list_corpora`, ``demo=`` for the corpus in the package.
        min_seconds: Shorter clips are left out.
        max_seconds: Longer ones are cut into equal pieces.

    Raises:
        FileNotFoundError: There is no such folder, or no audio in it.
        ValueError: No corpus has this name, or its files break their format.
    """
    name, is_corpus, root = source.partition("=")
    passed_over = ""
    if is_corpus and name in list_corpora():
        wanted = list(_read_corpus(load_corpus(name, root or None)))
    else:
        found = _search(Path(source).expanduser())
        wanted = [Clip(str(path), 0.0, 0.0) for path in found.sound]
        passed_over = count_suffixes(found.others)
    if not wanted:
        raise FileNotFoundError(
            f"{source}: no audio found, expected files that end in {', '.join(SUFFIXES)}"
            + (f"; passed over: {passed_over}" if passed_over else "")
        )
    measured = _measure_all(source, wanted, min_seconds, max_seconds)
    return measured._replace(passed_over=passed_over)


def utterance_recordings(
    name: str, utterances: pd.DataFrame, *, min_seconds: float, max_seconds: float
) -> Recordings:
    """Returns the clips of a table of utterances, for instance those of a train part."""
    return _measure_all(name, list(_read_corpus(utterances)), min_seconds, max_seconds)


def _measure_all(
    source: str, wanted: Sequence[Clip], min_seconds: float, max_seconds: float
) -> Recordings:
    clips, broken, num_short = [], {}, 0
    with ThreadPoolExecutor(max_workers=8) as pool:
        lengths = pool.map(_measure, wanted)
        progress = tqdm(lengths, desc=f"measuring {source}", total=len(wanted), leave=False)
        for clip, measured in zip(wanted, progress, strict=True):
            if isinstance(measured, str):
                broken[clip.path] = measured
            elif measured < min_seconds:
                num_short += 1
            else:
                clips += _cut(clip._replace(seconds=measured), max_seconds)
    return Recordings(source, clips, broken, num_short)


def _search(place: Path) -> SoundFiles:
    if not place.exists():
        raise FileNotFoundError(
            f"{place}: no such folder; pass a folder of audio, or NAME=ROOT with a corpus of "
            f"{', '.join(list_corpora())}"
        )
    return find_sound(place)


def _read_corpus(utterances: pd.DataFrame) -> Iterator[Clip]:
    """Yields the utterances that have audio; a length of 0 is not yet measured."""
    audible = utterances[utterances["audio"].notna()]
    for row in audible[["audio", "offset", "duration", "channel"]].itertuples(index=False):
        offset, seconds, channel = (0.0 if pd.isna(value) else float(value) for value in row[1:])
        yield Clip(str(row[0]), offset, seconds, None if pd.isna(row[3]) else int(channel))


def _measure(clip: Clip) -> float | str:
    """Returns the seconds of a clip, or why it cannot be read."""
    try:
        available = measure_seconds(clip.path) - clip.offset
    except AudioError as error:
        return str(error)
    return min(clip.seconds or available, available)


def _cut(clip: Clip, max_seconds: float) -> Iterable[Clip]:
    """Cuts a clip into the fewest equal pieces of at most a length."""
    num_pieces = max(1, -int(-clip.seconds // max_seconds))
    seconds = clip.seconds / num_pieces
    for number in range(num_pieces):
        yield clip._replace(offset=clip.offset + number * seconds, seconds=seconds)


def describe(recordings: Sequence[Recordings]) -> Iterator[str]:
    """Describes what was found and left out, a line for each source and each broken file."""
    for source in recordings:
        short = f", {source.num_short} too short" if source.num_short else ""
        yield f"{source.name}: {len(source.clips):,} clips, {source.hours:.2f} hours{short}"
        if source.passed_over:
            yield f"  passed over: {source.passed_over}"
        for why in source.broken.values():
            yield f"  skipped: {why}"
