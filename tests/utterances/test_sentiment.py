"""Polarity and strength of sentiments."""

import numpy as np
import pandas as pd
import pytest

from conversation_emotion.utterances.labels import map_labels
from conversation_emotion.utterances.sentiment import name_polarities, polarity_map, read_strengths


def test_numbers_have_the_polarity_of_their_sign_and_words_are_taken_as_they_are():
    named = name_polarities(pd.Series(["-0.4", "0", "2.4", "negative", "neutral", None]))
    assert named.fillna("?").tolist() == [
        "negative",
        "neutral",
        "positive",
        "negative",
        "neutral",
        "?",
    ]


def test_a_sentiment_that_is_neither_word_nor_number_raises():
    with pytest.raises(ValueError, match=r"sentiment 'joy' \(row 1, 2 such in all\)"):
        name_polarities(pd.Series(["positive", "joy", "anger"]))


def test_neutral_is_left_out_and_counted_unless_it_is_a_class():
    named = pd.Series(["negative", "neutral", "positive", "neutral", None])
    two = map_labels(named, polarity_map("mine", with_neutral=False))
    assert two.classes.tolist() == [0, -100, 1, -100, -100]
    assert (two.num_dropped, two.num_unlabelled) == ({"neutral": 2}, 1)
    three = map_labels(named, polarity_map("mine", with_neutral=True))
    assert three.classes.tolist() == [0, 1, 2, 1, -100]


def test_strengths_are_read_from_numbers_alone():
    np.testing.assert_array_equal(read_strengths(pd.Series(["1.5", None, "-3"])), [1.5, np.nan, -3])
    with pytest.raises(ValueError, match=r"found: negative, positive\); numbers from -3 to 3"):
        read_strengths(pd.Series(["positive", "negative"]))
    with pytest.raises(ValueError, match=r"sentiment 'positive' \(row 1\) is no number"):
        read_strengths(pd.Series(["1.5", "positive"]))
