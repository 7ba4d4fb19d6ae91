"""Effect sizes: worked out by hand, planted, and beside scipy's."""

import numpy as np
import pytest
from scipy.stats import friedmanchisquare, kruskal

from conversation_emotion.exploration.effects import measure_effects, skillings_mack

LABELS = ("angry", "calm", "rare")


@pytest.fixture(scope="module")
def planted() -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Six speakers whose own level hides a feature, noise, and one that is the same for all."""
    generator = np.random.default_rng(0)
    numbers = np.tile([0, 1], 60)
    people = np.repeat(np.arange(6), 20)
    hidden = 50 * people + numbers + 0.3 * generator.normal(size=120)
    values = np.stack([generator.normal(size=120), hidden, np.ones(120)], axis=1)
    return values, numbers, [f"s{n}" for n in people]


def test_a_feature_that_speakers_hide_is_found_within_them(planted):
    values, numbers, speakers = planted
    found = measure_effects(values, ["noise", "hidden", "flat"], numbers, LABELS, speakers)
    assert found is not None
    first, *others = found.effects
    assert (first.name, found.num_utterances, found.num_speakers) == ("hidden", 120, 6)
    assert first.epsilon < 0.05 < 0.7 < (first.within or 0)
    # All six speakers agree; Friedman's statistic is 6 of one degree, p 0.0143, thrice by Holm.
    assert first.p_speakers == pytest.approx(3 * 0.014306, abs=1e-4)
    assert first.means[0] == pytest.approx(-0.86, abs=0.1)
    assert first.means[2] is None
    assert all((one.within or 0) < 0.05 for one in others)


def test_epsilon_is_the_share_of_ranks_that_the_class_explains():
    values = np.array([[1.0], [2], [3], [4], [9], [5], [6], [7], [8], [10]])
    numbers = np.repeat([0, 1], 5)
    found = measure_effects(values, ["x"], numbers, LABELS[:2], ["one"] * 10)
    assert found is not None
    # H = 12 / (10 * 11) * (19^2 + 36^2) / 5 - 33 = 3.1527; (H - 1) / 8.
    assert found.effects[0].epsilon == pytest.approx((3.1527 - 1) / 8, abs=1e-4)
    assert found.effects[0].p == pytest.approx(kruskal(values[:5, 0], values[5:, 0]).pvalue)
    assert found.effects[0].p_speakers is None


def test_classes_with_few_utterances_are_left_out_by_name(planted):
    values, numbers, speakers = planted
    numbers = numbers.copy()
    numbers[:3] = 2
    found = measure_effects(values, ["a", "b", "c"], numbers, LABELS, speakers)
    assert found is not None
    assert (found.left_out, found.num_utterances) == (("rare",), 117)
    assert measure_effects(values, ["a", "b", "c"], numbers * 0, LABELS, speakers) is None


def test_without_gaps_the_test_over_speakers_is_that_of_friedman():
    table = np.random.default_rng(1).normal(size=(7, 4, 3))
    p, count = skillings_mack(table)
    assert count == 7
    assert p is not None
    for number in range(3):
        assert p[number] == pytest.approx(friedmanchisquare(*table[:, :, number].T).pvalue)


def test_a_speaker_who_lacks_a_class_still_counts():
    table = np.arange(12.0).reshape(4, 3, 1)
    whole, _ = skillings_mack(table)
    table[0, 2] = np.nan
    gap, count = skillings_mack(table)
    table[0, 1] = np.nan
    _, fewer = skillings_mack(table)
    assert whole is not None
    assert gap is not None
    assert (count, fewer) == (4, 3)
    assert whole[0] < gap[0] < 0.1
