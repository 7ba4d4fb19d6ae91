"""Sentiment of utterances, which corpora give as a word or as a number: its polarity, its strength.

Polarity is negative, neutral or positive; a number has that of its sign. Strength is the number.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from conversation_emotion.utterances.labels import SENTIMENTS, LabelMap, own_names

POLARITIES = ("negative", "positive")
"""The classes where neutral utterances are left out (Lian et al., 2023)."""


def name_polarities(sentiments: pd.Series) -> pd.Series:
    """Names the polarity of each sentiment, missing where there is none.

    Raises:
        ValueError: A sentiment is neither a polarity nor a number.
    """
    numbers = pd.to_numeric(sentiments, errors="coerce")
    is_valid = sentiments.isna() | sentiments.isin(SENTIMENTS) | numbers.notna()
    if not is_valid.all():
        row = sentiments.index[~is_valid][0]
        raise ValueError(
            f"sentiment {sentiments[row]!r} (row {row}, {int((~is_valid).sum())} such in all) is "
            f"neither a number nor one of {', '.join(SENTIMENTS)}"
        )
    named = sentiments.mask(numbers < 0, "negative").mask(numbers > 0, "positive")
    return named.mask(numbers == 0, "neutral")


def read_strengths(sentiments: pd.Series) -> NDArray[np.float32]:
    """Reads sentiments that are numbers, NaN where there is none: (rows,).

    Raises:
        ValueError: A sentiment is a word, or there is none at all.
    """
    numbers = pd.to_numeric(sentiments, errors="coerce")
    if numbers.isna().all():
        found = ", ".join(sorted(map(str, sentiments.dropna().unique()))[:3]) or "none"
        raise ValueError(
            f"no utterance has its sentiment as a number (found: {found}); numbers from -3 to 3 "
            "are in cmu-mosi and cmu-mosei, or in a manifest of your own"
        )
    if (words := numbers.isna() & sentiments.notna()).any():
        row = sentiments.index[words][0]
        raise ValueError(
            f"sentiment {sentiments[row]!r} (row {row}) is no number, others are; give all of "
            "them as numbers"
        )
    return numbers.to_numpy(dtype=np.float32)


def polarity_map(corpus: str, *, with_neutral: bool) -> LabelMap:
    """Makes the map from named polarities to two classes, or to three with neutral."""
    labels = SENTIMENTS if with_neutral else POLARITIES
    return LabelMap(
        corpus=corpus,
        label_set="three polarities" if with_neutral else "two polarities",
        labels=labels,
        classes=own_names(labels),
        dropped=tuple(name for name in SENTIMENTS if name not in labels),
    )
