"""How far the probabilities of a run can be trusted, before and after it is calibrated."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from conversation_emotion.evaluation.calibration import (
    calibrate_by_others,
    calibrate_by_valid,
    score_calibration,
)
from conversation_emotion.evaluation.metrics import Interval, jackknife_classes, summarise
from conversation_emotion.evaluation.selective import has_probabilities, score_selective


class Certainty(NamedTuple):
    """What one system's probabilities and prediction sets are worth on test.

    Attributes:
        name: What was done to the predictions.
        table: They themselves.
        metrics: Scores with intervals.
        values: The coverage of the class that is covered least.
    """

    name: str
    table: pd.DataFrame
    metrics: dict[str, Interval]
    values: dict[str, float]


def score_certainty(
    predictions: pd.DataFrame, labels: Sequence[str], coverage: float
) -> list[Certainty]:
    """Scores the model, the mean of its seeds, and both ways and kinds of calibration.

    Args:
        predictions: Those of all folds and seeds on valid and test.
        labels: Names of the classes (C).
        coverage: Share of targets whose class prediction sets are made to hold.
    """
    known = predictions[has_probabilities(predictions, labels)]
    return [
        Certainty(name, table, *_score(table, labels))
        for name, table in _list_systems(known, labels, coverage)
    ]


def _list_systems(
    predictions: pd.DataFrame, labels: Sequence[str], coverage: float
) -> Iterator[tuple[str, pd.DataFrame]]:
    test = predictions[predictions["part"] == "test"]
    yield "as predicted", test
    if predictions["seed"].nunique() > 1:
        yield f"mean of {predictions['seed'].nunique()} seeds", average_seeds(test, labels)
    for sets in ("speaker", "class"):
        found = calibrate_by_valid(predictions, labels, coverage, sets=sets)
        yield f"calibrated by valid, sets by {sets}", found
    if test["speaker"].nunique() > 1:
        for sets in ("speaker", "class"):
            found = calibrate_by_others(predictions, labels, coverage, sets=sets)
            yield f"calibrated by other speakers, sets by {sets}", found


def average_seeds(predictions: pd.DataFrame, labels: Sequence[str]) -> pd.DataFrame:
    """Returns the mean probabilities of the seeds, a deep ensemble (Lakshminarayanan et al., 2017).

    Args:
        predictions: Those of each seed.
        labels: Names of the classes (C).
    """
    columns = [f"p_{label}" for label in labels]
    keys = ["fold", "part", "utterance_id"]
    means = predictions.groupby(keys, sort=False)[columns].mean().reset_index()
    first = predictions.drop_duplicates(keys)
    joined = first.drop(columns=columns).merge(means, on=keys, validate="one_to_one")
    return joined.assign(predicted=joined[columns].to_numpy().argmax(axis=1), seed=0)


def _score(
    table: pd.DataFrame, labels: Sequence[str]
) -> tuple[dict[str, Interval], dict[str, float]]:
    pooled = table.assign(fold="all")
    scores = score_selective(pooled, labels) | score_calibration(pooled, labels)
    uar = jackknife_classes(pooled, len(labels), ["uar"])
    scores |= summarise(uar, {"pooled_uar": scores["ece"].n})
    if "is_covered" not in table:
        return scores, {}
    by_class = table.groupby("target")["is_covered"].mean()
    return scores, {"coverage_worst": float(np.min(by_class))}


def describe_certainty(predictions: pd.DataFrame, labels: Sequence[str]) -> Iterator[str]:
    """Describes the rows of the table, and what it leaves out."""
    yield (
        "all folds together; AURC: mean risk, the share of wrong predictions, over all shares of "
        "the most confident ones (Geifman et al., 2019)"
    )
    yield (
        "sets by speaker: made to hold the class of a share of the targets of a further speaker; "
        "by class: of each class alike (Vovk, 2012); calibrated by the valid part of each fold, or "
        "each speaker of test by the others there"
    )
    test = predictions[predictions["part"] == "test"]
    left_out = int((~has_probabilities(test, labels)).sum())
    if left_out:
        yield f"{left_out:,} predictions without a probability are left out"
