"""Checks a copy of a corpus: counts against the published ones, and every recording."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from tqdm import tqdm

from conversation_emotion.corpora.facts import Facts
from conversation_emotion.utterances.audio import (
    SAMPLE_RATE,
    AudioError,
    measure_seconds,
    read_audio,
)
from conversation_emotion.utterances.table import has_text


class _Clip(NamedTuple):
    """Where the speech of an utterance is; the names are columns of the utterance table."""

    utterance_id: str
    audio: str | None
    offset: float | None
    duration: float | None
    channel: float | None


@dataclass(frozen=True, kw_only=True)
class Count:
    """How many were found of something, and how many are published, None if no number is."""

    found: int
    published: int | None = None

    @property
    def differs(self) -> bool:
        """Whether another number is published."""
        return self.published is not None and self.found != self.published


@dataclass(frozen=True, kw_only=True)
class Recordings:
    """What the recordings are like.

    Attributes:
        seconds: Length of each utterance's recording, or of its slice.
        silent: Utterances for which the corpus names no recording.
        missing: Utterances whose recording is not there.
        broken: What is wrong with the recordings of other utterances.
        is_decoded: Whether every sample was read, not only the header.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    silent: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)
    is_decoded: bool = False

    @property
    def hours(self) -> float:
        """Hours of all that can be read."""
        return sum(self.seconds.values()) / 3600


@dataclass(frozen=True, kw_only=True)
class Findings:
    """All that a check finds out about a copy.

    Attributes:
        corpus: Name of the corpus.
        root: Folder of the copy.
        counts: Utterances and speakers.
        emotions: Utterances of each emotion.
        splits: Utterances of each part of the official split.
        absent: Speakers who are published but not there.
        unexpected: Speakers who are there but not published.
        num_unlabelled: Utterances without an emotion.
        num_with_text: Utterances with words.
        balance: Utterances of each emotion of each speaker.
        recordings: What the recordings are like.
    """

    corpus: str
    root: str
    counts: dict[str, Count]
    emotions: dict[str, Count]
    splits: dict[str, Count]
    absent: list[str]
    unexpected: list[str]
    num_unlabelled: int
    num_with_text: int
    balance: dict[str, dict[str, int]]
    recordings: Recordings

    def differences(self) -> list[str]:
        """Names the counts that differ from the published ones."""
        named = {**self.counts, **self.emotions, **self.splits}
        return [name for name, count in named.items() if count.differs]


def check_copy(
    utterances: pd.DataFrame, facts: Facts | None, *, corpus: str, root: str, decode: bool
) -> Findings:
    """Counts what is there, and looks at every recording.

    Args:
        utterances: The utterance table of the copy.
        facts: What is published, None if nothing is.
        corpus: Name of the corpus.
        root: Folder of the copy, for the report.
        decode: Read every sample, not only the headers.
    """
    emotions, speakers = utterances["emotion"], utterances["speaker"].astype(str)
    people = set(facts.people) if facts else set()
    present = set(speakers)
    return Findings(
        corpus=corpus,
        root=root,
        counts={
            "utterances": Count(
                found=len(utterances), published=facts.utterances if facts else None
            ),
            "speakers": Count(found=len(present), published=facts.speakers if facts else None),
        },
        emotions=_compare(emotions, facts.emotions if facts else {}),
        splits=_compare(utterances["split"], facts.splits if facts else {}),
        absent=sorted(people - present),
        unexpected=sorted(present - people) if people else [],
        num_unlabelled=int(emotions.isna().sum()),
        num_with_text=int(has_text(utterances).sum()),
        balance=_balance(speakers, emotions),
        recordings=measure_recordings(utterances, decode=decode),
    )


def measure_recordings(utterances: pd.DataFrame, *, decode: bool) -> Recordings:
    """Reads the header of every recording, or all of its samples, under a progress bar."""
    found = Recordings(is_decoded=decode)
    measure = _decode if decode else partial(_read_header, measure=cache(measure_seconds))
    activity = "decoding recordings" if decode else "reading headers"
    for clip in tqdm(_list_clips(utterances), desc=activity, unit="clip", leave=False):
        if clip.audio is None:
            found.silent.append(clip.utterance_id)
        elif not Path(clip.audio).is_file():
            found.missing.append(clip.utterance_id)
        else:
            try:
                found.seconds[clip.utterance_id] = measure(clip)
            except AudioError as error:
                found.broken[clip.utterance_id] = str(error)
    return found


def _list_clips(utterances: pd.DataFrame) -> list[_Clip]:
    columns = utterances[list(_Clip._fields)].astype(object)
    given = columns.where(columns.notna(), None)
    return [_Clip(*row) for row in given.itertuples(index=False)]


def _read_header(clip: _Clip, measure: Callable[[str], float]) -> float:
    """Seconds of the utterance, by the length of its file."""
    seconds = measure(str(clip.audio))
    rest = seconds - (clip.offset or 0.0)
    if rest <= 0:
        raise AudioError(
            f"{clip.audio}: the utterance begins at {clip.offset} s, but the audio ends at "
            f"{seconds:.3f} s"
        )
    return rest if clip.duration is None else min(rest, clip.duration)


def _decode(clip: _Clip) -> float:
    channel = None if clip.channel is None else int(clip.channel)
    waveform = read_audio(
        str(clip.audio), offset=clip.offset, duration=clip.duration, channel=channel
    )
    return waveform.size / SAMPLE_RATE


def _compare(labels: pd.Series, published: dict[str, int]) -> dict[str, Count]:
    """Counts each label that is there or published, by name."""
    found = labels.dropna().astype(str).value_counts()
    return {
        name: Count(found=int(found.get(name, 0)), published=published.get(name))
        for name in sorted({*found.index, *published})
    }


def _balance(speakers: pd.Series, emotions: pd.Series) -> dict[str, dict[str, int]]:
    named = pd.crosstab(speakers[emotions.notna()], emotions.dropna().astype(str))
    return {
        str(speaker): {str(emotion): int(count) for emotion, count in row.items()}
        for speaker, row in named.iterrows()
    }
