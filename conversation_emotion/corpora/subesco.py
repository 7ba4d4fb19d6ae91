"""SUBESCO (Sultana et al., 2021): ten Bangla sentences acted by twenty speakers in seven emotions.

Reads the recordings of one folder, or of one below it::

    F_10_FAHMEE_S_6_FEAR_5.wav

A name is gender, number and name of the speaker, S and the number of the sentence, the emotion and
the take. The words are not in the release; ``text`` is missing.

Columns behind the contract: ``sentence``, ``take``.
"""

import re
from functools import partial
from pathlib import Path

from conversation_emotion.corpora.recordings import Layout, load_recordings
from conversation_emotion.settings.corpus import CorpusSource
from conversation_emotion.utterances.labels import four_classes

EMOTIONS = {
    "ANGRY": "anger",
    "DISGUST": "disgust",
    "FEAR": "fear",
    "HAPPY": "happiness",
    "NEUTRAL": "neutral",
    "SAD": "sadness",
    "SURPRISE": "surprise",
}
"""Emotion of each code."""

_LAYOUT = Layout(
    corpus="subesco",
    root="the SUBESCO folder, the one that holds F_10_FAHMEE_S_6_FEAR_5.wav and so on",
    places=("*.wav", "*/*.wav"),
    name=r"(?P<speaker>(?P<gender>[FM])_\d+)_(?P<person>[A-Za-z]+)_S_(?P<sentence>\d+)_"
    rf"(?P<emotion>{'|'.join(EMOTIONS)})_(?P<take>\d+)",
    expected="gender, number and name of a speaker, S and a sentence, an emotion "
    f"({', '.join(EMOTIONS)}) and a take, such as F_10_FAHMEE_S_6_FEAR_5",
)


def _describe(name: re.Match[str], path: Path) -> dict[str, object]:
    return {
        "speaker": name["speaker"],
        "gender": "female" if name["gender"] == "F" else "male",
        "language": "bn",
        "emotion": EMOTIONS[name["emotion"]],
        "sentence": name["sentence"],
        "take": name["take"],
    }


CORPUS = CorpusSource(
    load=partial(load_recordings, layout=_LAYOUT, describe=_describe),
    root=_LAYOUT.root,
    label_maps={"4-class": four_classes(EMOTIONS.values())},
)
