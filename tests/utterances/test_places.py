"""Where emotions lie: a mean of their places, by their probabilities."""

import numpy as np

from conversation_emotion.utterances.places import PLACES, place_emotions


def test_a_row_lies_between_the_places_of_its_emotions():
    probabilities = np.array([[1.0, 0.0], [0.25, 0.75], [np.nan, np.nan]])
    placed = place_emotions(["anger", "sadness"], probabilities)
    assert placed.columns.tolist() == ["valence", "activation", "dominance"]
    np.testing.assert_allclose(placed.iloc[0], PLACES["anger"])
    np.testing.assert_allclose(placed.iloc[1], [-0.6, -0.055, -0.185])
    assert placed.iloc[2].isna().all()


def test_a_class_without_a_place_leaves_the_row_without_one():
    assert place_emotions(["anger", "other"], np.array([[1.0, 0.0]])).isna().all(axis=None)
