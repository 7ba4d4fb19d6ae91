"""Scores against hand-worked values and scikit-learn, and the bootstrap against theory."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

from conversation_emotion.evaluation.metrics import (
    METRIC_DESCRIPTIONS,
    METRICS,
    count_confusions,
    describe_metric,
    score_classes,
    score_predictions,
    unweighted_average_recall,
)


def test_uar_counts_every_class_alike():
    # Recalls: 3/4 for class 0, 1/1 for class 1; class 2 never occurs.
    targets, predicted = np.array([0, 0, 0, 0, 1]), np.array([0, 0, 0, 1, 1])
    uar = unweighted_average_recall(count_confusions(targets, predicted, 3))
    assert uar == pytest.approx((3 / 4 + 1) / 2)


def test_scores_agree_with_scikit_learn():
    generator = np.random.default_rng(0)
    targets, predicted = generator.integers(0, 5, (2, 300))
    confusions = count_confusions(targets, predicted, 5)
    scores = {name: float(metric(confusions)) for name, metric in METRICS.items()}
    assert scores == pytest.approx(
        {
            "uar": balanced_accuracy_score(targets, predicted),
            "macro_f1": f1_score(targets, predicted, average="macro"),
            "wa": accuracy_score(targets, predicted),
            "weighted_f1": f1_score(targets, predicted, average="weighted"),
        }
    )


def coin_flips(num_dialogues: int, length: int) -> pd.DataFrame:
    """Dialogues that are predicted right or wrong as a whole, half of them each."""
    right = np.repeat(np.arange(num_dialogues) % 2, length)
    return pd.DataFrame(
        {
            "fold": "f",
            "seed": 0,
            "utterance_id": np.arange(num_dialogues * length),
            "dialogue_id": np.repeat(np.arange(num_dialogues), length),
            "target": 0,
            "predicted": 1 - right,
        }
    )


def test_the_interval_is_that_of_independent_dialogues():
    # WA is the mean of 100 fair coins, whatever the dialogues' length: deviation 0.05.
    interval = score_predictions(coin_flips(100, 8), 2)["wa"]
    assert interval.score == 0.5
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * 0.05, rel=0.06)
    assert interval.n == 800


def test_folds_and_seeds_are_averaged_and_their_deviation_is_given():
    right = coin_flips(2, 3).assign(predicted=0)
    wrong = coin_flips(2, 3).assign(predicted=1, seed=1)
    half = coin_flips(2, 3).assign(fold="g")
    scored = score_predictions(pd.concat([right, wrong, half]), 2)["wa"]
    assert scored.score == pytest.approx((1 + 0 + 0.5) / 3)
    assert scored.deviation == pytest.approx(0.5)
    assert scored.n == 12


def test_the_same_predictions_give_the_same_interval():
    flips = coin_flips(20, 2)
    assert score_predictions(flips, 2) == score_predictions(flips, 2)


def test_classes_are_scored_over_all_folds_and_seeds_and_counted_once():
    # Class 0: 3 of its 4 predictions over two seeds; class 2 is neither target nor prediction.
    first = pd.DataFrame({"utterance_id": ["a", "b", "c"], "target": [0, 0, 1]})
    table = pd.concat(
        [
            first.assign(fold="f", seed=0, predicted=[0, 0, 1]),
            first.assign(fold="f", seed=1, predicted=[0, 1, 1]),
        ]
    )
    scored = score_classes(table, ["happy", "sad", "bored"])
    assert list(scored) == ["happy", "sad", "bored"]
    assert scored["happy"] == pytest.approx((3 / 4, 2 * 3 / (4 + 3), 2))
    assert scored["sad"] == pytest.approx((1.0, 2 * 2 / (2 + 3), 1))
    assert np.isnan(scored["bored"][:2]).all()
    assert scored["bored"].support == 0


def test_every_metric_has_one_name_and_an_unknown_one_is_an_error():
    assert set(METRICS) <= set(METRIC_DESCRIPTIONS)
    assert [describe_metric(name).title for name in METRICS] == [
        "UAR",
        "macro F1",
        "WA",
        "weighted F1",
    ]
    with pytest.raises(ValueError, match="no metric 'accuracy'; choose from uar, macro_f1"):
        describe_metric("accuracy")


def test_the_pooled_uar_is_that_of_all_folds_together_and_the_mean_of_seeds():
    # Class 0: 2 of 2 in one fold, 0 of 1 in the other; class 1 in the second fold alone, 1 of 1.
    one = pd.DataFrame({"fold": list("ffgg"), "target": [0, 0, 0, 1], "predicted": [0, 0, 1, 1]})
    one = one.assign(utterance_id=range(4), dialogue_id=list("abcd"), seed=0)
    wrong = one.assign(predicted=1 - one["target"], seed=1)
    found = score_predictions(pd.concat([one, wrong]), 2)
    assert found["uar"].score == pytest.approx(((1 + 1 / 2) / 2 + 0) / 2)
    assert found["pooled_uar"].score == pytest.approx(((2 / 3 + 1) / 2 + 0) / 2)
    assert found["pooled_uar"].deviation == pytest.approx((5 / 6) / 2**0.5)


def test_a_class_that_there_is_not_is_an_error():
    names = {"fold": "1", "seed": 0, "dialogue_id": ["a", "b"], "utterance_id": ["a", "b"]}
    predictions = pd.DataFrame({**names, "target": [0, 1], "predicted": [2, 0]})
    with pytest.raises(ValueError, match="invalid entry in coordinates array"):
        score_predictions(predictions, 2)
