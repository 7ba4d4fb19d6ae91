"""Valence, arousal, dominance and sentiment: noisy functions of the emotion, on a scale of 1 to 5.

Valence leans on what is said, arousal and dominance on how: their deviations from what is usual
for the emotion also move the voice.
"""

from typing import NamedTuple

import numpy as np

from conversation_emotion.corpora.demo.sentences import ANY_EMOTION

_USUAL = {
    "angry": (1.9, 4.0, 4.0),
    "happy": (4.2, 3.6, 3.4),
    "neutral": (3.0, 2.6, 3.0),
    "sad": (2.0, 2.0, 2.1),
}
"""Valence, arousal and dominance usual for an emotion."""

_TEXT_WEIGHT = 0.3
_DEVIATION = 0.4
_RATER_NOISE = 0.3
_STEP = 0.5


class Ratings(NamedTuple):
    """The ratings of one utterance, and the deviations that its voice shall carry.

    Attributes:
        valence: 1 (unpleasant) to 5 (pleasant), in steps of a half as the mean of two raters.
        arousal: 1 (calm) to 5 (excited).
        dominance: 1 (submissive) to 5 (in command).
        arousal_deviation: Arousal above what is usual for the emotion, in deviations.
        dominance_deviation: The same of the dominance.
    """

    valence: float
    arousal: float
    dominance: float
    arousal_deviation: float
    dominance_deviation: float


def draw_ratings(emotion: str, text_emotion: str, generator: np.random.Generator) -> Ratings:
    """Draws the ratings of an utterance.

    Args:
        emotion: What the speaker feels.
        text_emotion: The emotion that the sentence was written for.
        generator: Source of deviations and of the raters' noise.
    """
    valence, arousal, dominance = _USUAL[emotion]
    said = _USUAL["neutral" if text_emotion == ANY_EMOTION else text_emotion][0]
    arousal_deviation, dominance_deviation = generator.normal(size=2)
    noise = _RATER_NOISE * generator.normal(size=3)
    return Ratings(
        _on_scale((1 - _TEXT_WEIGHT) * valence + _TEXT_WEIGHT * said + noise[0]),
        _on_scale(arousal + _DEVIATION * arousal_deviation + noise[1]),
        _on_scale(dominance + _DEVIATION * dominance_deviation + noise[2]),
        float(arousal_deviation),
        float(dominance_deviation),
    )


def sentiment_of(valence: float) -> str:
    """Sentiment by valence: below 2.5 negative, above 3.5 positive, else neutral."""
    if valence < 2.5:
        return "negative"
    return "positive" if valence > 3.5 else "neutral"


def _on_scale(rating: float) -> float:
    """Rounds to half points between 1 and 5."""
    return float(np.clip(round(rating / _STEP) * _STEP, 1.0, 5.0))
