"""Calibration: probabilities by temperature, prediction sets by speaker, and how true both are."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import log_softmax

from conversation_emotion.evaluation.jackknife import Numbers, jackknife
from conversation_emotion.evaluation.metrics import Interval, count_targets, summarise

Sets = Literal["speaker", "class"]
"""Of what prediction sets hold a share of the targets' classes: of each speaker, or each class."""

NUM_BINS = 15
"""Bins of equal width of the calibration error, as in Guo et al. (2017)."""

_COLDEST, _HOTTEST = 0.05, 20.0
"""Temperatures beyond are those of a model that is always right on valid, or knows nothing."""

_MOST_PARTS = 10
"""Parts of the speakers, each of which is calibrated by the others."""

_LEAST = float(np.finfo(np.float32).tiny)
"""Probabilities below are rounded to 0 by models, whose logarithm no temperature would move."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What turns the probabilities of a model into true ones, and into prediction sets."""

    temperature: float
    """Divides the logits; above 1 the model was over-confident (Guo et al., 2017)."""

    threshold: float
    """Least probability, after temperature, of a class in a prediction set."""

    coverage: float
    """Share of a speaker's targets whose class the sets are made to hold."""

    num_targets: int
    num_speakers: int
    """Targets and speakers that both were fitted on."""

    class_thresholds: tuple[float, ...] = ()
    """The threshold of each class, where sets are made to hold each class alike (C)."""

    @property
    def is_by_class(self) -> bool:
        """Whether sets are made to hold each class alike, not the targets of each speaker."""
        return bool(self.class_thresholds)

    @property
    def has_few_speakers(self) -> bool:
        """Whether one more speaker alone could be a larger share than what sets may miss."""
        return (self.num_speakers + 1) * (1 - self.coverage) < 1 - 1e-9

    def temper(self, probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
        """Returns the probabilities at the temperature: (N, C) -> (N, C)."""
        return np.exp(_cool(probabilities, self.temperature))

    def find_sets(self, tempered: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Marks the classes of each prediction set, the most probable always: (N, C) -> (N, C).

        Args:
            tempered: Probabilities that `temper` returned.
        """
        is_in = tempered >= (
            np.array(self.class_thresholds) if self.is_by_class else self.threshold
        )
        is_in[np.arange(len(tempered)), tempered.argmax(axis=1)] = True
        return is_in


def fit_calibration(
    predictions: pd.DataFrame, labels: Sequence[str], coverage: float, *, sets: Sets = "speaker"
) -> Calibration:
    """Fits the temperature, and then the threshold of prediction sets, or one for each class.

    Args:
        predictions: Of targets that the model learnt nothing from, with the columns
            ``utterance_id``, ``speaker``, ``target`` and a probability ``p_LABEL`` of each class.
        labels: Names of the classes (C).
        coverage: Share of a speaker's targets whose class a set has to hold, or of a class's.
        sets: Whose targets that is a share of.
    """
    probabilities, targets = _read(predictions, labels)
    temperature = fit_temperature(probabilities, targets)
    tempered = np.exp(_cool(probabilities, temperature))
    true, speakers = tempered[np.arange(len(targets)), targets], predictions["speaker"]
    by_class = find_class_thresholds(true, targets, speakers, coverage, len(labels))
    return Calibration(
        temperature=temperature,
        threshold=find_threshold(true, speakers, coverage),
        class_thresholds=by_class if sets == "class" else (),
        coverage=coverage,
        num_targets=predictions["utterance_id"].nunique(),
        num_speakers=predictions["speaker"].nunique(),
    )


def fit_temperature(probabilities: NDArray[np.floating], targets: NDArray[np.int64]) -> float:
    """Returns the temperature with the least log loss: (N, C), (N,) -> ().

    One more target, which is each class by the same share, keeps the temperature above 0 where all
    predictions are right, as the targets of Platt (1999) do.
    """
    from scipy.optimize import minimize_scalar  # here: cards read calibrations, and fit none

    def loss(log_temperature: float) -> float:
        logs = _cool(probabilities, np.exp(log_temperature))
        return float(-logs[np.arange(len(targets)), targets].sum() - logs.mean())

    found = minimize_scalar(loss, bounds=np.log([_COLDEST, _HOTTEST]), method="bounded")
    return float(np.exp(found.x))


def find_threshold(true: NDArray[np.floating], speakers: pd.Series, coverage: float) -> float:
    """Returns the probability that a share of the targets' true classes reach: (N,), (N,) -> ().

    Split conformal prediction with the score 1 - p (Sadinle et al., 2019). Utterances of a speaker
    are alike, so that the coverage of the next speaker's is that of speakers: their distributions
    are pooled, each with the same weight (Dunn, Wasserman and Ramdas, 2022, "pooling CDFs"). The
    coverage is reached in the mean as speakers become many, and is rough where they are few.
    """
    weights = 1.0 / speakers.groupby(speakers).transform("size").to_numpy()
    order = np.argsort(-true, kind="stable")
    reached = weights[order].cumsum() / weights.sum()
    return float(true[order][np.searchsorted(reached, coverage - 1e-9)])


def find_class_thresholds(
    true: NDArray[np.floating],
    targets: NDArray[np.int64],
    speakers: pd.Series,
    coverage: float,
    num_classes: int,
) -> tuple[float, ...]:
    """Returns for each class the probability that a share of its targets reach: (N,), (N,) -> (C,).

    Conformal prediction within classes (Vovk, 2012), speakers pooled as in `find_threshold`. Of n
    targets of a class the share is larger by 1 / n, which is exact where they are exchangeable; a
    class with so few that it passes 1 is in every set.
    """
    found = []
    for number in range(num_classes):
        here = targets == number
        share = coverage * (1 + 1 / max(int(here.sum()), 1))
        is_enough = here.any() and share <= 1
        found.append(find_threshold(true[here], speakers[here], share) if is_enough else 0.0)
    return tuple(found)


def apply_calibration(
    predictions: pd.DataFrame, labels: Sequence[str], calibration: Calibration
) -> pd.DataFrame:
    """Returns predictions with tempered probabilities, ``is_covered`` and ``set_size``."""
    probabilities, targets = _read(predictions, labels)
    tempered = calibration.temper(probabilities)
    sets = calibration.find_sets(tempered)
    columns = {f"p_{label}": tempered[:, number] for number, label in enumerate(labels)}
    return predictions.assign(
        **columns,
        is_covered=sets[np.arange(len(targets)), targets],
        set_size=sets.sum(axis=1),
    )


def calibrate_by_valid(
    predictions: pd.DataFrame, labels: Sequence[str], coverage: float, *, sets: Sets = "speaker"
) -> pd.DataFrame:
    """Returns the predictions on test, each fold and seed calibrated by its valid part."""
    tables = []
    for _, table in predictions.groupby(["fold", "seed"], sort=False):
        valid, test = (table[table["part"] == part] for part in ("valid", "test"))
        fitted = fit_calibration(valid, labels, coverage, sets=sets)
        tables.append(apply_calibration(test, labels, fitted))
    return pd.concat(tables, ignore_index=True)


def calibrate_by_others(
    predictions: pd.DataFrame, labels: Sequence[str], coverage: float, *, sets: Sets = "speaker"
) -> pd.DataFrame:
    """Returns the predictions on test, those of each speaker calibrated by those of others.

    Up to ten speakers are left out one by one, more of them in ten groups. Raises a `ValueError`
    where there is only one.
    """
    test = predictions[predictions["part"] == "test"]
    numbers, names = pd.factorize(test["speaker"], sort=True)
    if len(names) < 2:
        raise ValueError(
            f"a calibration by other speakers needs two of them or more, got {len(names)} on test"
        )
    parts = numbers % _MOST_PARTS
    return pd.concat(
        apply_calibration(
            test[parts == part],
            labels,
            fit_calibration(test[parts != part], labels, coverage, sets=sets),
        )
        for part in np.unique(parts)
    ).loc[test.index]


def score_calibration(predictions: pd.DataFrame, labels: Sequence[str]) -> dict[str, Interval]:
    """Scores how true probabilities are, and prediction sets where there are any.

    ``ece`` is the expected calibration error over all folds: the mean distance of confidence and
    accuracy in `NUM_BINS` bins (Guo et al., 2017); of few predictions it is too high. ``coverage``
    is the share of targets whose class is in their set, each speaker alike.

    Args:
        predictions: Those of all folds and seeds, with what `metrics.score_predictions` needs and
            the probability of each class; and the columns of `apply_calibration`.
        labels: Names of the classes (C).
    """
    pooled = predictions.assign(fold="all")
    n = count_targets(pooled)
    scores = summarise(jackknife(pooled, lambda part: _gaps(part, labels), _error), {"ece": n})
    if "is_covered" in pooled:
        scores |= summarise(
            jackknife(pooled, _set_terms, _score_sets), {"coverage": n, "set_size": n}
        )
    return scores


def score_confidence(predictions: pd.DataFrame, labels: Sequence[str]) -> dict[str, Interval]:
    """Scores ``overconfidence``: the mean confidence less the share of right predictions.

    Other than the calibration error it is not larger for few predictions, so that groups of unlike
    sizes compare.

    Args:
        predictions: As of `score_calibration`.
        labels: Names of the classes (C).
    """

    def count(part: pd.DataFrame) -> Numbers:
        confidences, hits, _ = _sort_into_bins(part, labels)
        return np.column_stack([confidences - hits, np.ones(len(part))])

    pooled = predictions.assign(fold="all")
    found = jackknife(pooled, count, lambda sums: (sums[..., 0] / sums[..., 1])[np.newaxis])
    return summarise(found, {"overconfidence": count_targets(pooled)})


def bin_confidences(
    predictions: pd.DataFrame, labels: Sequence[str]
) -> Iterator[tuple[float, float, float]]:
    """Yields mean confidence, accuracy, and share of the predictions, of each bin that has any."""
    confidences, hits, bins = _sort_into_bins(predictions, labels)
    for number in np.unique(bins):
        here = bins == number
        yield float(confidences[here].mean()), float(hits[here].mean()), float(here.mean())


def _sort_into_bins(
    predictions: pd.DataFrame, labels: Sequence[str]
) -> tuple[Numbers, NDArray[np.bool_], NDArray[np.int64]]:
    """Returns the confidence of each prediction, whether it is right, and its bin: (N,) each."""
    probabilities, targets = _read(predictions, labels)
    confidences = probabilities.max(axis=1)
    bins = np.minimum((confidences * NUM_BINS).astype(int), NUM_BINS - 1)
    return confidences, probabilities.argmax(axis=1) == targets, bins


def _gaps(part: pd.DataFrame, labels: Sequence[str]) -> Numbers:
    """Returns accuracy above confidence, in the bin of each row, and 1: (N, bins + 1)."""
    confidences, hits, bins = _sort_into_bins(part, labels)
    gaps = np.eye(NUM_BINS)[bins] * (hits - confidences)[:, np.newaxis]
    return np.column_stack([gaps, np.ones(len(part))])


def _error(sums: Numbers) -> Numbers:
    return (np.abs(sums[..., :-1]).sum(axis=-1) / sums[..., -1])[np.newaxis]


def _set_terms(part: pd.DataFrame) -> Numbers:
    weights = 1.0 / part.groupby("speaker")["speaker"].transform("size").to_numpy()
    covered = part["is_covered"].to_numpy() * weights
    return np.column_stack([covered, weights, part["set_size"], np.ones(len(part))])


def _score_sets(sums: Numbers) -> Numbers:
    return np.stack([sums[..., 0] / sums[..., 1], sums[..., 2] / sums[..., 3]])


def _cool(probabilities: NDArray[np.floating], temperature: float) -> NDArray[np.float64]:
    """Returns the log-probabilities at a temperature: (N, C) -> (N, C)."""
    logs = np.log(np.maximum(probabilities.astype(np.float64), _LEAST))
    return log_softmax(logs / temperature, axis=1)


def _read(
    predictions: pd.DataFrame, labels: Sequence[str]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Returns probabilities and targets: (N, C), (N,)."""
    columns = [f"p_{label}" for label in labels]
    return predictions[columns].to_numpy(np.float64), predictions["target"].to_numpy(np.int64)
