"""Risk against coverage: by hand, and where confidence tells errors or does not."""

import numpy as np
import pandas as pd
import pytest

from conversation_emotion.evaluation.selective import (
    has_probabilities,
    score_selective,
    trace_risk,
)
from conversation_emotion.figures.selective import draw_risks

LABELS = ("x", "y")


def tabulate(confidences: list[float], wrong: list[int]) -> pd.DataFrame:
    """Predictions of the first class, some of them wrong, each of another speaker."""
    names = [f"u{number}" for number in range(len(wrong))]
    return pd.DataFrame({"p_x": confidences, "target": wrong, "utterance_id": names}).assign(
        p_y=lambda table: 1 - table["p_x"], fold="f", seed=0, cluster=names
    )


def test_the_risk_at_each_coverage_is_the_share_of_errors_among_the_surest():
    table = tabulate([0.6, 0.9, 0.8, 0.7], [1, 0, 1, 0])
    curve = trace_risk(table, LABELS)
    assert curve.coverage.tolist() == [0.25, 0.5, 0.75, 1.0]
    assert curve.risk.tolist() == pytest.approx([0, 1 / 2, 1 / 3, 1 / 2])
    assert curve.best.tolist() == pytest.approx([0, 0, 1 / 3, 1 / 2])
    found = score_selective(table, LABELS)["aurc"]
    assert found.score == pytest.approx((0 + 1 / 2 + 1 / 3 + 1 / 2) / 4)
    assert 0 <= found.low <= found.score <= found.high <= 1
    assert found.n == 4


def test_tied_predictions_come_in_no_order():
    tied, turned = (tabulate([0.8] * 4, wrong) for wrong in ([1, 1, 0, 0], [0, 0, 1, 1]))
    for table in (tied, turned):
        assert trace_risk(table, LABELS).risk.tolist() == pytest.approx([0.5] * 4)
        assert score_selective(table, LABELS)["aurc"].score == pytest.approx(0.5)


def test_a_confidence_that_tells_errors_has_the_smaller_area_also_with_many_predictions():
    generator = np.random.default_rng(0)
    confidences = generator.uniform(0.5, 1.0, 3_000)
    mistakes = (generator.random(3_000) > confidences).astype(int)
    shuffled = generator.permutation(mistakes)
    scores = [
        score_selective(tabulate(list(confidences), list(one)), LABELS)["aurc"]
        for one in (mistakes, shuffled)
    ]
    # Errors of probability 1 - p: the risk of the surest share c is c / 4, its mean 1 / 8.
    assert scores[0].score == pytest.approx(1 / 8, abs=0.015)
    assert scores[1].score == pytest.approx(mistakes.mean(), abs=0.02)
    assert scores[0].high < scores[1].low


def test_what_has_no_probability_is_told_apart():
    table = tabulate([0.6, np.nan], [0, 0])
    assert has_probabilities(table, LABELS).tolist() == [True, False]
    assert has_probabilities(table, ("x", "other")).tolist() == [False, False]
    assert has_probabilities(table, ()).tolist() == [False, False]


def test_the_figure_has_a_curve_for_each_system_with_its_area():
    tables = {"as_predicted": tabulate([0.9, 0.8], [0, 1]), "mean": tabulate([0.9, 0.8], [1, 0])}
    (axes,) = draw_risks(tables, LABELS).axes
    curves = [line for line in axes.lines if not str(line.get_label()).startswith("_")]
    np.testing.assert_allclose(np.asarray(curves[0].get_xydata()), [[0.5, 0.0], [1.0, 0.5]])
    assert str(curves[1].get_label()).startswith("mean: AURC 75.0% [")
