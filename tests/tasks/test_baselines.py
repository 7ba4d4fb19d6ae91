"""Baselines: the majority, the emotions before, the words before."""

from dataclasses import replace

import numpy as np
import pandas as pd

from conversation_emotion.tasks.baselines import (
    choose,
    find_last,
    fit_last_words,
    fit_markov,
    join_last_words,
    predict_last_emotion,
    predict_majority,
)
from conversation_emotion.utterances.labels import IGNORED
from tests.conversations import make_dialogues, make_windows
from tests.datasets.test_windows import talk


def test_baselines_predict_the_commonest_and_the_latest_gold_emotion():
    table = make_dialogues(1, 5)
    classes = np.array([2, 1, IGNORED, 1, 0])
    windows = make_windows(table, classes)
    assert windows.target_rows.tolist() == [1, 3, 4]
    assert predict_majority(windows, windows).tolist() == [1, 1, 1]
    assert predict_last_emotion(windows, windows, classes).tolist() == [2, 1, 1]


def test_the_last_emotion_of_recognition_is_not_the_target():
    table = make_dialogues(1, 3)
    classes = np.array([2, 1, 0])
    windows = make_windows(table, classes, horizon=0)
    # The first has nothing before it: the commonest class of train, by its lowest number, is 0.
    assert predict_last_emotion(windows, windows, classes).tolist() == [0, 2, 1]


def test_the_last_emotion_is_that_of_the_speaker_or_of_the_others():
    classes = np.array([2, 1, IGNORED, 0, 1])  # speakers take turns
    windows = make_windows(make_dialogues(1, 5), classes)
    assert windows.target_rows.tolist() == [1, 3, 4]
    assert find_last(windows, classes, of_speaker=True).tolist() == [IGNORED, 1, 2]
    assert find_last(windows, classes, of_speaker=False).tolist() == [2, 2, 0]


def test_a_table_of_transitions_counts_with_the_classes_of_train_beforehand():
    classes = np.array([0, 0, 1, 0, 1])
    windows = make_windows(make_dialogues(1, 5), classes)
    # Targets 0 1 0 1 follow 0 0 1 0: classes of train are even, one target is there beforehand.
    table = fit_markov(windows, classes, 2, 1.0, 1).table
    np.testing.assert_allclose(table, [[1.5 / 4, 2.5 / 4], [1.5 / 2, 0.5 / 2], [0.5, 0.5]])
    both = fit_markov(windows, classes, 2, 1.0, 2)
    # The speaker had 1, the others 0, before the last target 1; nobody else's was ever like it.
    np.testing.assert_allclose(both(windows)[-1], [0.25, 0.75])
    np.testing.assert_allclose(both.table[2 * 3 + 2], [0.5, 0.5])


def test_of_equal_forecasts_the_first_is_chosen_and_else_the_best_on_valid():
    windows = make_windows(make_dialogues(1, 3), np.array([0, 1, 0]))
    forecasts = [lambda _, share=share: np.full((2, 2), share) for share in (0.1, 0.7, 0.7)]
    assert choose(forecasts, windows, lambda found, _: float(found[0, 0])) is forecasts[1]


def test_last_words_are_those_of_the_latest_turn_that_is_not_masked():
    table = talk("ABBA").assign(text=["one", "two", "", "three"])
    windows = make_windows(table, np.zeros(4, int))
    assert [one.split() for one in join_last_words(windows, table["text"])] == [["one"], ["two"]]
    masked = replace(windows, masked=windows.rows == 1)
    assert [one.split() for one in join_last_words(masked, table["text"])] == [["one"], []]


def test_words_of_the_last_turn_predict_what_they_foretell_and_signs_are_words():
    texts = pd.Series(["我很好", "x", "我不好", "x", "很", "x", "不", "x", "unheard", "x"])
    table = pd.concat([talk("AB", f"d{n}") for n in range(5)], ignore_index=True)
    windows = make_windows(table, np.array([0, 0, 0, 1, 0, 0, 0, 1, 0, 0]))
    train, rest = windows.select(np.arange(4)), windows.select(np.arange(4, 10))

    def rank(probabilities, some):
        return float((probabilities.argmax(axis=1) == some.targets).mean())

    words = fit_last_words(train, rest, texts, 2, rank, balanced=True)
    assert words is not None
    found = words(rest)
    assert found[:2].argmax(axis=1).tolist() == [0, 1]
    np.testing.assert_allclose(found.sum(axis=1), 1.0)
    empty = pd.Series([None] * 10, dtype=object)
    assert fit_last_words(train, rest, empty, 2, rank, balanced=True) is None
