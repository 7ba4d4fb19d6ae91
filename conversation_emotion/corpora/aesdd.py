"""AESDD (Vryzas et al., 2018): Greek sentences acted in five emotions.

Reads the release as distributed, a folder for each emotion::

    anger/a03 (3).wav
    anger/a06 (5)b.wav        a second take
    fear/f10 (01).wav         the same actor as (1)

A name is the letter of the emotion, the number of the utterance, and the actor in brackets. Copies
in circulation number actors from 1 to 6, though five are published. Names do not contain the
gender; ``gender`` and ``text`` are missing.
"""

import re
from functools import partial
from pathlib import Path

from conversation_emotion.corpora.recordings import Layout, load_recordings
from conversation_emotion.settings.corpus import CorpusSource

EMOTIONS = {
    "a": "anger",
    "d": "disgust",
    "f": "fear",
    "h": "happiness",
    "s": "sadness",
}
"""Emotion of each letter."""

_LAYOUT = Layout(
    corpus="aesdd",
    root="the AESDD folder, the one that holds anger and so on",
    places=("*/*.wav", "*/*/*.wav"),
    name=rf"(?P<emotion>[{''.join(EMOTIONS)}])\d\d \((?P<actor>\d+)\)b?",
    expected=f"an emotion ({', '.join(EMOTIONS)}), two digits and an actor in brackets, such as "
    "'a03 (3)'",
)


def _describe(name: re.Match[str], path: Path) -> dict[str, object]:
    return {
        "speaker": str(int(name["actor"])),
        "language": "el",
        "emotion": EMOTIONS[name["emotion"]],
    }


CORPUS = CorpusSource(
    load=partial(load_recordings, layout=_LAYOUT, describe=_describe),
    root=_LAYOUT.root,
    split="leave-one-speaker-out",
)
