"""CASIA (Institute of Automation, 2005): Mandarin sentences acted by four speakers, six emotions.

Reads the part in circulation, 50 sentences in each emotion, as distributed::

    wangzhe/angry/201.wav

A folder is a speaker, the one in it an emotion, the file a sentence. Names contain neither
gender nor words; ``gender`` and ``text`` are missing.

A column behind the contract: ``sentence``.
"""

import re
from functools import partial
from pathlib import Path

from conversation_emotion.corpora.recordings import Layout, load_recordings
from conversation_emotion.settings.corpus import CorpusSource
from conversation_emotion.utterances.labels import four_classes

EMOTIONS = {
    "angry": "anger",
    "fear": "fear",
    "happy": "happiness",
    "neutral": "neutral",
    "sad": "sadness",
    "surprise": "surprise",
}
"""Emotion of each folder."""

_LAYOUT = Layout(
    corpus="casia",
    root="the CASIA folder, the one that holds a folder for each speaker",
    places=("*/*/*.wav",),
    name=rf"(?P<speaker>[^/]+)/(?P<emotion>{'|'.join(EMOTIONS)})/(?P<sentence>\d+)",
    expected=f"a speaker and an emotion ({', '.join(EMOTIONS)}) as folders and a number, such as "
    "wangzhe/angry/201",
)


def _describe(name: re.Match[str], path: Path) -> dict[str, object]:
    return {
        "utterance_id": f"{name['speaker']}_{name['emotion']}_{name['sentence']}",
        "speaker": name["speaker"],
        "language": "zh",
        "emotion": EMOTIONS[name["emotion"]],
        "sentence": name["sentence"],
    }


CORPUS = CorpusSource(
    load=partial(load_recordings, layout=_LAYOUT, describe=_describe),
    root=_LAYOUT.root,
    split="leave-one-speaker-out",
    label_maps={"4-class": four_classes(EMOTIONS.values())},
)
