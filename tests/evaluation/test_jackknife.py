"""The jackknife by hand, against theory, and by its coverage in simulated corpora."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from benchmarks.interval_coverage import COVERAGE, run_cell
from conversation_emotion.evaluation.jackknife import (
    Training,
    interval_bounds,
    jackknife_sums,
    p_values,
)
from conversation_emotion.evaluation.metrics import score_predictions


def average(sums: np.ndarray) -> np.ndarray:
    """Sum over count: (..., 2) -> (1, ...)."""
    return (sums[..., 0] / sums[..., 1])[np.newaxis]


def train(numbers: list[float], clusters: list[int]) -> Training:
    """A fold whose clusters have one utterance each."""
    return Training(np.array(clusters), np.stack([numbers, np.ones(len(numbers))], axis=-1))


def test_of_a_mean_it_is_the_standard_error():
    numbers = [1.0, 2.0, 4.0, 9.0]
    found = jackknife_sums([train(numbers, [0, 1, 2, 3])], average)
    assert (found.score.item(), found.degrees) == (4.0, 3)
    assert found.error.item() == pytest.approx(stats.sem(numbers), rel=1e-5)


def test_folds_of_one_cluster_are_draws_themselves():
    numbers = [0.2, 0.5, 0.9]
    found = jackknife_sums([train([x], [n]) for n, x in enumerate(numbers)], average)
    assert (found.score.item(), found.degrees) == (pytest.approx(np.mean(numbers)), 2)
    assert found.error.item() == pytest.approx(stats.sem(numbers))


def test_clusters_are_drawn_within_their_folds():
    # Means of 2 and 3 numbers: the variance is a quarter of the sum of both means'.
    folds = [train([1.0, 3.0], [0, 1]), train([10.0, 13.0, 13.0], [2, 3, 4])]
    found = jackknife_sums(folds, average)
    variance = (stats.sem([1.0, 3.0]) ** 2 + stats.sem([10.0, 13.0, 13.0]) ** 2) / 4
    assert found.error.item() ** 2 == pytest.approx(variance, rel=1e-5)
    assert found.degrees == 5 - 2


def test_a_cluster_is_left_out_of_all_folds_and_seeds_that_it_is_in():
    once = jackknife_sums([train([1.0, 2.0, 6.0], [0, 1, 2])], average)
    both = [train([1.0, 2.0, 6.0], [0, 1, 2])] * 2
    assert jackknife_sums(both, average).error == pytest.approx(once.error)
    opposite = [*both[:1], train([6.0, 5.0, 1.0], [0, 1, 2])]  # 7 in the sum, whatever is drawn
    found = jackknife_sums(opposite, average)
    assert found.error == pytest.approx(0)
    assert found.degrees == 2


def test_a_score_that_a_training_lacks_is_left_out_of_the_mean():
    folds = [train([1.0, 3.0], [0, 1]), Training(np.array([2, 3]), np.zeros((2, 2)))]
    with np.errstate(invalid="ignore"):
        found = jackknife_sums(folds, average)
    assert found.score.item() == pytest.approx(2.0)
    assert found.error.item() == pytest.approx(stats.sem([1.0, 3.0]), rel=1e-5)


@pytest.mark.parametrize(
    ("numbers", "bounds"),
    [
        ([1.0] * 4, (0.025 ** (1 / 4), 1.0)),  # q⁴ = 0.025 that all clusters are perfect
        ([0.0] * 4, (0.0, 1 - 0.025 ** (1 / 4))),
        ([0.25] * 4, (0.25, 0.25)),  # as majority's recall: it does not vary
        ([0.7], (0.0, 1.0)),  # one cluster tells nothing
    ],
)
def test_bounds_without_variance(numbers, bounds):
    found = jackknife_sums([train(numbers, list(range(len(numbers))))], average)
    assert interval_bounds(found, "share").ravel() == pytest.approx(bounds)


def test_bounds_are_students_quantiles_on_the_logit():
    numbers = [0.7, 0.8, 0.9]
    found = jackknife_sums([train(numbers, [0, 1, 2])], average)
    low, high = interval_bounds(found, "share").ravel()
    reach = stats.t.ppf(0.975, 2) * stats.sem(numbers) / (0.8 * 0.2)
    odds = [np.log(p / (1 - p)) for p in (low, 0.8, high)]
    assert np.diff(odds) == pytest.approx([reach, reach], rel=1e-4)


def test_a_fold_keeps_its_classes_whichever_cluster_is_left_out():
    # A class of each dialogue's own: without the trace, recalls would be lost and UAR constant.
    table = pd.DataFrame({"fold": "f", "seed": 0, "utterance_id": range(4), "target": [0, 1, 2, 3]})
    table = table.assign(dialogue_id=["a", "b", "c", "d"], predicted=0)
    found = score_predictions(table, 4)
    assert found["uar"][:3] == pytest.approx((0.25, 0.25, 0.25))


def test_scores_of_folds_and_seeds_lie_in_their_intervals_and_those_within_the_range():
    rng = np.random.default_rng(0)
    parts = [
        pd.DataFrame({"fold": fold, "seed": seed, "target": rng.integers(0, 3, 30)}).assign(
            utterance_id=range(30), dialogue_id=[f"{fold}{n // 5}" for n in range(30)]
        )
        for fold in "fg"
        for seed in (0, 1)
    ]
    table = pd.concat(parts, ignore_index=True)
    is_right = rng.random(len(table)) < 0.9
    table["predicted"] = np.where(is_right, table["target"], (table["target"] + 1) % 3)
    for found in score_predictions(table, 3).values():
        assert 0.7 < found.low < found.score < found.high <= 1


def test_a_difference_that_no_cluster_contradicts_has_the_p_value_of_the_signs():
    same = jackknife_sums([train([0.25] * 5, [0, 1, 2, 3, 4])], average)
    assert p_values(same).item() == pytest.approx(2 / 2**5)
    assert p_values(same.minus(same)).item() == 1.0


@pytest.mark.parametrize(
    "design", ["40 dialogues, each in the folds of 2 speakers", "4 folds of a speaker"]
)
def test_intervals_cover_in_a_simulation(design):
    cell = run_cell(design, "middle", 300, "jackknife")
    # Three standard errors of 300 corpora beyond the bounds.
    low, high = COVERAGE[0] - 0.037, COVERAGE[1] + 0.03
    assert all(low <= share <= high for share in cell.coverage.values()), cell.coverage
    assert all(share <= 0.05 + 0.038 for share in cell.false_positives.values()), cell
