"""Baselines of emotion in a conversation: the majority, the emotions before, the words before.

Those that are fitted learn from train windows; valid chooses their one setting.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from conversation_emotion.datasets.windows import PADDING, SPEAKER, Windows
from conversation_emotion.models.conversation import COSTS
from conversation_emotion.utterances.labels import IGNORED

Baseline = Callable[[Windows, Windows], NDArray]
"""From the train windows and those of a part to the class of each of the latter."""

Forecast = Callable[[Windows], NDArray[np.float64]]
"""From windows to the probabilities of their classes (N, C)."""

Chosen = TypeVar("Chosen", bound=Forecast)

Rank = Callable[[NDArray[np.float64], Windows], float]
"""How good probabilities of some windows are, larger for better."""

SMOOTHING = (1.0, 3.0, 10.0, 30.0, 100.0)
"""Targets that a row of a table has beforehand, spread as the classes of train are."""

WORDS = r"[\u3040-\u30ff\u3400-\u9fff]|[^\W\u3040-\u30ff\u3400-\u9fff]+"
"""Words, and each sign of Chinese or Japanese, which are written without spaces."""


def predict_majority(train: Windows, test: Windows) -> NDArray[np.int64]:
    """Predicts the most frequent class of the train windows for every test window: (N,)."""
    return np.full(len(test), np.bincount(train.targets).argmax(), dtype=np.int64)


def predict_last_emotion(
    train: Windows, test: Windows, classes: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Predicts that a turn continues the gold emotion of the latest labelled utterance.

    This baseline is given what no model is: the gold emotions of the past (`classes`, a row per
    utterance). The target itself, which recognition has in its context, does not count. Where
    nothing in the context is labelled, the most frequent class of train is predicted.
    """
    last = find_last(test, classes)
    return np.where(last == IGNORED, predict_majority(train, test), last)


def find_last(
    windows: Windows, classes: NDArray[np.int64], *, of_speaker: bool | None = None
) -> NDArray[np.int64]:
    """Finds the class of the latest utterance of each context that has one: (rows,) -> (N,).

    ``of_speaker`` looks at utterances of the target's speaker alone, or at all others. The target
    itself never counts. `IGNORED` where there is none.
    """
    rows = windows.rows
    is_there = (rows != PADDING) & (rows != windows.target_rows[:, np.newaxis])
    if of_speaker is not None:
        is_there &= (windows.roles == SPEAKER) == of_speaker
    found = np.where(is_there, classes[rows], IGNORED)
    last = found.shape[1] - 1 - (found != IGNORED)[:, ::-1].argmax(axis=1)
    return found[np.arange(len(found)), last]


def divide_by_priors(
    probabilities: NDArray[np.floating], priors: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Returns the probabilities if each class were as frequent as any other: (N, C), (C,)."""
    divided = probabilities / priors
    return divided / divided.sum(axis=1, keepdims=True)


def count_priors(train: Windows, num_classes: int) -> NDArray[np.float64]:
    """Returns the share of each class among the train targets: (C,)."""
    return np.bincount(train.targets, minlength=num_classes) / len(train)


def choose(forecasts: Iterable[Chosen], valid: Windows, rank: Rank) -> Chosen:
    """Returns the forecast that ranks highest on valid, of equals the first."""
    return max(forecasts, key=lambda forecast: rank(forecast(valid), valid))


def fit_table(
    keys: NDArray[np.int64],
    targets: NDArray[np.int64],
    priors: NDArray[np.float64],
    num_keys: int,
    smoothing: float,
) -> NDArray[np.float64]:
    """Counts which classes follow each key: (N,), (N,) -> probabilities (K, C).

    A key has as many targets as ``smoothing`` says beforehand, spread as the ``priors`` (C,).
    """
    counts = np.zeros((num_keys, len(priors)))
    np.add.at(counts, (keys, targets), 1.0)
    counts += smoothing * priors
    return counts / counts.sum(axis=1, keepdims=True)


@dataclass(frozen=True, eq=False)
class Markov:
    """How likely each emotion follows the gold emotions before, which it is given.

    Those are the latest of all (``order`` 1), or the latest of the target's speaker and the latest
    of anybody else (``order`` 2); that there is none is the last state of either.

    Attributes:
        table: Probabilities of the C classes after each state: (C + 1, C) or ((C + 1)^2, C).
        classes: Gold class of every utterance: (rows,).
        order: 1 or 2.
    """

    table: NDArray[np.float64]
    classes: NDArray[np.int64]
    order: int

    def __call__(self, windows: Windows) -> NDArray[np.float64]:
        """Returns the probabilities of each window: (N, C)."""
        num_classes = self.table.shape[1]
        return self.table[find_states(windows, self.classes, num_classes, self.order)]


def find_states(
    windows: Windows, classes: NDArray[np.int64], num_classes: int, order: int
) -> NDArray[np.int64]:
    """Finds the row of a `Markov` table of each window: (N,)."""
    whose = (None,) if order == 1 else (True, False)
    last = [find_last(windows, classes, of_speaker=one) for one in whose]
    states = [np.where(one == IGNORED, num_classes, one) for one in last]
    return np.ravel_multi_index(states, (num_classes + 1,) * order)


def fit_markov(
    train: Windows, classes: NDArray[np.int64], num_classes: int, smoothing: float, order: int
) -> Markov:
    """Fits a `Markov` table on train windows."""
    states = find_states(train, classes, num_classes, order)
    priors, num_states = count_priors(train, num_classes), (num_classes + 1) ** order
    return Markov(fit_table(states, train.targets, priors, num_states, smoothing), classes, order)


def join_last_words(windows: Windows, texts: pd.Series) -> list[str]:
    """Joins the words of the latest turn of each context, without utterances that are masked."""
    written = texts.fillna("").astype(str).to_numpy()
    is_real = windows.rows != PADDING
    latest = np.where(is_real, windows.turns_back, np.iinfo(np.int64).max).min(axis=1)
    is_last = is_real & (windows.turns_back == latest[:, np.newaxis]) & ~windows.masked
    return [
        " ".join(written[row[chosen]]) for row, chosen in zip(windows.rows, is_last, strict=True)
    ]


def fit_last_words(
    train: Windows,
    valid: Windows,
    texts: pd.Series,
    num_classes: int,
    rank: Rank,
    *,
    balanced: bool,
) -> Forecast | None:
    """Fits a logistic regression on which words the latest turn has, C chosen on valid.

    The words are those of train. None where it has no words.
    """
    from sklearn.feature_extraction.text import CountVectorizer  # if they are fitted
    from sklearn.linear_model import LogisticRegression

    words = CountVectorizer(token_pattern=WORDS, binary=True)
    written = join_last_words(train, texts)
    if not any(map(words.build_analyzer(), written)):
        return None
    counts, weight = words.fit_transform(written), "balanced" if balanced else None

    def fit(cost: float) -> Forecast:
        model = LogisticRegression(C=cost, class_weight=weight, max_iter=1_000)
        model.fit(counts, train.targets)

        def forecast(windows: Windows) -> NDArray[np.float64]:
            probabilities = np.zeros((len(windows), num_classes))
            found = model.predict_proba(words.transform(join_last_words(windows, texts)))
            probabilities[:, model.classes_] = found
            return probabilities

        return forecast

    return choose(map(fit, COSTS), valid, rank)
