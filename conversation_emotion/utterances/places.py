"""Where emotions lie among pleasure, activation and dominance (Russell and Mehrabian, 1977)."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

PLACES = {
    "anger": (-0.51, 0.59, 0.25),
    "boredom": (-0.65, -0.62, -0.33),
    "calm": (0.68, -0.46, 0.20),
    "disgust": (-0.60, 0.35, 0.11),
    "fear": (-0.64, 0.60, -0.43),
    "happiness": (0.76, 0.48, 0.35),
    "neutral": (0.0, 0.0, 0.0),
    "sadness": (-0.63, -0.27, -0.33),
    "surprise": (0.40, 0.67, -0.13),
}
"""Pleasure, activation and dominance from -1 to 1: numbers that circulate under the names of the
authors, whose own table was not seen; calm is their relaxed."""

AXES = ("valence", "activation", "dominance")


def place_emotions(labels: Sequence[str], probabilities: NDArray[np.floating]) -> pd.DataFrame:
    """Returns the mean place of the emotions of each row, weighted by their probabilities.

    Args:
        labels: Emotions (C).
        probabilities: Of each emotion (N, C); NaN where nothing was predicted.

    Returns:
        The columns `AXES`, N rows; NaN throughout if an emotion has no place.
    """
    places = np.array([PLACES.get(label, (np.nan,) * 3) for label in labels])
    return pd.DataFrame(probabilities @ places, columns=list(AXES))
