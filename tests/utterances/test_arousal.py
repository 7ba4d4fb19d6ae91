"""Levels of arousal, by rating or by emotion."""

import numpy as np
import pandas as pd
import pytest

from conversation_emotion.corpora.emodb import EMOTIONS
from conversation_emotion.utterances.arousal import AROUSAL_OF_EMOTION, LEVELS, find_arousal_levels
from conversation_emotion.utterances.labels import IGNORED

LOW, HIGH = LEVELS.index("low"), LEVELS.index("high")


def table(emotions: list[str | None], ratings: list[float]) -> pd.DataFrame:
    return pd.DataFrame({"emotion": emotions, "arousal": ratings})


def test_a_rating_is_high_above_the_median_of_train():
    # Train is rated 1, 2 and 3; the fourth is rated as the median, the last not at all.
    utterances = table(["sad"] * 6, [1, 2, 3, 2, 2.5, np.nan])
    levels, said = find_arousal_levels(utterances, np.array([0, 1, 2, 5]))
    assert levels.tolist() == [LOW, LOW, HIGH, LOW, HIGH, IGNORED]
    assert said == "high is rated above 2, the median of train"


def test_without_ratings_the_emotion_tells():
    emotions = ["anger", "angry", "exc", "boredom", "neu", "contempt", None]
    levels, said = find_arousal_levels(table(emotions, [np.nan] * 7), np.array([0]))
    assert levels.tolist() == [HIGH, HIGH, HIGH, LOW, LOW, IGNORED, IGNORED]
    assert said == "no ratings, by emotion; low: boredom, neutral; high: anger, excitement"


def test_ratings_outside_train_do_not_choose_the_way():
    utterances = table(["anger", "sadness"], [np.nan, 1.0])
    levels, _ = find_arousal_levels(utterances, np.array([0]))
    assert levels.tolist() == [HIGH, LOW]


@pytest.mark.parametrize("emotion", EMOTIONS.values())
def test_every_emotion_of_emodb_has_a_level(emotion):
    assert AROUSAL_OF_EMOTION[emotion] in LEVELS
