"""Emotion shift: will the next emotion differ from the last, and how well is that foreseen?

A system's probability of a shift is one less that of the last emotion staying. How well it ranks
shifts before stays is the area under the ROC curve: the probability that a shift is ranked higher,
ties counting half.
"""

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from conversation_emotion.evaluation.jackknife import Numbers, jackknife
from conversation_emotion.evaluation.metrics import Interval, count_targets, summarise
from conversation_emotion.utterances.labels import IGNORED

LAST, LAST_OWN = "last", "last_own"
"""Columns of the gold emotion before the target: of anybody, and of the target's own speaker."""

PREDICTED, PREDICTED_OWN = "last_predicted", "last_own_predicted"
"""Columns of the same as it was predicted."""

SHIFTS = {
    "shift_auc": (LAST, LAST),
    "shift_auc_predicted": (LAST, PREDICTED),
    "shift_auc_own": (LAST_OWN, LAST_OWN),
    "shift_auc_own_predicted": (LAST_OWN, PREDICTED_OWN),
}
"""Metrics by the column of the emotion that is shifted from, and of that whose staying is rated."""

MOST_RANKS = 256
"""Ranks that scores are told apart by; those that share one of so many count as ties."""


def weigh_by_priors(
    probabilities: NDArray[np.floating], priors: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Returns the probabilities where classes are as frequent as the priors say: (N, C), (N, C).

    It undoes a loss in which every class counts alike (Saerens et al., 2002).
    """
    weighed = probabilities * priors
    return weighed / weighed.sum(axis=1, keepdims=True)


def score_shifts(
    predictions: pd.DataFrame, probabilities: NDArray[np.floating], metrics: Iterable[str] = SHIFTS
) -> dict[str, Interval]:
    """Scores some of `SHIFTS`, those whose columns there are; see `score_shift`."""
    return {
        metric: score_shift(predictions, probabilities, metric, last=last, reference=reference)
        for metric in metrics
        for last, reference in [SHIFTS[metric]]
        if {last, reference} <= {*predictions}
    }


def score_shift(
    predictions: pd.DataFrame,
    probabilities: NDArray[np.floating],
    metric: str,
    *,
    last: str,
    reference: str,
) -> Interval:
    """Scores the probability of a shift by its AUC, with its interval over clusters.

    Args:
        predictions: Columns ``fold``, ``seed``, ``utterance_id``, ``target``, those of clusters,
            and the two that follow.
        probabilities: Of the classes of each target: (N, C).
        metric: Name of the AUC among the metrics.
        last: Column of the gold emotion that the target shifts from; where it is `IGNORED`, the
            target does not count.
        reference: Column of the emotion whose probability of staying is taken: the same, or one
            that was predicted.
    """
    staying = predictions[reference].to_numpy()
    is_known = (predictions[last].to_numpy() != IGNORED) & (staying != IGNORED)
    chosen = np.arange(len(staying)), np.where(is_known, staying, 0)
    table = predictions.assign(
        shifted=predictions["target"] != predictions[last], score=1 - probabilities[chosen]
    )[is_known]
    if not len(table):
        return Interval(float("nan"), 0.0, 1.0, 0.0, 0)
    found = jackknife(table, _count_ranks, _area)
    return summarise(found, {metric: count_targets(table)})[metric]


def _count_ranks(part: pd.DataFrame) -> Numbers:
    """Marks each target's rank, among those of shifts or of stays: N rows -> (N, 2 R)."""
    values, ranks = np.unique(part["score"].to_numpy(), return_inverse=True)
    if len(values) > MOST_RANKS:
        ranks = ranks * MOST_RANKS // len(values)
    counts = np.zeros((len(part), 2, int(ranks.max()) + 1))
    counts[np.arange(len(part)), part["shifted"].to_numpy(dtype=np.int64), ranks] = 1.0
    return counts.reshape(len(part), -1)


def _area(counts: Numbers) -> Numbers:
    """Computes the AUC from counts of stays and shifts by rank: (..., 2 R) -> (1, ...)."""
    stays, shifts = np.split(counts, 2, axis=-1)
    lower = stays.cumsum(axis=-1) - stays / 2
    pairs = stays.sum(axis=-1) * shifts.sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):  # NaN where either does not occur
        return ((shifts * lower).sum(axis=-1) / pairs)[np.newaxis]


def describe_shifts(tables: Mapping[int, pd.DataFrame]) -> Iterator[str]:
    """Describes what shifts are, and counts them in the predictions of each horizon."""
    yield (
        "AUC of one less the probability that the last emotion stays, classes as frequent as in "
        "train; the last is the latest of a class in the context, or that of the target's speaker; "
        "from the predicted: the emotion whose staying is rated is the model's own recognition; "
        "for the majority it is as frequent as in train"
    )
    for column, whose in ((LAST, "the last turn"), (LAST_OWN, "the speaker's own last turn")):
        counts = ", ".join(f"+{n}: {_count_shifts(one, column)}" for n, one in tables.items())
        yield f"shifts from {whose}, of targets that have one: {counts}"


def _count_shifts(predictions: pd.DataFrame, last: str) -> str:
    once = predictions.drop_duplicates(["fold", "utterance_id"])
    known = once[once[last] != IGNORED]
    return f"{int((known['target'] != known[last]).sum()):,} of {len(known):,}"
