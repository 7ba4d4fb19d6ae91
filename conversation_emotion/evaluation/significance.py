"""Significance: is one system better than another on the same utterances?"""

import numpy as np
import pandas as pd

from conversation_emotion.evaluation.jackknife import p_values
from conversation_emotion.evaluation.metrics import (
    Interval,
    count_targets,
    jackknife_classes,
    summarise,
)


def compare_predictions(
    one: pd.DataFrame, other: pd.DataFrame, num_classes: int
) -> tuple[Interval, float]:
    """Compares the UAR of two systems by a paired t test over clusters.

    Each cluster is left out of both at once, see `jackknife`.

    Args:
        one: Predictions as `metrics.score_predictions` takes them.
        other: Predictions of the same folds, seeds and utterances.
        num_classes: Number of classes (C).

    Returns:
        How much better the first is, and the two-sided p-value of no difference.

    Raises:
        ValueError: The two predict different utterances.
    """
    key = ["fold", "seed", "utterance_id"]
    ordered = [table.sort_values(key, ignore_index=True) for table in (one, other)]
    if not ordered[0][[*key, "target"]].equals(ordered[1][[*key, "target"]]):
        raise ValueError(
            f"a comparison of systems that predict different utterances: {len(one)} and "
            f"{len(other)} predictions; score both on the same folds and seeds"
        )
    first, second = (jackknife_classes(table, num_classes, ["uar"]) for table in ordered)
    found = first.minus(second)
    difference = summarise(found, {"difference": count_targets(one)})["difference"]
    return difference, float(p_values(found)[0])


def permutation_p(differences: np.ndarray) -> float:
    """Tests whether paired differences are symmetric about 0, exactly if they are few: (N,).

    Returns:
        The two-sided p-value; up to 15 pairs all 2^N changes of sign are counted, else 2^15.
    """
    from scipy.stats import permutation_test

    if not differences.any():
        return 1.0
    result = permutation_test(
        (differences,),
        np.mean,
        permutation_type="samples",
        vectorized=True,
        n_resamples=2**15,
        rng=np.random.default_rng(0),
    )
    return float(result.pvalue)


def correct_by_holm(p_values: list[float]) -> list[float]:
    """Corrects the p-values of several tests, in their order (Holm, 1979)."""
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(np.argsort(p_values, kind="stable")):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = largest
    return corrected
