"""MEAD (Wang et al., 2020): English sentences acted by 48 speakers in eight emotions.

Reads the audio of the release, each speaker's archive unpacked in its folder::

    M003/audio/angry/level_1/001.m4a

Also the same paths with .wav, for copies that were converted. A folder is a speaker (M a man, W a
woman), an emotion and its level: 1 to 3, and 1 alone for neutral. The number is that of the
recording within its folder; the words are not in the release, and ``text`` is missing.

A column behind the contract: ``level``.
"""

import re
from functools import partial
from pathlib import Path

from conversation_emotion.corpora.recordings import Layout, load_recordings
from conversation_emotion.settings.corpus import CorpusSource
from conversation_emotion.utterances.labels import four_classes

EMOTIONS = {
    "angry": "anger",
    "contempt": "contempt",
    "disgusted": "disgust",
    "fear": "fear",
    "happy": "happiness",
    "neutral": "neutral",
    "sad": "sadness",
    "surprised": "surprise",
}
"""Emotion of each folder."""

_LAYOUT = Layout(
    corpus="mead",
    root="the MEAD folder, the one that holds M003 and so on",
    places=("[MW]*/audio/*/*/*.m4a", "[MW]*/audio/*/*/*.wav"),
    name=rf"(?P<speaker>[MW]\d{{3}})/audio/(?P<emotion>{'|'.join(EMOTIONS)})/"
    r"level_(?P<level>[123])/(?P<number>\d+)",
    expected=f"a speaker (M or W and three digits), audio, an emotion ({', '.join(EMOTIONS)}), a "
    "level and a number, such as M003/audio/angry/level_1/001",
)


def _describe(name: re.Match[str], path: Path) -> dict[str, object]:
    fields = (name["speaker"], name["emotion"], name["level"], name["number"])
    return {
        "utterance_id": "_".join(fields),
        "speaker": name["speaker"],
        "gender": "male" if name["speaker"].startswith("M") else "female",
        "language": "en",
        "emotion": EMOTIONS[name["emotion"]],
        "level": name["level"],
    }


CORPUS = CorpusSource(
    load=partial(load_recordings, layout=_LAYOUT, describe=_describe),
    root=_LAYOUT.root,
    label_maps={"4-class": four_classes(EMOTIONS.values())},
)
