"""Emotion as a task: class weights, scores, and the metric that selects."""

import numpy as np
import pytest

from conversation_emotion.settings.training import TrainingSettings
from conversation_emotion.tasks.class_weights import balanced_class_weights
from conversation_emotion.tasks.emotion import Predictions
from conversation_emotion.utterances.labels import IGNORED
from tests.small_tasks import Planted, make_utterances


def test_class_weights_make_each_class_count_alike():
    weights = balanced_class_weights(np.array([0, 0, 0, 1, IGNORED]), ("angry", "sad"))
    assert weights.tolist() == pytest.approx([4 / (2 * 3), 4 / (2 * 1)])


def test_a_class_that_train_lacks_is_an_error_before_training():
    with pytest.raises(ValueError, match="no example of sad; its classes are {'angry': 2, 'sad'"):
        balanced_class_weights(np.array([0, 0]), ("angry", "sad"))


@pytest.mark.parametrize(("metric", "best"), [("auto", 1), ("uar", 1), ("wa", 0)])
def test_the_metric_that_selects_can_be_chosen(metric, best):
    # Nine of class 0 and one of class 1: always 0 has the better WA, the mix the better UAR.
    targets = np.array([0] * 9 + [1])
    always = Predictions(np.tile([[1.0, 0.0]], (10, 1)).astype(np.float32), targets, targets)
    mixed = np.zeros((10, 2), dtype=np.float32)
    mixed[:6, 0] = mixed[6:, 1] = 1.0
    both = [one.scores() for one in (always, Predictions(mixed, targets, targets))]
    assert [scores["wa"] for scores in both] == pytest.approx([0.9, 0.7])
    assert [scores["uar"] for scores in both] == pytest.approx([0.5, 5 / 6])
    inputs = make_utterances(np.zeros((4, 1)), np.array([0, 1, 0, 1]), 2)
    task = Planted(inputs, TrainingSettings(select_by=metric), lambda: pytest.fail("is not built"))
    assert int(np.argmax([task.rank(scores) for scores in both])) == best
