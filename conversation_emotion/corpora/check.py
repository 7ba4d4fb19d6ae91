"""Checks a copy of a corpus: counts against the published ones, and every recording."""

from dataclasses import dataclass, field
from functools import cache

import pandas as pd
from tqdm import tqdm

from conversation_emotion.corpora.facts import Facts
from conversation_emotion.utterances.audio import (
    SAMPLE_RATE,
    AudioError,
    measure_seconds,
    read_audio,
)
from conversation_emotion.utterances.sound_files import locate
from conversation_emotion.utterances.table import has_text


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
    def num_named(self) -> int:
        """Utterances for which the corpus names a recording."""
        return len(self.seconds) + len(self.missing) + len(self.broken)

    @property
    def hours(self) -> float:
        """Hours of all that can be read."""
        return sum(self.seconds.values()) / 3600


@dataclass(frozen=True, kw_only=True)
class Findings:
    """All that a check finds out about a copy.

    Attributes:
        root: Folder of the copy.
        counts: Utterances and speakers.
        emotions: Utterances of each emotion.
        splits: Utterances of each part of the official split.
        absent: Speakers who are published but not there.
        unexpected: Speakers who are there but not published.
        num_unlabelled: Utterances without an emotion.
        num_with_text: Utterances with words.
        balance: Utterances of each emotion of each speaker.
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

    def require_recordings(self) -> None:
        """Raises where the corpus names recordings, and none of them can be read.

        Raises:
            ValueError: None can be read; the message gives the first reason.
        """
        found = self.recordings
        if found.num_named and not found.seconds:
            reasons = [*found.broken.values(), *(f"{name} is missing" for name in found.missing)]
            raise ValueError(
                f"{self.corpus}: none of {found.num_named:,} recordings can be read "
                f"({len(found.missing):,} missing, {len(found.broken):,} broken) under "
                f"{self.root}; first {reasons[0]}"
            )


def check_copy(
    utterances: pd.DataFrame,
    facts: Facts | None,
    *,
    corpus: str,
    root: str,
    recordings: Recordings,
) -> Findings:
    """Counts what is there, next to what is published.

    Args:
        utterances: The utterance table of the copy.
        facts: What is published, None if nothing is.
        corpus: Name of the corpus.
        root: Folder of the copy, for the report.
        recordings: What the recordings are like, see `measure_recordings`.
    """
    emotions, speakers = utterances["emotion"], utterances["speaker"].astype(str)
    published = facts or Facts(title=corpus, languages="", source="", grade="M", ask="")
    people, present = set(published.people), set(speakers)
    balance = pd.crosstab(speakers[emotions.notna()], emotions.dropna().astype(str))
    return Findings(
        corpus=corpus,
        root=root,
        counts={
            "utterances": Count(found=len(utterances), published=published.utterances),
            "speakers": Count(found=len(present), published=published.speakers),
        },
        emotions=_compare(emotions, published.emotions),
        splits=_compare(utterances["split"], published.splits),
        absent=sorted(people - present),
        unexpected=sorted(present - people) if people else [],
        num_unlabelled=int(emotions.isna().sum()),
        num_with_text=int(has_text(utterances).sum()),
        balance={
            str(speaker): {str(emotion): int(count) for emotion, count in row.items()}
            for speaker, row in balance.iterrows()
        },
        recordings=recordings,
    )


def measure_recordings(utterances: pd.DataFrame, *, decode: bool) -> Recordings:
    """Reads the header of every recording, or all of its samples, under a progress bar."""
    found = Recordings(is_decoded=decode)
    read_header = cache(measure_seconds)
    columns = utterances[["utterance_id", "audio", "offset", "duration", "channel"]].astype(object)
    clips = [*columns.where(columns.notna(), None).itertuples(index=False, name=None)]
    activity = "decoding recordings" if decode else "reading headers"
    for name, audio, offset, duration, channel in tqdm(
        clips, desc=activity, unit="clip", leave=False
    ):
        if audio is None:
            found.silent.append(name)
        elif not locate(audio).is_file():
            found.missing.append(name)
        else:
            try:
                if decode:
                    number = None if channel is None else int(channel)
                    waveform = read_audio(audio, offset=offset, duration=duration, channel=number)
                    found.seconds[name] = waveform.size / SAMPLE_RATE
                else:
                    seconds = read_header(audio)
                    found.seconds[name] = _measure_slice(audio, seconds, offset, duration)
            except AudioError as error:
                found.broken[name] = str(error)
    return found


def _measure_slice(
    audio: str, seconds: float, offset: float | None, duration: float | None
) -> float:
    """Seconds of the utterance, by the length of its file."""
    rest = seconds - (offset or 0.0)
    if rest <= 0:
        raise AudioError(
            f"{audio}: the utterance begins at {offset} s, but the audio ends at {seconds:.3f} s"
        )
    return rest if duration is None else min(rest, duration)


def _compare(labels: pd.Series, published: dict[str, int]) -> dict[str, Count]:
    """Counts each label that is there or published, by name."""
    found = labels.dropna().astype(str).value_counts()
    return {
        name: Count(found=int(found.get(name, 0)), published=published.get(name))
        for name in sorted({*found.index, *published})
    }
