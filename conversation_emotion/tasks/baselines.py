"""Baselines that every table shows: the most frequent emotion, and that of the last turn."""

import numpy as np
from numpy.typing import NDArray

from conversation_emotion.datasets.windows import PADDING, Windows
from conversation_emotion.utterances.labels import IGNORED

MAJORITY, LAST_EMOTION = "majority", "last_emotion"
"""Names of the baselines, which are columns of the predictions."""


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
    predictions = predict_majority(train, test)
    for number, (context, target) in enumerate(zip(test.rows, test.target_rows, strict=True)):
        past = context[(context != PADDING) & (context != target)]
        labelled = classes[past][classes[past] != IGNORED]
        if len(labelled):
            predictions[number] = labelled[-1]
    return predictions
