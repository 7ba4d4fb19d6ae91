"""The mean of seeds as a system, and what probabilities of a run are worth."""

import numpy as np
import pandas as pd
import pytest

from conversation_emotion.training.certainty import (
    average_seeds,
    describe_certainty,
    score_certainty,
)

LABELS = ("x", "y")


@pytest.fixture(scope="module")
def predictions() -> pd.DataFrame:
    """Two seeds on six speakers: each is sure of its errors, and they are of different targets."""
    rows = [
        {
            "utterance_id": f"{part}{number}",
            "cluster": f"speaker {number % 6}",
            "speaker": str(number % 6),
            **{"fold": "f", "seed": seed, "part": part, "target": number % 2},
            "p_y": abs((0.9 if number % 2 else 0.1) - (0.8 if number // 2 % 8 == seed else 0)),
        }
        for part in ("valid", "test")
        for seed in (0, 1)
        for number in range(96)
    ]
    table = pd.DataFrame(rows).assign(p_x=lambda one: 1 - one["p_y"])
    return table.assign(predicted=(table["p_y"] > 0.5).astype(int))


def test_the_mean_of_seeds_is_right_where_their_errors_differ(predictions):
    test = predictions[predictions["part"] == "test"]
    mean = average_seeds(test.sample(frac=1, random_state=0), LABELS)
    assert len(mean) == 96
    of_one = mean[mean["utterance_id"] == "test1"]
    assert of_one["p_y"].tolist() == pytest.approx([(0.1 + 0.9) / 2])
    scores = {one.name: one for one in score_certainty(predictions, LABELS, 0.8)}
    # A quarter of the targets is wrong with one of the seeds, and even between both.
    assert scores["as predicted"].metrics["pooled_uar"].score == pytest.approx(7 / 8)
    assert scores["mean of 2 seeds"].metrics["pooled_uar"].score >= 7 / 8
    assert (
        scores["mean of 2 seeds"].metrics["aurc"].score
        < scores["as predicted"].metrics["aurc"].score
    )
    for name in ("calibrated by valid", "calibrated by other speakers"):
        for sets in ("speaker", "class"):
            found = scores[f"{name}, sets by {sets}"]
            assert found.metrics["coverage"].score == pytest.approx(7 / 8)
            assert found.values["coverage_worst"] <= found.metrics["coverage"].score


def test_predictions_without_a_probability_are_left_out_and_counted(predictions):
    table = predictions.copy()
    table.loc[table["utterance_id"] == "test0", ["p_x", "p_y"]] = np.nan
    assert score_certainty(table, LABELS, 0.8)[0].metrics["aurc"].n == 95
    assert "2 predictions without a probability are left out" in [
        *describe_certainty(table, LABELS)
    ]
