"""How a recording becomes turns, and the turns get speakers."""

from dataclasses import dataclass
from typing import Literal

from conversation_emotion.settings.flags import check_at_least, check_share

Speakers = Literal["auto", "channels", "clusters", "unknown"]

TABLES = (".csv", ".jsonl", ".parquet")
"""Endings, in lower case, of files that hold all columns."""


@dataclass(frozen=True, kw_only=True)
class SegmentSettings:
    """Where turns begin and end."""

    speech_threshold: float = 0.5
    """Probability of speech at which a turn begins; it pauses where that is 0.15 lower."""

    min_turn: float = 0.25
    """Seconds of speech below which a turn is dropped."""

    max_turn: float = 20.0
    """Seconds at which a turn is cut, where speech is least probable in its second half."""

    min_pause: float = 0.4
    """Seconds without speech that end a turn."""

    padding: float = 0.1
    """Seconds kept before and after the speech of a turn; at most half of --min-pause."""

    crosstalk: float = 15.0
    """Decibels by which a channel must be less loud than another with speech for its own speech to
    count as crosstalk, which is ignored; where each channel is a speaker."""

    def __post_init__(self) -> None:
        check_share(self, "speech_threshold", within="(0, 1)")
        check_at_least(self, 0, "min_turn", "padding", "crosstalk")
        check_at_least(self, 0.064, "min_pause")
        if self.max_turn < max(1.0, 2 * self.min_turn):
            raise ValueError(
                f"--max-turn must be 1 second or more and twice --min-turn, got {self.max_turn}"
            )
        if 2 * self.padding > self.min_pause:
            raise ValueError(
                f"--padding must be at most half of --min-pause {self.min_pause:g}, "
                f"got {self.padding}"
            )


@dataclass(frozen=True, kw_only=True)
class TurnSettings(SegmentSettings):
    """How a recording becomes turns, and who speaks them."""

    speakers: Speakers = "auto"
    """Who speaks: each channel of the file is a speaker; or turns are clustered by voice; or nobody
    knows. auto takes channels where each has a voice of its own, else clusters where there is
    --num-speakers or an encoder of speakers, else leaves them unknown."""

    num_speakers: int | None = None
    """Speakers of each recording, for clusters; none finds how many by --speaker-distance."""

    speaker_encoder: str | None = None
    """Speech encoder whose states tell voices apart; none takes speechbrain's ECAPA where it is at
    hand, else what works best without a download. A hub id or folder of an ECAPA of speechbrain,
    or any --speech-encoder."""

    speaker_distance: float | None = None
    """Mean cosine distance between turns of two clusters above which they are two speakers; none is
    the one that fits the encoder."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least(self, 1, "num_speakers")
        if self.speaker_distance is not None and not 0 < self.speaker_distance < 2:
            raise ValueError(
                f"--speaker-distance must lie between 0 and 2, got {self.speaker_distance}"
            )
        if self.num_speakers is not None and self.speaker_distance is not None:
            raise ValueError("--speaker-distance has no effect with --num-speakers")
        if self.speakers in ("channels", "unknown"):
            for name in ("num_speakers", "speaker_encoder", "speaker_distance"):
                if getattr(self, name) is not None:
                    flag = "--" + name.replace("_", "-")
                    raise ValueError(f"{flag} has no effect with --speakers {self.speakers}")
