"""Shifts of emotion: how well their probability ranks them, with intervals over dialogues."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from conversation_emotion.evaluation.shift import (
    describe_shifts,
    score_shift,
    score_shifts,
    weigh_by_priors,
)
from conversation_emotion.utterances.labels import IGNORED


def make_table(targets, last, predicted=None) -> pd.DataFrame:
    numbers = np.arange(len(targets))
    return pd.DataFrame(
        {
            "utterance_id": numbers.astype(str),
            "dialogue_id": [f"d{n}" for n in numbers // 4],
            "fold": "only",
            "seed": 0,
            "target": targets,
            "last": last,
            "last_predicted": last if predicted is None else predicted,
        }
    )


def score(table, probabilities, reference="last"):
    return score_shift(table, probabilities, "shift_auc", last="last", reference=reference)


def test_the_area_counts_pairs_of_a_shift_and_a_stay_in_the_right_order():
    table = make_table([0, 1, 1, 0, 1], [0, 0, 0, 0, IGNORED])
    staying = np.array([0.9, 0.2, 0.5, 0.5, 0.0])
    # Shifts at 0.8 and 0.5, stays at 0.1 and 0.5: three pairs are right and one is a tie.
    found = score(table, np.stack([staying, 1 - staying], axis=1))
    assert found.score == pytest.approx(3.5 / 4)
    assert found.n == 4


@pytest.mark.parametrize(("num_values", "tolerance"), [(20, 1e-9), (2_000, 2e-3)])
def test_the_area_is_that_of_scikit_learn(num_values, tolerance):
    generator = np.random.default_rng(0)
    targets, last = generator.integers(2, size=(2, 1_000))
    first = (generator.integers(num_values, size=1_000) + 0.5) / num_values
    first = np.clip(first + 0.3 * (targets == 0), 0, 1)
    probabilities = np.stack([first, 1 - first], axis=1)
    found = score(make_table(targets, last), probabilities)
    expected = roc_auc_score(targets != last, 1 - probabilities[np.arange(1_000), last])
    assert found.score == pytest.approx(expected, abs=tolerance)
    assert found.low < found.score < found.high


def test_a_predicted_reference_changes_what_is_rated_and_not_what_a_shift_is():
    table = make_table([0, 1, 1, 0], [0, 0, 0, 0], predicted=[1, 0, 0, 1])
    staying = np.array([0.1, 0.2, 0.3, 0.1])
    probabilities = np.stack([staying, 1 - staying], axis=1)
    assert score(table, probabilities, "last_predicted").score == pytest.approx(1.0)
    assert score(table, probabilities).score == pytest.approx(0.0)
    assert {*score_shifts(table, probabilities)} == {"shift_auc", "shift_auc_predicted"}


def test_where_nothing_shifts_there_is_no_score():
    assert np.isnan(score(make_table([0, 1], [0, 1]), np.full((2, 2), 0.5)).score)
    assert np.isnan(score(make_table([0], [IGNORED]), np.full((1, 2), 0.5)).score)


def test_priors_of_train_undo_a_balanced_loss():
    found = weigh_by_priors(np.array([[0.5, 0.5], [0.2, 0.8]]), np.array([[0.8, 0.2]]))
    np.testing.assert_allclose(found, [[0.8, 0.2], [0.5, 0.5]])


def test_shifts_are_counted_once_for_all_seeds():
    table = make_table([0, 1, 1], [0, 0, IGNORED]).assign(last_own=[1, IGNORED, IGNORED])
    both = pd.concat([table, table.assign(seed=1)])
    counts = list(describe_shifts({2: both}))[1:]
    assert counts == [
        "shifts from the last turn, of targets that have one: +2: 1 of 2",
        "shifts from the speaker's own last turn, of targets that have one: +2: 1 of 1",
    ]
