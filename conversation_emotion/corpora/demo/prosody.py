"""How emotions sound: ten voices, and rate, pitch, range and loudness that follow the emotion."""

from typing import NamedTuple

import numpy as np


class Prosody(NamedTuple):
    """The settings of one utterance, in the units of espeak-ng.

    Attributes:
        rate: Words per minute.
        pitch: Base pitch, 0 to 99.
        pitch_range: Range of the pitch in percent of the voice's own.
        loudness: Amplitude, 0 to 200; the voices clip from about 135.
    """

    rate: int
    pitch: int
    pitch_range: int
    loudness: int


class Speaker(NamedTuple):
    """A voice of espeak-ng.

    Attributes:
        name: Such as Ses01_F: the session and the first letter of the gender.
        voice: Accent and variant, as ``espeak-ng -v`` takes them.
        neutral: How it speaks when neutral.
    """

    name: str
    voice: str
    neutral: Prosody

    @property
    def session(self) -> str:
        """The session, such as Ses01."""
        return self.name.partition("_")[0]

    @property
    def gender(self) -> str:
        """The gender, as the utterance table names it."""
        return "female" if self.name.endswith("F") else "male"


SPEAKERS: tuple[Speaker, ...] = (
    Speaker("Ses01_F", "en-us+f2", Prosody(172, 46, 90, 68)),
    Speaker("Ses01_M", "en-us+m3", Prosody(166, 48, 85, 72)),
    Speaker("Ses02_F", "en-gb+f3", Prosody(178, 42, 95, 70)),
    Speaker("Ses02_M", "en-gb+m1", Prosody(170, 44, 90, 66)),
    Speaker("Ses03_F", "en-us+f4", Prosody(168, 48, 85, 74)),
    Speaker("Ses03_M", "en-gb-scotland+m2", Prosody(174, 46, 95, 70)),
    Speaker("Ses04_F", "en-gb-x-rp+f1", Prosody(164, 44, 90, 66)),
    Speaker("Ses04_M", "en-us+m7", Prosody(176, 50, 80, 68)),
    Speaker("Ses05_F", "en-029+f5", Prosody(170, 45, 90, 72)),
    Speaker("Ses05_M", "en-gb-x-gbclan+m4", Prosody(172, 47, 90, 74)),
)
"""The ten speakers, two in each session."""

# Rate, pitch, range and loudness; the spread is wide enough for the emotions to overlap.
_EMOTION_SHIFTS = {
    "angry": np.array([18.0, 6.0, 20.0, 32.0]),
    "happy": np.array([16.0, 18.0, 55.0, 8.0]),
    "neutral": np.array([0.0, 0.0, -10.0, 0.0]),
    "sad": np.array([-30.0, -10.0, -30.0, -24.0]),
}
_AROUSAL_SHIFT = np.array([8.0, 3.0, 8.0, 6.0])
_DOMINANCE_SHIFT = np.array([0.0, -3.0, 0.0, 5.0])
_SPREAD = np.array([12.5, 6.0, 19.0, 8.0])
_LOWEST = np.array([105.0, 5.0, 10.0, 22.0])
_HIGHEST = np.array([245.0, 95.0, 220.0, 135.0])


def draw_prosody(
    speaker: Speaker,
    emotion: str,
    arousal: float,
    dominance: float,
    generator: np.random.Generator,
) -> Prosody:
    """Draws how a speaker says one utterance.

    Args:
        speaker: Who speaks.
        emotion: What the speaker feels.
        arousal: How far the arousal lies above what is usual for the emotion, in deviations.
        dominance: The same of the dominance.
        generator: Source of the deviation by which the emotions overlap.
    """
    settings = (
        np.array(speaker.neutral)
        + _EMOTION_SHIFTS[emotion]
        + arousal * _AROUSAL_SHIFT
        + dominance * _DOMINANCE_SHIFT
        + _SPREAD * generator.normal(size=len(speaker.neutral))
    )
    return Prosody(*np.clip(settings, _LOWEST, _HIGHEST).round().astype(int).tolist())
