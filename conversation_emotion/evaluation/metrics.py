"""Metrics: what each is called and how it is written, those of classes, and their intervals.

A confusion matrix counts targets in rows and predictions in columns. Metrics of classes lie in 0 to
1 and are vectorised over leading axes: (..., C, C) -> (...).
"""

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from conversation_emotion.evaluation.jackknife import (
    Jackknife,
    Numbers,
    ScaleName,
    Score,
    interval_bounds,
    jackknife,
)

Counts = NDArray[np.floating] | NDArray[np.integer]


class Interval(NamedTuple):
    """A score with its 95 % interval.

    Attributes:
        score: Mean over folds and seeds.
        low: Lower bound of the mean score of the same trained systems on further clusters.
        high: Upper bound.
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
        title: Head of its column.
        is_percent: Whether a share is written in percent.
        digits: Digits behind the point.
        is_signed: Whether a plus is written, as for differences.
        is_pooled: Whether all folds together give one score of each seed.
        scale: Range of the metric, within which its interval stays.
    """

    title: str
    is_percent: bool = True
    digits: int = 1
    is_signed: bool = False
    is_pooled: bool = False
    scale: ScaleName = "share"


def _number(title: str, digits: int = 3, scale: ScaleName = "correlation") -> MetricDescription:
    return MetricDescription(title=title, is_percent=False, digits=digits, scale=scale)


METRIC_DESCRIPTIONS = {
    "uar": MetricDescription(title="UAR"),
    "macro_f1": MetricDescription(title="macro F1"),
    "wa": MetricDescription(title="WA"),
    "weighted_f1": MetricDescription(title="weighted F1"),
    "pooled_uar": MetricDescription(title="pooled UAR", is_pooled=True),
    "pearson": _number("Pearson r"),
    "mae": _number("absolute error", scale="error"),
    "ccc": _number("CCC"),
    "ccc_mean": _number("mean CCC"),
    "ccc_arousal": _number("activation"),
    "ccc_valence": _number("valence"),
    "ccc_dominance": _number("dominance"),
    "wer": MetricDescription(title="WER", scale="error"),
    "words_wer": MetricDescription(title="WER of the words", scale="error"),
    "change_uar": MetricDescription(title="UAR, gap", is_signed=True, scale="difference"),
    "p_uar": _number("p, Holm", scale="share"),
    "last_emotion_uar": MetricDescription(title="UAR of the last emotion"),
    "shift_auc": _number("AUC of a shift", scale="share"),
    "shift_auc_predicted": _number("from the predicted", scale="share"),
    "shift_auc_own": _number("of the speaker", scale="share"),
    "shift_auc_own_predicted": _number("of the speaker, from the predicted", scale="share"),
    "ece": MetricDescription(title="ECE", is_pooled=True),
    "overconfidence": MetricDescription(
        title="over-confidence", is_signed=True, is_pooled=True, scale="difference"
    ),
    "coverage": MetricDescription(title="coverage", is_pooled=True),
    "coverage_worst": MetricDescription(title="coverage, worst class", is_pooled=True),
    "aurc": MetricDescription(title="AURC", is_pooled=True),
    "set_size": _number("classes in a set", 2, scale="error"),
    "voted_uar": MetricDescription(title="UAR of the votes"),
    "jsd": _number("JSD", scale="share"),
    "kl": _number("KL", scale="error"),
    "brier": _number("Brier", scale="error"),
    "voted_ece": MetricDescription(title="ECE of the votes", is_pooled=True),
    "above_chance_f1": MetricDescription(title="F1 above chance"),
    "uar_of_rater": MetricDescription(title="UAR, share of a rater's", scale="error"),
    "jsd_of_rater": MetricDescription(title="1 - JSD, share of a rater's", scale="error"),
    "silhouette_arousal": _number("silhouette, arousal", 2),
    "compactness_arousal": _number("compactness, arousal", 2),
    "silhouette_emotion": _number("silhouette, emotion", 2),
    "compactness_emotion": _number("compactness, emotion", 2),
    "weight_in_sum": MetricDescription(title="weight in the sum"),
    "difference": MetricDescription(title="difference", is_signed=True, scale="difference"),
    "change_voted_uar": MetricDescription(
        title="UAR of the votes", is_signed=True, scale="difference"
    ),
    "change_jsd": MetricDescription(
        title="JSD", is_percent=False, digits=3, is_signed=True, scale="difference"
    ),
    "change_voted_ece": MetricDescription(
        title="ECE of the votes", is_signed=True, scale="difference"
    ),
    "p_voted_uar": _number("p, Holm", scale="share"),
    "p_jsd": _number("p, Holm", scale="share"),
    "p_voted_ece": _number("p, Holm", scale="share"),
    "p_value": _number("p", scale="share"),
    "p_holm": _number("p, Holm", scale="share"),
}
"""Every metric by its one name, in settings, tracking and results alike."""


LOWER_IS_BETTER = ("mae", "wer", "jsd")
"""Metrics of which less is better."""


def rank_score(metric: str, score: float) -> float:
    """Returns a score as a number of which more is better."""
    return -score if metric in LOWER_IS_BETTER else score


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


def score_predictions(predictions: pd.DataFrame, num_classes: int) -> dict[str, Interval]:
    """Scores predicted classes by all `METRICS`, with 95 % intervals over clusters.

    ``pooled_uar`` is the UAR of the confusions of all folds together, as some papers give it;
    ``uar`` is the mean over folds.

    Args:
        predictions: Columns ``fold``, ``seed``, ``dialogue_id``, ``utterance_id``, ``target`` and
            ``predicted``, and ``cluster`` where that is not the dialogue.
        num_classes: Number of classes (C).
    """
    pooled = jackknife_classes(predictions.assign(fold="all"), num_classes, ["uar"])
    n = count_targets(predictions)
    return {
        **summarise(
            jackknife_classes(predictions, num_classes, METRICS), dict.fromkeys(METRICS, n)
        ),
        **summarise(pooled, {"pooled_uar": n}),
    }


def jackknife_classes(
    predictions: pd.DataFrame, num_classes: int, metrics: Collection[str]
) -> Jackknife:
    """Jackknifes some of `METRICS`; `score_predictions` explains the arguments."""
    return jackknife(predictions, lambda part: _count(part, num_classes), confusion_scores(metrics))


def confusion_scores(metrics: Collection[str]) -> Score:
    """Returns what scores flattened confusions by some of `METRICS`: (..., C²) -> (M, ...)."""

    def score(counts: Numbers) -> Numbers:
        num_classes = math.isqrt(counts.shape[-1])
        confusions = counts.reshape(*counts.shape[:-1], num_classes, num_classes)
        return np.stack([METRICS[name](confusions) for name in metrics])

    return score


def _count(part: pd.DataFrame, num_classes: int) -> Numbers:
    pairs = part["target"].to_numpy(), part["predicted"].to_numpy()
    cells = np.ravel_multi_index(pairs, (num_classes, num_classes))  # refuses other classes
    return np.eye(num_classes**2)[cells]


def score_classes(predictions: pd.DataFrame, labels: Sequence[str]) -> dict[str, ClassScore]:
    """Scores each class by the confusions of all folds and seeds together.

    Args:
        predictions: Columns ``fold``, ``utterance_id``, ``target`` and ``predicted``.
        labels: Names of the classes (C).
    """
    confusions = count_confusions(
        predictions["target"].to_numpy(), predictions["predicted"].to_numpy(), len(labels)
    )
    hits, targets, predicted = np.diag(confusions), confusions.sum(axis=1), confusions.sum(axis=0)
    with np.errstate(invalid="ignore"):  # 0 / 0 is the NaN of a class that does not occur
        recalls, f1_scores = hits / targets, 2 * hits / (targets + predicted)
    once = predictions.drop_duplicates(["fold", "utterance_id"])["target"]
    supports = np.bincount(once.to_numpy(), minlength=len(labels))
    found = zip(recalls.tolist(), f1_scores.tolist(), supports.tolist(), strict=True)
    return dict(zip(labels, map(ClassScore._make, found), strict=True))


def count_targets(predictions: pd.DataFrame) -> int:
    """Counts the target utterances of all folds, each once however many seeds predicted it."""
    return len(predictions.drop_duplicates(["fold", "utterance_id"]))


def summarise(found: Jackknife, counts: dict[str, int]) -> dict[str, Interval]:
    """Returns the interval of each score.

    Args:
        found: M scores.
        counts: Target utterances behind each score by its name, M in the order of the scores.
    """
    intervals = {}
    for place, (name, n) in enumerate(counts.items()):
        one = Jackknife(found.points[place], found.influences[place], found.degrees)
        low, high = interval_bounds(one, describe_metric(name).scale).tolist()
        points = one.points[np.isfinite(one.points)]
        deviation = float(np.std(points, ddof=1)) if len(points) > 1 else 0.0
        intervals[name] = Interval(float(one.score), low, high, deviation, n)
    return intervals


def _diagonal(confusions: Counts) -> Numbers:
    return np.diagonal(confusions, axis1=-2, axis2=-1).astype(np.float64)
