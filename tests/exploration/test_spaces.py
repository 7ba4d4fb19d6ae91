"""Spaces of encoders: neighbours, and labels that they contradict."""

import numpy as np
import pytest

from conversation_emotion.exploration.spaces import find_doubts, lay_out


@pytest.fixture(scope="module")
def clusters() -> tuple[np.ndarray, np.ndarray]:
    """Thirty calm utterances and fifteen angry ones, far apart; the last of each is mislabelled."""
    states = np.random.default_rng(0).normal(size=(45, 8))
    states[30:] += 20
    numbers = np.repeat([0, 1], [30, 15])
    numbers[[29, 44]] = [1, 0]
    return states, numbers


def test_labels_that_neighbours_contradict_are_in_doubt(clusters):
    states, numbers = clusters
    found = find_doubts(states, range(100, 145), numbers)
    assert {(one.row, one.number, one.voted) for one in found} == {(129, 1, 0), (144, 0, 1)}
    assert all(one.share == 1.0 and one.own == 0.0 for one in found)


def test_the_most_frequent_class_does_not_win_by_its_number():
    states = np.zeros((40, 1))
    numbers = np.repeat([0, 1], [36, 4])
    states[36:] = 5 + np.arange(4)[:, None] / 10
    states[:7] = 5  # of ten neighbours of a rare utterance three are its own
    assert not [one for one in find_doubts(states, range(40), numbers) if one.number == 1]


def test_neighbours_share_a_class_or_a_speaker_more_often_than_by_chance(clusters):
    states, numbers = clusters
    speakers = ["A", "B", "C"] * 15
    texts = ["Yes", "No"] * 22 + [None]
    found = lay_out("made", states, range(45), numbers, speakers, texts)
    assert found is not None
    of_class, of_speaker, of_words = found.likeness
    # Neighbours lie in the same cluster; two mislabelled utterances, and whoever is near them.
    assert of_class.shared > 0.8
    assert of_class.chance == pytest.approx((30**2 + 15**2) / 45**2)
    assert (of_class.silhouette or 0) > 0.6
    assert of_speaker.shared < 0.6
    assert (of_words.what, of_words.chance) == ("words", 0.5)
    assert len(found.points) == 45
    assert min(map(min, found.points)) == 0.0
    assert max(map(max, found.points)) == 100.0
    assert lay_out("made", states[:4], range(4), numbers[:4], speakers[:4], texts[:4]) is None


def test_words_that_do_not_return_are_nothing_to_share(clusters):
    states, numbers = clusters
    texts = [f"Line {number}" for number in range(45)]
    found = lay_out("made", states, range(45), numbers, ["A"] * 45, texts)
    assert found is not None
    assert [one.what for one in found.likeness] == ["class"]
