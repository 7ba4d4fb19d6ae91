"""TESS (Pichora-Fuller & Dupuis, 2020): "Say the word ...", acted by two women in seven emotions.

Reads the recordings of one folder, or of a folder for each speaker and emotion::

    OAF_angry/OAF_back_angry.wav
    YAF_pleasant_surprised/YAF_back_ps.wav

also one folder further down, as archives unpack them. A copy of all of them below is not read. A
name is the speaker (the older and the younger actress), the last word, and the emotion, where ps is
pleasant surprise. One file of the release begins with OA instead of OAF.

A column behind the contract: ``word``.
"""

import re
from functools import partial
from pathlib import Path

from conversation_emotion.corpora.recordings import Layout, load_recordings
from conversation_emotion.settings.corpus import CorpusSource
from conversation_emotion.utterances.labels import four_classes

EMOTIONS = {
    "angry": "anger",
    "disgust": "disgust",
    "fear": "fear",
    "happy": "happiness",
    "neutral": "neutral",
    "ps": "surprise",
    "sad": "sadness",
}
"""Emotion of each code."""

_LAYOUT = Layout(
    corpus="tess",
    root="the TESS folder, the one that holds OAF_angry and so on, or the recordings themselves",
    places=("*.wav", "*/*.wav", "*/*/*.wav"),
    name=rf"(?P<speaker>OAF?|YAF)_(?P<word>[A-Za-z]+)_(?P<emotion>{'|'.join(EMOTIONS)})",
    expected=f"a speaker (OAF, YAF), a word and an emotion ({', '.join(EMOTIONS)}), such as "
    "OAF_back_angry",
)


def _describe(name: re.Match[str], path: Path) -> dict[str, object]:
    return {
        "speaker": "YAF" if name["speaker"] == "YAF" else "OAF",
        "gender": "female",
        "language": "en",
        "text": f"Say the word {name['word'].lower()}.",
        "emotion": EMOTIONS[name["emotion"]],
        "word": name["word"].lower(),
    }


CORPUS = CorpusSource(
    load=partial(load_recordings, layout=_LAYOUT, describe=_describe),
    root=_LAYOUT.root,
    split="leave-one-speaker-out",
    label_maps={"4-class": four_classes(EMOTIONS.values())},
)
