"""CCC by hand and by its definition, its interval, and a loss that is finite whatever it meets."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
import torch

from conversation_emotion.evaluation.concordance import (
    concordance,
    concordance_loss,
    score_concordance,
    score_ratings,
    score_regression,
)

NAN = float("nan")


def define(x: np.ndarray, y: np.ndarray) -> float:
    """CCC by way of Pearson's correlation, as Li et al. (2021) print it."""
    rho = np.corrcoef(x, y)[0, 1]
    deviations = x.std() * y.std()
    return float(2 * rho * deviations / (x.var() + y.var() + (x.mean() - y.mean()) ** 2))


def tabulate(ratings: np.ndarray, predicted: np.ndarray, **columns: object) -> pd.DataFrame:
    number = np.arange(len(ratings))
    table = {"fold": "f", "seed": 0, "utterance_id": number, "dialogue_id": number, **columns}
    return pd.DataFrame({**table, "valence": ratings, "predicted_valence": predicted})


def test_ccc_worked_out_by_hand():
    # Means 2 and 4, variances 2/3 and 8/3, covariance 4/3: 8/3 over 10/3 + 4.
    predicted, rated = torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([[2.0], [4.0], [6.0]])
    assert concordance(predicted, rated).item() == pytest.approx(4 / 11)
    assert concordance(rated, rated).item() == pytest.approx(1)
    assert concordance(-predicted + 4, predicted).item() == pytest.approx(-1)


def test_missing_ratings_are_left_out_dimension_by_dimension():
    predicted = torch.tensor([[1.0, 5.0], [2.0, 1.0], [3.0, 2.0], [9.0, 4.0]])
    rated = torch.tensor([[2.0, 4.0], [4.0, NAN], [6.0, 1.0], [NAN, 5.0]])
    expected = [4 / 11, define(np.array([5.0, 2.0, 4.0]), np.array([4.0, 1.0, 5.0]))]
    assert concordance(predicted, rated).tolist() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("predicted", "rated"),
    [
        ([2.0, 2.0, 2.0], [1.0, 2.0, 4.0]),  # constant predictions
        ([1.0, 2.0, 4.0], [2.0, 2.0, 2.0]),  # constant ratings
        ([2.0, 2.0, 2.0], [2.0, 2.0, 2.0]),  # the same constant
        ([1.0, 2.0, 4.0], [NAN, 3.0, NAN]),  # a single rating
        ([1.0, 2.0, 4.0], [NAN, NAN, NAN]),  # none
    ],
)
def test_what_has_no_correlation_scores_nothing_and_still_has_a_finite_gradient(predicted, rated):
    predictions = torch.tensor(predicted)[:, None].requires_grad_()
    loss = concordance_loss(predictions, torch.tensor(rated)[:, None], torch.ones(1))
    loss.backward()
    assert loss.item() == pytest.approx(1.0)
    assert predictions.grad is not None
    assert predictions.grad.isfinite().all()
    scored = score_ratings(tabulate(np.array(rated), np.array(predicted)), ["valence"])
    has_two = len(set(rated) - {NAN}) > 1
    assert scored["ccc_valence"].score == pytest.approx(0.0 if has_two else NAN, nan_ok=True)


def test_constant_predictions_are_drawn_towards_the_ratings():
    predictions = torch.full((3, 1), 2.0, requires_grad=True)
    rated = torch.tensor([[1.0], [2.0], [6.0]])
    concordance_loss(predictions, rated, torch.ones(1)).backward()
    # -2 cov' / denominator: (y - 3) / 3 over var(y) = 14/3 plus (2 - 3)², by hand.
    expected = -2 * torch.tensor([[-2.0], [-1.0], [3.0]]) / 3 / (14 / 3 + 1)
    torch.testing.assert_close(predictions.grad, expected)


def test_the_loss_weighs_the_dimensions_and_its_gradient_is_the_right_one():
    generator = torch.Generator().manual_seed(0)
    predicted, rated = torch.randn(2, 7, 3, generator=generator, dtype=torch.float64)
    rated[2, 1] = NAN
    weights = torch.tensor([0.5, 0.3, 0.2])
    ccc = concordance(predicted, rated)
    loss = concordance_loss(predicted, rated, weights)
    assert loss.item() == pytest.approx(1 - float((weights * ccc).sum()))
    predicted = predicted.requires_grad_()
    (gradient,) = torch.autograd.grad(concordance_loss(predicted, rated, weights), predicted)
    nudged = predicted.detach().clone()
    nudged[4, 1] += 1e-2
    change = concordance_loss(nudged, rated, weights) - loss
    assert change.item() / 1e-2 == pytest.approx(gradient[4, 1].item(), abs=2e-3)
    assert gradient[2, 1] == 0


def test_the_score_is_that_of_the_whole_split_not_the_mean_of_its_dialogues():
    rng = np.random.default_rng(0)
    rated = rng.integers(1, 6, 60).astype(float)
    predicted = rated + rng.normal(size=60)
    table = tabulate(rated, predicted, dialogue_id=np.arange(60) // 10)
    whole, others = (
        score_ratings(table, ["valence"]),
        score_ratings(
            table.assign(valence=table["valence"] + 100, predicted_valence=predicted + 100),
            ["valence"],
        ),
    )
    assert whole["ccc_valence"].score == pytest.approx(define(predicted, rated))
    assert others["ccc_valence"] == pytest.approx(whole["ccc_valence"], abs=1e-6)


def test_folds_and_seeds_are_averaged_and_the_missing_are_no_targets():
    rated = np.array([1.0, 3.0, 5.0, NAN])
    right = tabulate(rated, rated)
    wrong = tabulate(rated, np.full(4, 3.0), seed=1)
    scored = score_ratings(pd.concat([right, wrong]), ["valence"])["ccc_valence"]
    assert scored.score == pytest.approx(0.5)
    assert scored.deviation == pytest.approx(0.5**0.5)
    assert scored.n == 3


@pytest.mark.parametrize("rated", [[NAN, NAN, NAN], [NAN, 2.0, NAN], [2.0, 2.0, 2.0]])
def test_a_fold_without_two_ratings_that_differ_is_left_out_of_that_dimension(rated):
    ratings, predicted = np.array([1.0, 2.0, 4.0]), np.array([1.0, 3.0, 4.0])
    whole = tabulate(ratings, ratings).assign(arousal=ratings, predicted_arousal=predicted)
    lacking = tabulate(np.array(rated), ratings, fold="g", dialogue_id=[3, 4, 5])
    lacking = lacking.assign(arousal=ratings, predicted_arousal=ratings)
    found = score_ratings(pd.concat([whole, lacking]), ["arousal", "valence"])
    assert found["ccc_valence"].score == pytest.approx(1.0)  # perfect where there is something
    arousal = define(predicted, ratings)
    assert found["ccc_arousal"].score == pytest.approx((arousal + 1) / 2)
    assert found["ccc_mean"].score == pytest.approx(((arousal + 1) / 2 + 1) / 2)
    tensors = (torch.from_numpy(np.stack([ratings, one], axis=1)) for one in (ratings, rated))
    assert score_concordance(*tensors).tolist() == pytest.approx([1.0, NAN], nan_ok=True)


def test_the_interval_is_that_of_independently_drawn_dialogues():
    rng = np.random.default_rng(1)
    rated = rng.normal(size=200)
    table = tabulate(rated, rated + rng.normal(size=200))
    scored = score_ratings(table, ["valence"])["ccc_valence"]
    resampled = []
    for _ in range(2_000):
        rows = rng.integers(200, size=200)
        resampled.append(define(table["predicted_valence"].to_numpy()[rows], rated[rows]))
    low, high = np.percentile(resampled, [2.5, 97.5])
    assert (scored.low, scored.high) == pytest.approx((low, high), abs=0.02)
    # Dialogues of ten utterances that are alike hold less: the interval grows.
    doubled = pd.concat(
        [table.assign(utterance_id=table["utterance_id"] + 1_000 * n) for n in range(10)]
    )
    again = score_ratings(doubled, ["valence"])["ccc_valence"]
    assert again.high - again.low == pytest.approx(high - low, rel=0.15)


def test_the_mean_is_given_with_the_dimensions():
    rated = np.array([1.0, 2.0, 3.0])
    table = tabulate(2 * rated, rated).assign(arousal=rated, predicted_arousal=rated)
    scored = score_ratings(table, ["arousal", "valence"])
    assert list(scored) == ["ccc_arousal", "ccc_valence", "ccc_mean"]
    assert scored["ccc_mean"].score == pytest.approx((1 + 4 / 11) / 2)


def make_numbers(
    target: Sequence[float], predicted: Sequence[float], **columns: object
) -> pd.DataFrame:
    table = pd.DataFrame({"target": target, "predicted": predicted})
    table["utterance_id"] = table["dialogue_id"] = np.arange(len(table))
    return table.assign(**{"fold": "f", "seed": 0, **columns})


def test_scores_of_numbers_agree_with_numpy():
    rng = np.random.default_rng(0)
    target, predicted = rng.normal(size=40), rng.normal(1, 2, size=40)
    table = make_numbers(target.tolist(), predicted.tolist())
    found = score_regression(table, "target", "predicted")
    assert found["pearson"].score == pytest.approx(np.corrcoef(target, predicted)[0, 1])
    assert found["mae"].score == pytest.approx(np.mean(abs(target - predicted)))
    gap = (target.mean() - predicted.mean()) ** 2
    ccc = 2 * np.cov(target, predicted, ddof=0)[0, 1] / (target.var() + predicted.var() + gap)
    assert found["ccc"].score == pytest.approx(ccc)
    for interval in found.values():
        assert interval.low < interval.score < interval.high
        assert interval.n == 40


def test_folds_are_scored_apart_and_a_constant_correlates_with_nothing():
    perfect = make_numbers([-1.0, 0.0, 2.0], [-1.0, 0.0, 2.0])
    constant = make_numbers([-1.0, 0.0, 2.0], [1.0, 1.0, 1.0], fold="g")
    table = pd.concat([perfect, constant])
    found = score_regression(table, "target", "predicted")
    assert found["pearson"].score == pytest.approx((1 + 0) / 2)
    assert found["mae"].score == pytest.approx((0 + (2 + 1 + 1) / 3) / 2)
    assert found["pearson"].n == 6


def test_numbers_without_a_target_are_left_out():
    whole = make_numbers([1.0, 2.0, 3.0], [2.0, 4.0, 6.0])
    missing = make_numbers([1.0, 2.0, NAN, 3.0], [2.0, 4.0, 50.0, 6.0])
    scored = [score_regression(table, "target", "predicted") for table in (whole, missing)]
    assert [found["ccc"].score for found in scored] == pytest.approx([4 / 11, 4 / 11])
    assert [found["mae"].n for found in scored] == [3, 3]
