"""Metrics: what each is called and how it is written, those of classes, and their intervals.

A confusion matrix counts targets in rows and predictions in columns. Metrics of classes lie in 0 to
1 and are vectorised over leading axes: (..., C, C) -> (...).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from conversation_emotion.evaluation.bootstrap import Numbers, Resamples, bootstrap, interval_bounds

Counts = NDArray[np.floating] | NDArray[np.integer]


class Interval(NamedTuple):
    """A score with its 95 % bootstrap interval.

    Attributes:
        score: Mean over folds and seeds.
        low: 2.5th percentile of the resampled means.
        high: 97.5th percentile of the resampled means.
        deviation: Standard deviation over folds and seeds, 0 if there is only one.
        n: Target utterances, each counted once however many seeds predicted it.
    """

    score: float
    low: float
    high: float
    deviation: float
    n: int


class ClassScore(NamedTuple):
    """How well one class is recognised.

    Attributes:
        recall: Share of its targets that are predicted, NaN if it has none.
        f1: Harmonic mean of precision and recall, NaN if it is neither target nor prediction.
        support: Targets of the class, each counted once however many seeds predicted it.
    """

    recall: float
    f1: float
    support: int


@dataclass(frozen=True, kw_only=True)
class MetricDescription:
    """What a metric is called and how its numbers are written.

    Attributes:
        name: Its one name, in settings, tracking and results alike.
        title: Head of its column.
        is_percent: Whether a share is written in percent.
        digits: Digits behind the point.
        higher_is_better: None where a number is neither good nor bad.
        is_signed: Whether a plus is written, as for differences.
    """

    name: str
    title: str
    is_percent: bool = True
    digits: int = 1
    higher_is_better: bool | None = True
    is_signed: bool = False


def _number(name: str, title: str, digits: int = 3) -> MetricDescription:
    return MetricDescription(name=name, title=title, is_percent=False, digits=digits)


_DESCRIPTIONS = (
    MetricDescription(name="uar", title="UAR"),
    MetricDescription(name="macro_f1", title="macro F1"),
    MetricDescription(name="wa", title="WA"),
    MetricDescription(name="weighted_f1", title="weighted F1"),
    _number("pearson", "Pearson r"),
    MetricDescription(
        name="mae", title="absolute error", is_percent=False, digits=3, higher_is_better=False
    ),
    _number("ccc", "CCC"),
    _number("ccc_mean", "mean CCC"),
    _number("ccc_arousal", "activation"),
    _number("ccc_valence", "valence"),
    _number("ccc_dominance", "dominance"),
    MetricDescription(name="wer", title="WER", higher_is_better=False),
    _number("silhouette_arousal", "silhouette, arousal", 2),
    _number("compactness_arousal", "compactness, arousal", 2),
    _number("silhouette_emotion", "silhouette, emotion", 2),
    _number("compactness_emotion", "compactness, emotion", 2),
    MetricDescription(name="weight_in_sum", title="weight in the sum", higher_is_better=None),
    MetricDescription(name="difference", title="difference", is_signed=True, higher_is_better=None),
    MetricDescription(name="p_value", title="p", is_percent=False, digits=3, higher_is_better=None),
)

METRIC_DESCRIPTIONS = {description.name: description for description in _DESCRIPTIONS}
"""Every metric of a results table by its name."""


def describe_metric(name: str) -> MetricDescription:
    """Returns the description of a metric.

    Raises:
        ValueError: There is no metric of that name.
    """
    if name not in METRIC_DESCRIPTIONS:
        raise ValueError(f"no metric {name!r}; choose from {', '.join(METRIC_DESCRIPTIONS)}")
    return METRIC_DESCRIPTIONS[name]


def count_confusions(
    targets: NDArray[np.int64], predictions: NDArray[np.int64], num_classes: int
) -> NDArray[np.int64]:
    """Counts targets in rows against predictions in columns: (N,), (N,) -> (C, C)."""
    flat = np.bincount(targets * num_classes + predictions, minlength=num_classes**2)
    return flat.reshape(num_classes, num_classes)


def unweighted_average_recall(confusions: Counts) -> Numbers:
    """Mean recall over the classes that occur among the targets (UAR, also called UA)."""
    support = confusions.sum(axis=-1)
    recalls = _diagonal(confusions) / np.maximum(support, 1e-12)
    return recalls.sum(axis=-1) / np.maximum((support > 0).sum(axis=-1), 1)


def weighted_accuracy(confusions: Counts) -> Numbers:
    """Share of correct predictions (WA, plain accuracy)."""
    total = confusions.sum(axis=(-2, -1))
    return _diagonal(confusions).sum(axis=-1) / np.maximum(total, 1e-12)


def macro_f1(confusions: Counts) -> Numbers:
    """Mean F1 over the classes that occur among targets or predictions."""
    mass = confusions.sum(axis=-1) + confusions.sum(axis=-2)
    scores = 2 * _diagonal(confusions) / np.maximum(mass, 1e-12)
    return scores.sum(axis=-1) / np.maximum((mass > 0).sum(axis=-1), 1)


def weighted_f1(confusions: Counts) -> Numbers:
    """Mean F1 weighted by the number of targets of each class (WF1)."""
    support = confusions.sum(axis=-1)
    mass = support + confusions.sum(axis=-2)
    scores = 2 * _diagonal(confusions) / np.maximum(mass, 1e-12)
    return (scores * support).sum(axis=-1) / np.maximum(support.sum(axis=-1), 1e-12)


METRICS: dict[str, Callable[[Counts], Numbers]] = {
    "uar": unweighted_average_recall,
    "macro_f1": macro_f1,
    "wa": weighted_accuracy,
    "weighted_f1": weighted_f1,
}
"""Metrics of classes by name."""


def score_predictions(
    predictions: pd.DataFrame, num_classes: int, *, num_resamples: int = 2000, seed: int = 0
) -> dict[str, Interval]:
    """Scores predicted classes by all `METRICS`, with 95 % intervals over dialogues.

    Args:
        predictions: Columns ``fold``, ``seed``, ``dialogue_id``, ``utterance_id``, ``target`` and
            ``predicted``.
        num_classes: Number of classes (C).
        num_resamples: Bootstrap resamples.
        seed: Seed of the resampling.
    """
    resamples = bootstrap_classes(
        predictions, num_classes, METRICS, num_resamples=num_resamples, seed=seed
    )
    return summarise(resamples, dict.fromkeys(METRICS, count_targets(predictions)))


def bootstrap_classes(
    predictions: pd.DataFrame,
    num_classes: int,
    metrics: Iterable[str],
    *,
    num_resamples: int,
    seed: int,
) -> Resamples:
    """Resamples some of `METRICS`; `score_predictions` explains the arguments."""
    chosen = [METRICS[name] for name in metrics]

    def count(part: pd.DataFrame, num_dialogues: int) -> Numbers:
        counts = np.zeros((num_dialogues, num_classes, num_classes))
        np.add.at(counts, (part["dialogue"], part["target"], part["predicted"]), 1)
        return counts.reshape(num_dialogues, -1)

    def score(counts: Numbers) -> Numbers:
        confusions = counts.reshape(*counts.shape[:-1], num_classes, num_classes)
        return np.stack([metric(confusions) for metric in chosen])

    return bootstrap(predictions, count, score, num_resamples=num_resamples, seed=seed)


def score_classes(predictions: pd.DataFrame, labels: Sequence[str]) -> dict[str, ClassScore]:
    """Scores each class by the confusions of all folds and seeds together.

    Args:
        predictions: Columns ``fold``, ``utterance_id``, ``target`` and ``predicted``.
        labels: Names of the classes (C).
    """
    confusions = count_confusions(
        predictions["target"].to_numpy(), predictions["predicted"].to_numpy(), len(labels)
    )
    once = predictions.drop_duplicates(["fold", "utterance_id"])["target"]
    support = np.bincount(once.to_numpy(), minlength=len(labels))
    hits, targets, predicted = np.diag(confusions), confusions.sum(axis=1), confusions.sum(axis=0)
    return {
        label: ClassScore(
            _ratio(hits[number], targets[number]),
            _ratio(2 * hits[number], targets[number] + predicted[number]),
            int(support[number]),
        )
        for number, label in enumerate(labels)
    }


def count_targets(predictions: pd.DataFrame) -> int:
    """Counts the target utterances of all folds, each once however many seeds predicted it."""
    return len(predictions.drop_duplicates(["fold", "utterance_id"]))


def summarise(resamples: Resamples, counts: dict[str, int]) -> dict[str, Interval]:
    """Returns the interval of each score.

    Args:
        resamples: M scores.
        counts: Target utterances behind each score by its name, M in the order of the scores.
    """
    intervals = {}
    for (name, n), points, means in zip(
        counts.items(), resamples.points.T, resamples.means, strict=True
    ):
        low, high = interval_bounds(means).tolist()
        deviation = float(np.std(points, ddof=1)) if len(points) > 1 else 0.0
        intervals[name] = Interval(float(np.mean(points)), low, high, deviation, n)
    return intervals


def _diagonal(confusions: Counts) -> Numbers:
    return np.diagonal(confusions, axis1=-2, axis2=-1).astype(np.float64)


def _ratio(part: int, whole: int) -> float:
    return float(part / whole) if whole else float("nan")
