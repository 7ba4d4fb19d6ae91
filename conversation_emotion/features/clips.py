"""The clips of utterances: where their sound is, how long it is, and which are decoded at once."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from tqdm import tqdm

from conversation_emotion.features.key import FileDigests, text_digest
from conversation_emotion.utterances.audio import AudioError, measure_seconds
from conversation_emotion.utterances.sound_files import locate, printable

Advance = Callable[[float], object]
"""Takes the seconds of audio that are done."""

CLIPS_AT_ONCE, SECONDS_AT_ONCE = 64, 600.0
"""Clips that are encoded while as many are decoded ahead, at most so many, of so much sound."""

BAR = {"delay": 3, "leave": False}
"""A progress bar is shown once the work has gone on for a few seconds."""


_SECONDS_BAR = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_noinv_fmt}]"
"""Also a slow rate is seconds of audio in a second, and not the other way round."""


class AudioBar(tqdm):
    """A progress bar of seconds of audio, and of how many of them are done in a second."""

    def __init__(self, seconds: float) -> None:
        super().__init__(
            total=round(seconds),
            unit=" s of audio",
            bar_format=_SECONDS_BAR,
            delay=3,
            leave=False,
        )

    @property
    def format_dict(self) -> dict[str, Any]:
        """What is shown, in whole seconds."""
        return {**super().format_dict, "n": round(self.n)}


class Clip(NamedTuple):
    """Sound of an utterance: the key of its content, its file, and its place there."""

    utterance_id: str
    content: str
    path: Path
    place: dict[str, Any]


def list_clips(
    utterances: pd.DataFrame, digests: FileDigests, failures: dict[str, str]
) -> Iterator[Clip]:
    """Yields the clips that exist with the key of their content; notes the files that do not."""
    columns = ["utterance_id", "audio", "speed", "offset", "duration", "channel"]
    if "speed" not in utterances:
        utterances = utterances.assign(speed=1.0)
    named = utterances.loc[utterances["audio"].notna(), columns]
    rows = named.itertuples(index=False)
    for utterance_id, audio, speed, *place in tqdm(rows, total=len(named), unit=" files", **BAR):
        offset, duration, channel = (None if pd.isna(value) else value for value in place)
        try:
            path = locate(audio)
            content = f"{digests.digest(path)}-{offset}-{duration}-{channel}"
        except (OSError, ValueError) as error:  # a name may hold bytes that no file's name can
            why = getattr(error, "strerror", None) or error
            failures[utterance_id] = f"{printable(audio)}: {why}"
            continue
        if speed != 1:
            content += f" at {speed:g}"
        channel = None if channel is None else int(channel)
        place = {"offset": offset, "duration": duration, "channel": channel, "speed": speed}
        yield Clip(utterance_id, text_digest(content), path, place)
    digests.save()


def measure_clips(utterances: pd.DataFrame, ids: Set[str]) -> dict[str, float]:
    """Returns the seconds of audio of utterances by id, by headers of files; 0 of broken ones."""
    chosen = utterances[utterances["utterance_id"].isin(ids)]
    if "seconds" in chosen:
        return dict(zip(chosen["utterance_id"], chosen["seconds"], strict=True))
    speeds = chosen["speed"].to_numpy(float) if "speed" in chosen else 1.0
    lengths: dict[str, float] = {}
    found = []
    places = (chosen[name] for name in ("audio", "offset", "duration"))
    for audio, offset, duration in zip(*places, strict=True):
        if pd.isna(duration) and not pd.isna(audio) and audio not in lengths:
            lengths[audio] = 0.0
            with suppress(AudioError):  # said where it is read
                lengths[audio] = measure_seconds(audio)
        rest = lengths.get(audio, 0.0) - (0.0 if pd.isna(offset) else offset)
        found.append(0.0 if pd.isna(audio) else rest if pd.isna(duration) else duration)
    seconds = (np.array(found, dtype=float) / speeds).clip(min=0.0).tolist()
    return dict(zip(chosen["utterance_id"], seconds, strict=True))


@contextmanager
def count_seconds(seconds: float, advance: Advance | None) -> Iterator[Advance]:
    """Yields what takes the seconds of audio that are done: ``advance``, or a bar."""
    if advance is not None:
        yield advance
        return
    with AudioBar(seconds) as bar:
        yield bar.update


def cut_by_length(clips: Iterable[Clip], seconds: Mapping[str, float]) -> Iterator[list[Clip]]:
    """Cuts clips into lists that are decoded at once."""
    some: list[Clip] = []
    total = 0.0
    for clip in clips:
        total += seconds[clip.utterance_id]
        if some and (len(some) == CLIPS_AT_ONCE or total > SECONDS_AT_ONCE):
            yield some
            some, total = [], seconds[clip.utterance_id]
        some.append(clip)
    if some:
        yield some
