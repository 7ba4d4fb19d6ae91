"""Decisions of systems with the same targets: pooled, or those of the best on valid."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import log_softmax

from conversation_emotion.evaluation.jackknife import Numbers, jackknife
from conversation_emotion.evaluation.metrics import (
    METRICS,
    Interval,
    count_confusions,
    count_targets,
    rank_score,
    score_predictions,
    summarise,
)

TINY = 1e-6
"""Probabilities below count as this, so that no system can rule a class out alone."""

KEYS = ["fold", "seed", "part", "utterance_id"]
"""Columns that identify a prediction of a system."""

_BALANCED = ("uar", "macro_f1")
"""Metrics to which each class counts alike; to the others each utterance does."""


DIVERGENCE = "jsd"
"""Column of the predictions of models that learn from votes: the divergence from these of each."""


class Pool(NamedTuple):
    """The joint predictions of several systems.

    Attributes:
        predictions: Like those of each system, with the joint classes and probabilities.
        weights: Weight of each system, ``system_0`` and on, a row per ``fold`` and ``seed``.
    """

    predictions: pd.DataFrame
    weights: pd.DataFrame


def resolve_metric(select_by: str) -> str:
    """Returns the name of the metric that selects among classifiers; auto is uar.

    Raises:
        ValueError: It is no metric of classes.
    """
    metric = {"auto": "uar"}.get(select_by, select_by)
    if metric not in (*METRICS, DIVERGENCE):
        raise ValueError(
            f"--select-by {select_by} scores no classes; choose from {', '.join(METRICS)}, "
            f"{DIVERGENCE}"
        )
    return metric


def score_part(predictions: pd.DataFrame, part: str, metric: str) -> float:
    """Scores the part ``valid`` or ``test`` by one of `metrics.METRICS`, or by `DIVERGENCE`.

    The predictions have the columns ``part``, ``target`` and ``predicted``, or `DIVERGENCE`.
    """
    rows = predictions[predictions["part"] == part]
    if metric == DIVERGENCE:
        return float(rows[DIVERGENCE].mean())
    targets, predicted = rows["target"].to_numpy(), rows["predicted"].to_numpy()
    num_classes = int(max(targets.max(), predicted.max())) + 1
    return float(METRICS[metric](count_confusions(targets, predicted, num_classes)))


def rank_part(predictions: pd.DataFrame, part: str, metric: str) -> float:
    """Returns the score of a part as a number of which more is better."""
    return rank_score(metric, score_part(predictions, part, metric))


def score_pooled(predictions: pd.DataFrame, num_classes: int, metric: str) -> Interval:
    """Scores predictions as those of one fold and seed, with the interval."""
    pooled = predictions.assign(fold="all", seed=0)
    if metric != DIVERGENCE:
        return score_predictions(pooled, num_classes)[metric]

    def count(part: pd.DataFrame) -> Numbers:
        return np.column_stack([part[DIVERGENCE], np.ones(len(part))])

    def average(sums: Numbers) -> Numbers:
        return (sums[..., 0] / sums[..., 1])[np.newaxis]

    given = pooled[pooled[DIVERGENCE].notna()]
    return summarise(jackknife(given, count, average), {metric: count_targets(given)})[metric]


def pool_decisions(
    systems: Sequence[pd.DataFrame], labels: Sequence[str], *, metric: str = "uar"
) -> Pool:
    """Adds up the log-probabilities of each system, with the weights that fit valid best.

    The weights of a fold and seed are fitted on its valid part, see `fit_weights`, so that the
    score of the pool there is too high; test is not used.

    Args:
        systems: Predictions on valid and test with the columns ``fold``, ``seed``, ``part``,
            ``utterance_id``, ``target`` and a probability ``p_LABEL`` of each class.
        labels: Names of the classes (C).
        metric: Metric of classes that selects.

    Raises:
        ValueError: The systems have different targets.
    """
    columns = [f"p_{label}" for label in labels]
    first = systems[0].reset_index(drop=True)
    if any(not other[KEYS].reset_index(drop=True).equals(first[KEYS]) for other in systems[1:]):
        raise ValueError("systems to be pooled must predict the same utterances in the same order")
    logs = np.stack([np.log(np.maximum(table[columns].to_numpy(), TINY)) for table in systems])
    pooled, rows = first.astype(dict.fromkeys(columns, np.float64)), []
    for (fold, seed), group in first.groupby(["fold", "seed"], sort=False):
        here, valid = group.index, group.index[group["part"] == "valid"]
        targets = group.loc[valid, "target"].to_numpy()
        weights = fit_weights(logs[:, valid], targets, is_balanced=metric in _BALANCED)
        logits = np.einsum("knc,k->nc", logs[:, here], weights)
        pooled.loc[here, columns] = np.exp(log_softmax(logits, axis=1))
        pooled.loc[here, "predicted"] = logits.argmax(axis=1)
        named = {f"system_{number}": weight for number, weight in enumerate(weights.tolist())}
        rows.append({"fold": fold, "seed": seed, **named})
    return Pool(pooled, pd.DataFrame(rows))


def fit_weights(
    log_probabilities: NDArray[np.floating],
    targets: NDArray[np.int64],
    *,
    is_balanced: bool = True,
) -> NDArray[np.float64]:
    """Fits the weight of each system in a logarithmic opinion pool (Heskes, 1998).

    The weights are not negative and need not sum to one, so that overconfident systems are
    tempered.

    Args:
        log_probabilities: Those of K systems: (K, N, C).
        targets: The true class: (N,).
        is_balanced: Whether each class counts alike, or each utterance.

    Returns:
        The weights (K,) with the least cross entropy, a convex problem.
    """
    from scipy.optimize import minimize  # if they are fitted

    counts = np.bincount(targets, minlength=log_probabilities.shape[-1])
    shares = 1.0 / (counts[targets] * np.count_nonzero(counts))
    if not is_balanced:
        shares = np.full(len(targets), 1.0 / len(targets))
    true = log_probabilities[:, np.arange(len(targets)), targets]

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        pooled = log_softmax(np.einsum("knc,k->nc", log_probabilities, weights), axis=1)
        expected = np.einsum("knc,nc->kn", log_probabilities, np.exp(pooled))
        value = -(shares * pooled[np.arange(len(targets)), targets]).sum()
        return float(value), ((expected - true) * shares).sum(axis=1)

    num_systems = len(log_probabilities)
    start = np.full(num_systems, 1.0 / num_systems)
    return minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0, None)] * num_systems).x


def choose_by_valid(
    systems: Mapping[str, pd.DataFrame], *, metric: str = "uar"
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Returns the predictions of the system that is best on valid, for each fold and seed.

    Of equals the first is chosen. Only the valid part of a fold is used, so that the score of the
    choice on test is that of a selection nested in the folds.

    Args:
        systems: Predictions on valid and test by name, with the columns ``fold``, ``seed``,
            ``part``, ``utterance_id``, ``target`` and ``predicted``.
        metric: Metric of classes that selects.

    Returns:
        The predictions of the chosen systems, and how often each was chosen.

    Raises:
        ValueError: The systems have different targets.
    """
    ordered = [table.sort_values(KEYS, ignore_index=True) for table in systems.values()]
    same = [*KEYS, "target"]
    for name, table in zip(systems, ordered, strict=True):
        if not table[same].equals(ordered[0][same]):
            raise ValueError(
                f"a choice between systems with different targets: {name} and "
                f"{next(iter(systems))}; train both on the same corpus, folds and seeds"
            )
    groups = [dict(list(table.groupby(["fold", "seed"]))) for table in systems.values()]
    tables, counts = [], dict.fromkeys(systems, 0)
    for key in groups[0]:
        scores = [rank_part(group[key], "valid", metric) for group in groups]
        best = int(np.argmax(scores))
        counts[list(systems)[best]] += 1
        tables.append(groups[best][key])
    return pd.concat(tables, ignore_index=True), counts
