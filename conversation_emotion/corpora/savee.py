"""SAVEE (Haq & Jackson, 2009): English sentences acted by four men in seven emotions.

Reads the release as distributed, a folder for each speaker, or the flat copy that is passed on::

    AudioData/JE/n23.wav
    JE_n23.wav                  also in a folder ALL

A name is an emotion of one or two letters and the number of the sentence. The release has further
folders for video and for features, which are not read. The words of the sentences are not in the
release; ``text`` is missing.
"""

import re
from functools import partial
from pathlib import Path

from conversation_emotion.corpora.recordings import Layout, load_recordings
from conversation_emotion.settings.corpus import CorpusSource
from conversation_emotion.utterances.labels import four_classes

EMOTIONS = {
    "a": "anger",
    "d": "disgust",
    "f": "fear",
    "h": "happiness",
    "n": "neutral",
    "sa": "sadness",
    "su": "surprise",
}
"""Emotion of each code."""

SPEAKERS = ("DC", "JE", "JK", "KL")

_LAYOUT = Layout(
    corpus="savee",
    root="the SAVEE folder, the one that holds AudioData, or a folder of files such as JE_n23.wav",
    places=("AudioData/*/*.wav", "AudioData/*.wav", "*.wav", "ALL/*.wav", "*/*.wav"),
    name=rf"(?P<speaker>{'|'.join(SPEAKERS)})[/_](?P<emotion>{'|'.join(EMOTIONS)})(?P<number>\d\d)",
    expected=f"a speaker ({', '.join(SPEAKERS)}) as folder or prefix, an emotion "
    f"({', '.join(EMOTIONS)}) and two digits, such as JE/n23 or JE_n23",
)


def _describe(name: re.Match[str], path: Path) -> dict[str, object]:
    return {
        "utterance_id": f"{name['speaker']}_{name['emotion']}{name['number']}",
        "speaker": name["speaker"],
        "gender": "male",
        "language": "en",
        "emotion": EMOTIONS[name["emotion"]],
    }


CORPUS = CorpusSource(
    load=partial(load_recordings, layout=_LAYOUT, describe=_describe),
    root=_LAYOUT.root,
    split="leave-one-speaker-out",
    label_maps={"4-class": four_classes(EMOTIONS.values())},
)
