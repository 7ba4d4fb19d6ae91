"""The reliability diagram: a point for each bin of confidence, before and after calibration."""

import numpy as np
import pandas as pd
import pytest

from conversation_emotion.figures.reliability import draw_reliability
from conversation_emotion.tracker import MemoryTracker
from conversation_emotion.training.calibration import report_calibration


def tabulate(confidence: float, targets: list[int], part: str, speakers: str) -> pd.DataFrame:
    """Predictions of the first of two classes, one a target, with one confidence."""
    rows = pd.DataFrame({"target": targets, "speaker": list(speakers), "part": part})
    ids = rows.index.astype(str) + part
    return rows.assign(
        p_x=confidence, p_y=1 - confidence, predicted=0, fold="f", seed=0, utterance_id=ids,
        cluster="speaker " + rows["speaker"],
    )  # fmt: skip


def test_each_bin_is_a_point_at_confidence_and_accuracy():
    table = pd.concat(
        [tabulate(0.95, [0, 0, 0, 1], "test", "abab"), tabulate(0.6, [0, 1], "test", "ab")]
    )
    panel, other = draw_reliability({"be_fore": table, "after": table}, ("x", "y")).axes
    points = panel.lines[1].get_xydata()
    np.testing.assert_allclose(np.asarray(points), [[0.6, 0.5], [0.95, 0.75]])
    heights = [bar.get_height() for bar in panel.patches]  # type: ignore[attr-defined]
    assert heights == [2 / 6, 4 / 6]
    # (2 x 0.1 + 4 x 0.2) / 6
    assert panel.get_title().startswith("be_fore\nECE 16.7%")
    assert other.get_title().startswith("after\n")


def test_a_run_keeps_the_error_before_and_after_and_the_diagram(capsys):
    valid = tabulate(0.95, [0, 0, 0, 1] * 25, "valid", "abcd" * 25)
    table = pd.concat([valid, tabulate(0.95, [0, 0, 0, 1] * 4, "test", "efgh" * 4)])
    run = MemoryTracker()
    report_calibration(table, ("x", "y"), 0.7, run, on_all=False)
    # On valid 75 of 100 are right, and half of the one more; so they are on test, but for that.
    assert run.metrics["test/ece"] == pytest.approx(0.2)
    np.testing.assert_allclose(run.metrics["calibrated/ece"], abs(75.5 / 101 - 0.75), atol=1e-4)
    assert run.metrics["calibrated/coverage"] == 0.75
    assert {"test/ece_ci_low", "calibrated/ece_ci_high"} <= set(run.metrics)
    assert len(run.artifacts["reliability.png"].axes) == 2  # type: ignore[union-attr]
    assert "ECE 20.0% [" in capsys.readouterr().out


def test_one_speaker_on_test_leaves_a_model_of_all_untested(capsys):
    run, table = MemoryTracker(), tabulate(0.95, [0, 1], "test", "aa")
    report_calibration(table, ("x", "y"), 0.9, run, on_all=True)
    assert "calibrated/ece" not in run.metrics
    assert "not tested after it, since test has one speaker" in capsys.readouterr().out
