"""Arousal of each utterance as high or low: by rating where there are ratings, else by emotion."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from conversation_emotion.utterances.labels import IGNORED

LEVELS = ("low", "high")

AROUSAL_OF_EMOTION = {
    **dict.fromkeys(
        ("anger", "excitement", "fear", "frustration", "happiness", "surprise"), "high"
    ),
    **dict.fromkeys(("boredom", "calm", "disgust", "neutral", "sadness"), "low"),
}
"""Level of each emotion by the nouns of the suite, as Schuller et al. (2009) clustered the classes
of EmoDB and eNTERFACE; excitement, frustration and calm, which neither corpus has, by the
circumplex of Russell (1980). An emotion that is not here, such as contempt, has no level."""

_NOUNS = {
    **{"ang": "anger", "angry": "anger", "dis": "disgust", "fea": "fear", "fru": "frustration"},
    **{"exc": "excitement", "enthusiasm": "excitement", "sur": "surprise", "sad": "sadness"},
    **{"hap": "happiness", "happy": "happiness", "joy": "happiness", "neu": "neutral"},
}
"""Other names that corpora give to these emotions."""


def find_arousal_levels(
    utterances: pd.DataFrame, train: NDArray[np.int64]
) -> tuple[NDArray[np.int64], str]:
    """Returns the level of each utterance, an index into `LEVELS` or `IGNORED`, and its source.

    A rating is high above the median of the rows ``train``. A corpus without ratings there takes
    the level of each utterance's emotion.
    """
    ratings = utterances["arousal"].to_numpy(dtype=np.float64)
    rated = ratings[train][np.isfinite(ratings[train])]
    if len(rated):
        middle = float(np.median(rated))
        levels = (ratings > middle).astype(np.int64)
        levels[~np.isfinite(ratings)] = IGNORED
        return levels, f"high is rated above {middle:g}, the median of train"
    nouns = utterances["emotion"].map(lambda name: _NOUNS.get(name, name), na_action="ignore")
    names = nouns.map(AROUSAL_OF_EMOTION)
    levels = np.select([names == level for level in LEVELS], range(len(LEVELS)), IGNORED)
    found = {level: ", ".join(sorted(set(nouns[names == level]))) or "none" for level in LEVELS}
    sources = "; ".join(f"{level}: {emotions}" for level, emotions in found.items())
    return levels, f"no ratings, by emotion; {sources}"
