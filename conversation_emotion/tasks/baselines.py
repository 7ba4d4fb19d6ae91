"""Baselines that every table shows: the commonest emotion, and the one just heard."""

import numpy as np
from numpy.typing import NDArray

from conversation_emotion.datasets.windows import PADDING, Windows
from conversation_emotion.utterances.labels import IGNORED


def predict_majority(train: Windows, test: Windows) -> NDArray[np.int64]:
    """Judges every test window to be the commonest class of the train windows: (N,)."""
    return np.full(len(test), np.bincount(train.targets).argmax(), dtype=np.int64)


def predict_last_emotion(
    train: Windows, test: Windows, classes: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Judges a turn to carry on with the gold emotion of the latest labelled utterance heard.

    This baseline is told what no model is: the gold emotions of the past (`classes`, a row per
    utterance). The judged utterance itself, which recognition hears, does not count. Where
    nothing labelled was heard, the commonest class of train stands in.
    """
    predictions = predict_majority(train, test)
    for number, (heard, judged) in enumerate(zip(test.rows, test.judged, strict=True)):
        past = heard[(heard != PADDING) & (heard != judged)]
        labelled = classes[past][classes[past] != IGNORED]
        if len(labelled):
            predictions[number] = labelled[-1]
    return predictions
