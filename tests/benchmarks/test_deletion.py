"""Deletion curves: pieces that add most go first, and orders are compared over clusters."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_1samp

from benchmarks.deletion import SHARES, compare, delete
from conversation_emotion.evaluation.jackknife import interval_bounds, p_values


def test_curves_fall_by_what_each_deleted_piece_adds():
    adds = np.array([0.1, 0.4, 0.0, 0.2, 0.3])
    curves = delete(adds, lambda masks: 1 - np.where(masks, adds, 0).sum(1), draws=200, seed=0)
    tenths = [0, 0, 1, 2, 2, 2, 3, 4, 4, 4, 5]  # pieces of five that are deleted, halves to even
    most, least = np.cumsum([0, 0.4, 0.3, 0.2, 0.1, 0]), np.cumsum([0, 0, 0.1, 0.2, 0.3, 0.4])
    np.testing.assert_allclose(curves["most first"], 1 - most[tenths], atol=1e-9)
    np.testing.assert_allclose(curves["least first"], 1 - least[tenths], atol=1e-9)
    np.testing.assert_allclose(curves["random"], 1 - np.array(tenths) / 5, atol=0.05)
    assert len(SHARES) == len(tenths)


def test_orders_are_compared_by_a_paired_t_test_over_clusters():
    areas = pd.DataFrame(
        {
            "cluster": [*"aabbccdd"],
            "random": 0.5,
            "most first": [0.4, 0.2, 0.5, 0.3, 0.1, 0.3, 0.5, 0.4],
        }
    )
    found = compare(areas, "most first")
    means = (areas["most first"] - 0.5).groupby(areas["cluster"]).mean()
    test = ttest_1samp(means, 0)
    assert found.score[0] == pytest.approx(means.mean())
    assert p_values(found)[0] == pytest.approx(test[1], rel=1e-3)
    bounds = interval_bounds(found, "difference")[:, 0]
    np.testing.assert_allclose(bounds, test.confidence_interval(), rtol=1e-3)
