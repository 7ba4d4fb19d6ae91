"""Baselines that are given the gold emotions of train and of the past."""

import numpy as np

from conversation_emotion.tasks.baselines import predict_last_emotion, predict_majority
from conversation_emotion.utterances.labels import IGNORED
from tests.conversations import make_dialogues, make_windows


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
