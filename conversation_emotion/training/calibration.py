"""Tests a calibration on speakers that it was not fitted on, and records it with a run."""

from collections.abc import Sequence

import pandas as pd

from conversation_emotion.evaluation.calibration import (
    Sets,
    calibrate_by_others,
    calibrate_by_valid,
    score_calibration,
)
from conversation_emotion.evaluation.metrics import Interval
from conversation_emotion.evaluation.results import name_metrics
from conversation_emotion.figures.reliability import draw_reliability
from conversation_emotion.tracker import Tracker

Scores = dict[str, dict[str, Interval]]
"""Scores of calibration by name, of the predictions before it and after it."""


def calibrate_test(
    predictions: pd.DataFrame,
    labels: Sequence[str],
    coverage: float,
    *,
    on_all: bool,
    sets: Sets = "speaker",
) -> pd.DataFrame | None:
    """Returns the predictions on test, calibrated as those of the model to keep will be.

    Those of a fold are calibrated by its valid part. A model of all targets is calibrated by test,
    so that here each speaker is by the others; None where there is only one.
    """
    if not on_all:
        return calibrate_by_valid(predictions, labels, coverage, sets=sets)
    if predictions.loc[predictions["part"] == "test", "speaker"].nunique() < 2:
        return None
    return calibrate_by_others(predictions, labels, coverage, sets=sets)


def report_calibration(
    predictions: pd.DataFrame,
    labels: Sequence[str],
    coverage: float,
    tracker: Tracker,
    *,
    on_all: bool,
    sets: Sets = "speaker",
) -> Scores:
    """Scores predictions on test before and after calibration, logs, draws and prints both.

    Args:
        predictions: Those of all folds and seeds on valid and test.
        labels: Names of the classes (C).
        coverage: Share of a speaker's targets whose class a prediction set has to hold.
        tracker: The run of the command.
        on_all: Whether the model that is kept learns from all targets.
        sets: Whose targets the coverage is a share of.
    """
    tables = {"before": predictions[predictions["part"] == "test"]}
    if (
        after := calibrate_test(predictions, labels, coverage, on_all=on_all, sets=sets)
    ) is not None:
        tables["after"] = after
    scores = {name: score_calibration(table, labels) for name, table in tables.items()}
    for name, part in (("before", "test"), ("after", "calibrated")):
        tracker.log_metrics(name_metrics(part, scores[name]) if name in scores else {})
    titles = {"before": "before calibration", "after": "after calibration"}
    drawn = draw_reliability({titles[name]: table for name, table in tables.items()}, labels)
    tracker.log_figure(drawn, "reliability.png")
    print(describe(scores, coverage))
    return scores


def describe(scores: Scores, coverage: float) -> str:
    """Returns the scores in a line."""
    before = f"calibration: ECE {_write(scores['before']['ece'])} on test"
    if "after" not in scores:
        return f"{before}; not tested after it, since test has one speaker"
    after = scores["after"]
    return (
        f"{before}, {_write(after['ece'])} after it; sets made to hold {coverage:.0%} hold "
        f"{_write(after['coverage'])}, with {after['set_size'].score:.1f} classes in the mean"
    )


def _write(found: Interval) -> str:
    return f"{found.score:.1%} [{found.low:.1%}, {found.high:.1%}]"
