"""Decisions of systems that judge the same utterances: pooled, or those of the best by valid."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax

from conversation_emotion.evaluation.metrics import count_confusions, unweighted_average_recall

TINY = 1e-6
"""Probabilities below count as this, so that no system can rule a class out alone."""

KEYS = ["fold", "seed", "part", "utterance_id"]
"""Columns that tell one judgement of a system from another."""


class Pool(NamedTuple):
    """What several systems say together.

    Attributes:
        predictions: Like those of each system, with the classes and probabilities of all together.
        weights: Weight of each system, ``system_0`` and on, a row per ``fold`` and ``seed``.
    """

    predictions: pd.DataFrame
    weights: pd.DataFrame


def pool_decisions(systems: Sequence[pd.DataFrame], labels: Sequence[str]) -> Pool:
    """Adds up the log-probabilities of each system, weighed by what suits valid.

    The weights of a fold and seed are found on its valid part, see `fit_weights`, so that what the
    pool scores there is flattering; test is not looked at.

    Args:
        systems: Predictions on valid and test with the columns ``fold``, ``seed``, ``part``,
            ``utterance_id``, ``target`` and a probability ``p_LABEL`` of each class.
        labels: Names of the classes (C).

    Raises:
        ValueError: The systems judge different utterances.
    """
    columns = [f"p_{label}" for label in labels]
    first = systems[0].reset_index(drop=True)
    if any(not other[KEYS].reset_index(drop=True).equals(first[KEYS]) for other in systems[1:]):
        raise ValueError("systems to be pooled must judge the same utterances in the same order")
    said = np.stack([np.log(np.maximum(table[columns].to_numpy(), TINY)) for table in systems])
    pooled, rows = first.astype(dict.fromkeys(columns, np.float64)), []
    for (fold, seed), group in first.groupby(["fold", "seed"], sort=False):
        here, valid = group.index, group.index[group["part"] == "valid"]
        weights = fit_weights(said[:, valid], group.loc[valid, "target"].to_numpy())
        logits = np.einsum("knc,k->nc", said[:, here], weights)
        pooled.loc[here, columns] = np.exp(log_softmax(logits, axis=1))
        pooled.loc[here, "predicted"] = logits.argmax(axis=1)
        named = {f"system_{number}": weight for number, weight in enumerate(weights.tolist())}
        rows.append({"fold": fold, "seed": seed, **named})
    return Pool(pooled, pd.DataFrame(rows))


def fit_weights(
    log_probabilities: NDArray[np.floating], targets: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Finds the weight of each system in a logarithmic opinion pool (Heskes, 1998).

    The weights are not negative and need not sum to one, so that systems too sure of themselves are
    told to be less so. Each class counts alike.

    Args:
        log_probabilities: What K systems say: (K, N, C).
        targets: The true class: (N,).

    Returns:
        The weights (K,) with the least cross entropy, a convex problem.
    """
    counts = np.bincount(targets, minlength=log_probabilities.shape[-1])
    shares = 1.0 / (counts[targets] * np.count_nonzero(counts))
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
    systems: Mapping[str, pd.DataFrame],
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Takes, in each fold and seed, the system with the best UAR on valid, the first of equals.

    Of a fold nothing but its valid part has a say, so that what the choice scores on test is that
    of a selection nested in the folds.

    Args:
        systems: Predictions on valid and test by name, with the columns ``fold``, ``seed``,
            ``part``, ``utterance_id``, ``target`` and ``predicted``.

    Returns:
        The predictions of the chosen systems, and how often each was chosen.

    Raises:
        ValueError: The systems judge different utterances.
    """
    ordered = [table.sort_values(KEYS, ignore_index=True) for table in systems.values()]
    same = [*KEYS, "target"]
    for name, table in zip(systems, ordered, strict=True):
        if not table[same].equals(ordered[0][same]):
            raise ValueError(
                f"a choice between systems that judge different utterances: {name} and "
                f"{next(iter(systems))}; train both on the same corpus, folds and seeds"
            )
    groups = [dict(list(table.groupby(["fold", "seed"]))) for table in systems.values()]
    tables, counts = [], dict.fromkeys(systems, 0)
    for key in groups[0]:
        scores = [_valid_uar(group[key]) for group in groups]
        best = int(np.argmax(scores))
        counts[list(systems)[best]] += 1
        tables.append(groups[best][key])
    return pd.concat(tables, ignore_index=True), counts


def _valid_uar(table: pd.DataFrame) -> float:
    valid = table[table["part"] == "valid"]
    targets, predicted = valid["target"].to_numpy(), valid["predicted"].to_numpy()
    count = int(max(targets.max(), predicted.max())) + 1
    return float(unweighted_average_recall(count_confusions(targets, predicted, count)))
