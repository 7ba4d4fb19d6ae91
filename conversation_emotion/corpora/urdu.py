"""URDU (Latif et al., 2018): 400 utterances of 29 speakers from Urdu talk shows, four emotions.

Reads the repository as distributed, a folder for each emotion::

    Neutral/SM20_F8_N012.wav

A name is the speaker (SM a man, SF a woman), the number of the file of that speaker, and the
emotion's letter with a number. What is said is not transcribed; ``text`` is missing.
"""

import re
from functools import partial
from pathlib import Path

from conversation_emotion.corpora.recordings import Layout, load_recordings
from conversation_emotion.settings.corpus import CorpusSource
from conversation_emotion.utterances.labels import four_classes

EMOTIONS = {
    "A": "anger",
    "H": "happiness",
    "N": "neutral",
    "S": "sadness",
}
"""Emotion of each letter."""

_LAYOUT = Layout(
    corpus="urdu",
    root="the URDU folder, the one that holds Angry, Happy, Neutral and Sad",
    places=("*/*.wav",),
    name=rf"(?P<speaker>S(?P<gender>[FM])\d+)_F\d+_(?P<emotion>[{''.join(EMOTIONS)}])\d+",
    expected=f"a speaker (SF or SM and a number), a file and an emotion ({', '.join(EMOTIONS)}) "
    "with a number, such as SM20_F8_N012",
)


def _describe(name: re.Match[str], path: Path) -> dict[str, object]:
    return {
        "speaker": name["speaker"],
        "gender": "female" if name["gender"] == "F" else "male",
        "language": "ur",
        "emotion": EMOTIONS[name["emotion"]],
    }


CORPUS = CorpusSource(
    load=partial(load_recordings, layout=_LAYOUT, describe=_describe),
    root=_LAYOUT.root,
    label_maps={"4-class": four_classes(EMOTIONS.values())},
)
