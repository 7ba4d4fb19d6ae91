"""Differences between systems: paired, symmetric, and only of the same targets."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from conversation_emotion.evaluation.significance import (
    compare_predictions,
    correct_by_holm,
    permutation_p,
)


def make_predictions(share_right: float, seed: int = 0, num_dialogues: int = 80) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    targets = np.tile([0, 1], num_dialogues * 2)
    is_right = generator.random(len(targets)) < share_right
    return pd.DataFrame(
        {
            "fold": "f",
            "seed": 0,
            "utterance_id": [f"u{n:04d}" for n in range(len(targets))],
            "dialogue_id": [f"d{n // 4}" for n in range(len(targets))],
            "target": targets,
            "predicted": np.where(is_right, targets, 1 - targets),
        }
    )


def test_a_difference_is_that_of_the_scores_and_turns_round_with_the_systems():
    one, other = make_predictions(0.8), make_predictions(0.6, seed=1)
    found, p_value = compare_predictions(one, other, 2)
    recalls = [
        (table["target"] == table["predicted"]).groupby(table["target"]).mean().mean()
        for table in (one, other)
    ]
    assert found.score == pytest.approx(recalls[0] - recalls[1])
    assert found.low < found.score < found.high
    assert p_value < 0.01
    back, p_back = compare_predictions(other, one, 2)
    assert (back.score, back.low, back.high) == pytest.approx(
        (-found.score, -found.high, -found.low)
    )
    assert (p_back, back.n) == (p_value, len(one))


def test_the_same_system_twice_does_not_differ():
    one = make_predictions(0.7)
    found, p_value = compare_predictions(one, one.sample(frac=1, random_state=0), 2)
    assert (found[:3], p_value) == ((0.0, 0.0, 0.0), 1.0)


def test_systems_that_err_together_are_separated_better_than_systems_that_do_not():
    one = make_predictions(0.7)
    nearly = one.assign(
        predicted=one["predicted"].where(np.arange(len(one)) % 40 > 0, 1 - one["target"])
    )
    paired, _ = compare_predictions(one, nearly, 2)
    unpaired, _ = compare_predictions(one, make_predictions(0.68, seed=3), 2)
    assert paired.high - paired.low < (unpaired.high - unpaired.low) / 2


def test_the_p_value_is_that_of_a_t_test_where_every_dialogue_is_a_pair():
    # Two targets a dialogue, one of each class: UAR is the mean of the dialogues' own.
    one, other = make_pairs([2, 2, 1, 2, 1, 0]), make_pairs([1, 2, 1, 1, 0, 0])
    found, p_value = compare_predictions(one, other, 2)
    paired = stats.ttest_rel([2, 2, 1, 2, 1, 0], [1, 2, 1, 1, 0, 0])
    assert found.score == pytest.approx(3 / 12)
    assert p_value == pytest.approx(paired.pvalue, rel=1e-4)


def make_pairs(num_right: list[int]) -> pd.DataFrame:
    """Dialogues of a target 0 and a target 1, of which so many are right."""
    targets = np.tile([0, 1], len(num_right))
    right = np.concatenate([[count > 0, count > 1] for count in num_right])
    number = np.arange(len(targets))
    table = {"fold": "f", "seed": 0, "utterance_id": number, "dialogue_id": number // 2}
    predicted = np.where(right, targets, 1 - targets)
    return pd.DataFrame({**table, "target": targets, "predicted": predicted})


def test_other_utterances_are_no_comparison():
    one = make_predictions(0.7)
    with pytest.raises(ValueError, match="different utterances: 320 and 319 predictions"):
        compare_predictions(one, one.iloc[1:], 2)


def test_the_permutation_test_is_exact_for_few_pairs():
    assert permutation_p(np.array([0.1, 0.2, 0.3])) == pytest.approx(2 / 8)
    assert permutation_p(np.array([0.1, 0.2, 0.3, 0.1, 0.2])) == pytest.approx(2 / 32)
    # Of the sums of ±1 ±2 ±3, those at least as far from 0 as 1 + 2 - 3 = 0 are all of them.
    assert permutation_p(np.array([1.0, 2.0, -3.0])) == pytest.approx(1.0)
    assert permutation_p(np.zeros(4)) == 1.0


def test_the_correction_is_that_of_holm():
    assert correct_by_holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert correct_by_holm([0.9, 0.8]) == [1.0, 1.0]
    assert correct_by_holm([]) == []
