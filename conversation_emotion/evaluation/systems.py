"""Many systems on the same targets: one table of what all predict, their scores and differences.

A table of predictions has a system as a column of classes by its name and, where it gives any,
columns ``NAME/p_LABEL`` of probabilities; the model itself has ``predicted`` and ``p_LABEL``.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from conversation_emotion.evaluation.groups import stratify
from conversation_emotion.evaluation.metrics import (
    ClassScore,
    Interval,
    score_classes,
    score_predictions,
)
from conversation_emotion.evaluation.results import ResultsTable, RowKind, RowResult
from conversation_emotion.evaluation.shift import (
    SHIFTS,
    describe_shifts,
    score_shifts,
    weigh_by_priors,
)
from conversation_emotion.evaluation.significance import compare_predictions, correct_by_holm

_REMOVED = {
    "context": "all before the last turn",
    "order": "order",
    "speakers": "speakers",
    "speech": "speech",
    "text": "text",
}

SYSTEMS: dict[str, tuple[str, RowKind]] = {
    "": ("the model", "model"),
    "gold": ("trained with the gold emotions of the past", "reference"),
    **{name: (f"trained without {what}", "model") for name, what in _REMOVED.items()},
    **{f"at_test_{n}": (f"at test without {what}", "reference") for n, what in _REMOVED.items()},
    "at_test_contents": ("at test with what was said elsewhere", "reference"),
    "future": ("at test with another future: {changed} predictions change", "reference"),
    "majority": ("majority", "baseline"),
    "last_emotion": ("same emotion as the last turn (gold)", "baseline"),
    "markov": ("what follows the last emotion (gold), a table", "baseline"),
    "markov_two": ("what follows the last emotions of both sides (gold), a table", "baseline"),
    "own_emotion": ("same emotion as the speaker's own last turn (gold)", "baseline"),
    "last_predicted": ("same emotion as the last turn, as predicted", "baseline"),
    "own_predicted": ("same emotion as the speaker's own last turn, as predicted", "baseline"),
    "markov_predicted": ("what follows the last emotion, as predicted, a table", "baseline"),
    "last_words": ("words of the last turn, logistic regression", "baseline"),
}
"""What systems of prediction in conversation are called, and what kind of row each is."""

KINDS = ("turn_number", "context_size", "next_speaker")
"""Columns of the kinds of targets."""

KEYS = ["utterance_id", "fold", "seed", "part"]
"""Columns that name a prediction."""


def name_columns(
    name: str, labels: Sequence[str], probabilities: NDArray[np.floating]
) -> dict[str, NDArray]:
    """Returns the columns of a system from its probabilities (N, C)."""
    columns = {f"{name}/p_{label}": probabilities[:, n] for n, label in enumerate(labels)}
    return {name: probabilities.argmax(axis=1), **columns}


def join_systems(predictions: pd.DataFrame, others: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Adds what other models predicted for the same targets, as systems by their names.

    Raises:
        ValueError: They predict different targets.
    """
    for name, other in others.items():
        given = {"predicted": name} | {
            column: f"{name}/{column}" for column in other if str(column).startswith("p_")
        }
        added = other[[*KEYS, *given]].rename(columns=given)
        joined = predictions.merge(added, on=KEYS, how="inner", validate="one_to_one")
        if not len(joined) == len(predictions) == len(other):
            raise ValueError(
                f"{name} predicts {len(other)} targets, expected the {len(predictions)} of the "
                "model; train both on the same folds and seeds"
            )
        predictions = joined
    return predictions.copy()  # whose many columns lie together: adding one is cheap again


def read_probabilities(
    predictions: pd.DataFrame, system: str, labels: Sequence[str]
) -> NDArray[np.float64] | None:
    """Returns the probabilities of a system (N, C), those of the model by an empty name."""
    prefix = f"{system}/p_" if system else "p_"
    columns = [f"{prefix}{label}" for label in labels]
    if not {*columns} <= {*predictions}:
        return None
    return predictions[columns].to_numpy(dtype=np.float64)


def describe_systems(predictions: pd.DataFrame) -> Iterator[str]:
    """Describes what the rows of a table have in common, and names those that are missing."""
    yield (
        "difference: in UAR, to the model at the same horizon; p of no difference by a paired t "
        "test over clusters, corrected for the number of rows of a horizon (Holm, 1979)"
    )
    yield "gold: is given the true emotions of the past, which no model in use has"
    yield "trained without: in training and at test; at test: the trained model with other inputs"
    if "last_predicted" not in predictions:
        yield "--recognition-weight 0: the model predicts no emotion of the last turn"
    if "last_words" not in predictions:
        yield "no words of the last turn: train has no text"


class SystemScores(NamedTuple):
    """What one system reaches: metrics with intervals, numbers without, and scores of classes."""

    metrics: dict[str, Interval]
    values: dict[str, float]
    per_class: dict[str, ClassScore]


def score_systems(
    predictions: pd.DataFrame, labels: Sequence[str], *, is_balanced: bool
) -> dict[str, SystemScores]:
    """Scores the model, by an empty name, and all `SYSTEMS` that there are, as they differ from it.

    Differences are in UAR, with p by a paired t test over clusters, alone and corrected for the
    number of systems (Holm, 1979). Those that give probabilities are scored on shifts as well, see
    `shift`; ``is_balanced`` says that each class counts alike in these, but for the ``majority``.
    """
    scores, p_values = {}, {}
    priors = read_probabilities(predictions, "majority", labels)
    assert priors is not None, "the majority is without the shares of classes in train"
    for name in ("", *(name for name in SYSTEMS if name in predictions)):
        table = predictions.assign(predicted=predictions[name or "predicted"])
        metrics = score_predictions(table, len(labels))
        if name:
            difference, p_values[name] = compare_predictions(table, predictions, len(labels))
            metrics["difference"] = difference
        natural = read_probabilities(predictions, name, labels)
        if natural is not None and is_balanced and name != "majority":
            natural = weigh_by_priors(natural, priors)
        is_perturbed = SYSTEMS[name][0].startswith("at test")  # which one column is enough for
        metrics_of_shifts = [*SHIFTS][:1] if is_perturbed else [*SHIFTS]
        shifts = {} if natural is None else score_shifts(predictions, natural, metrics_of_shifts)
        scores[name] = SystemScores(metrics | shifts, {}, score_classes(table, labels))
    corrected = correct_by_holm([*p_values.values()])
    for (name, p_value), p_holm in zip(p_values.items(), corrected, strict=True):
        scores[name].values.update(p_value=p_value, p_holm=p_holm)
    return scores


def tabulate_shifts(table: ResultsTable, tables: Mapping[int, pd.DataFrame]) -> ResultsTable:
    """Returns a table of the rows with all scores of shifts, which perturbations at test lack.

    Args:
        table: All systems.
        tables: Predictions of each horizon, for how many targets shift.
    """
    rows = [row for row in table.rows if "shift_auc_own" in row.metrics]
    return replace(
        table,
        title=f"Shifts of emotion; {table.title}",
        columns=tuple(SHIFTS),
        rows=tuple(rows),
        notes=(*describe_shifts(tables), table.notes[0]),
    )


def tabulate_kinds(table: ResultsTable, rows: Iterable[RowResult]) -> ResultsTable:
    """Returns a table of kinds of targets from rows of `score_kinds`."""
    return replace(
        table,
        title=f"Kinds of targets; {table.title}",
        columns=("uar", "macro_f1", "last_emotion_uar", "difference"),
        rows=tuple(rows),
        notes=(
            "the model, next to the same emotion as the last turn (gold); difference: in UAR, the "
            "model's less that",
        ),
    )


def score_kinds(
    predictions: pd.DataFrame, num_classes: int
) -> Iterator[tuple[str, dict[str, Interval]]]:
    """Yields the scores of the model on each kind of targets, see `groups.stratify`.

    Next to them are the UAR of the column ``last_emotion``, and what the model has more.
    """
    for group in stratify(predictions, KINDS):
        part = group.rows
        other = part.assign(predicted=part["last_emotion"])
        metrics = score_predictions(part, num_classes)
        metrics["last_emotion_uar"] = score_predictions(other, num_classes)["uar"]
        metrics["difference"], _ = compare_predictions(part, other, num_classes)
        yield group.name, metrics
