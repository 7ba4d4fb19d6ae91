"""The sound of a corpus: the levels of every recording, and recordings that utterances share."""

import dataclasses
import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from conversation_emotion.corpora.check import Recordings
from conversation_emotion.features.clips import Clip, list_clips
from conversation_emotion.features.database import CacheTable
from conversation_emotion.features.key import FileDigests
from conversation_emotion.utterances.audio import explain, read_native
from conversation_emotion.utterances.levels import Levels, measure_levels
from conversation_emotion.utterances.sound_files import locate, printable

FORMAT = 1
"""Number in the cache; grows when the same sound gives other levels."""

AT_ONCE = 512
"""Clips after which what was measured is kept; a kill loses no more than these."""

MOST_SHARED = 30
"""Recordings of several utterances that are listed, and utterances of each."""

_NUMBERS = ("seconds", "level", "peak", "clipped", "silence")


@dataclass(frozen=True, kw_only=True)
class Sound:
    """The sound of each utterance of a table.

    Attributes:
        levels: A row per utterance: ``seconds``, ``level``, ``peak``, ``clipped``, ``silence``, NaN
            without sound, and ``digest``, missing then; see `Levels`.
        num_named: Utterances for which the corpus names a recording.
        failures: Why the others of these cannot be read, by utterance id.
    """

    levels: pd.DataFrame
    num_named: int
    failures: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Shared:
    """Utterances with the very same samples.

    Attributes:
        utterance_ids: The first `MOST_SHARED` of them.
        count: Of all.
        differs: Columns in which they differ.
    """

    utterance_ids: tuple[str, ...]
    count: int
    differs: tuple[str, ...]


def measure_sound(utterances: pd.DataFrame, cache: Path) -> Sound:
    """Reads every recording once, under a progress bar; the cache keeps what was measured."""
    failures: dict[str, str] = {}
    clips = list(list_clips(utterances, FileDigests(cache / "digests.db"), failures))
    table = CacheTable(cache / "levels.db", "levels", ("content", "levels"))
    kept = table.read(_key(clip) for clip in clips)
    found = {key: Levels(**json.loads(levels)) for key, (levels,) in kept.items()}
    new = list({_key(clip): clip for clip in clips if _key(clip) not in found}.values())
    broken: dict[str, str] = {}
    with tqdm(total=len(new), desc="levels", unit=" clips", delay=3, leave=False) as bar:
        for first in range(0, len(new), AT_ONCE):
            measured = dict(_measure(new[first : first + AT_ONCE], broken, bar))
            texts = {key: json.dumps(dataclasses.asdict(one)) for key, one in measured.items()}
            table.write(texts.items())
            found |= measured
    rows = {clip.utterance_id: found[_key(clip)] for clip in clips if _key(clip) in found}
    for clip in clips:
        if why := broken.get(_key(clip)):
            failures[clip.utterance_id] = why
    return Sound(
        levels=_tabulate([rows.get(name) for name in utterances["utterance_id"]]),
        num_named=int(utterances["audio"].notna().sum()),
        failures=failures,
    )


def as_recordings(utterances: pd.DataFrame, sound: Sound) -> Recordings:
    """Returns what was found as a check of the corpus has it."""
    names = utterances["utterance_id"]
    seconds = sound.levels["seconds"]
    is_there = utterances["audio"].map(
        lambda audio: isinstance(audio, str) and locate(audio).is_file()
    )
    lost = names[names.isin(sound.failures.keys())]
    return Recordings(
        seconds=dict(zip(names[seconds.notna()], seconds.dropna(), strict=True)),
        silent=names[utterances["audio"].isna()].tolist(),
        missing=lost[~is_there[lost.index]].tolist(),
        broken={name: sound.failures[name] for name in lost[is_there[lost.index]]},
        is_decoded=True,
    )


def find_shared(
    utterances: pd.DataFrame, sound: Sound, columns: Sequence[str]
) -> tuple[int, tuple[Shared, ...]]:
    """Counts recordings that several utterances have, and lists those that differ in most columns.

    Returns:
        Their number, and the first `MOST_SHARED` of them.
    """
    digests = sound.levels["digest"]
    repeated = digests[digests.notna() & digests.duplicated(keep=False)]
    if repeated.empty:
        return 0, ()
    grouped = (
        utterances.loc[repeated.index, list(columns)].astype(str).groupby(repeated, sort=False)
    )
    differs = grouped.nunique() > 1
    order = differs.sum(axis=1).sort_values(ascending=False, kind="stable")
    found = []
    for digest in order.index[:MOST_SHARED]:
        names = utterances.loc[repeated.index[repeated == digest], "utterance_id"]
        found.append(
            Shared(
                utterance_ids=tuple(map(str, names[:MOST_SHARED])),
                count=len(names),
                differs=tuple(differs.columns[differs.loc[digest]]),
            )
        )
    return len(order), tuple(found)


def _key(clip: Clip) -> str:
    return f"{FORMAT} {clip.content}"


def _measure(
    clips: Sequence[Clip], broken: dict[str, str], bar: tqdm
) -> Iterator[tuple[str, Levels]]:
    """Yields the levels of clips that can be read, and notes why others cannot."""

    def read(clip: Clip) -> Levels | str:
        place = {name: value for name, value in clip.place.items() if name != "speed"}
        try:
            return measure_levels(read_native(clip.path, **place))
        except Exception as error:  # of decoders, on one clip
            return explain(printable(clip.path), error)

    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as readers:
        for clip, levels in zip(clips, readers.map(read, clips), strict=True):
            bar.update()
            if isinstance(levels, str):
                broken[_key(clip)] = levels
            else:
                yield _key(clip), levels


def _tabulate(levels: Sequence[Levels | None]) -> pd.DataFrame:
    columns = {
        name: [None if one is None else getattr(one, name) for one in levels]
        for name in (*_NUMBERS, "digest")
    }
    table = pd.DataFrame(columns)
    return table.astype({**dict.fromkeys(_NUMBERS, "float64"), "digest": object})
