"""EMOVO (Costantini et al., 2014): fourteen Italian sentences acted by six actors, seven emotions.

Reads the release as distributed, a folder for each actor::

    EMOVO/f2/gio-f2-b2.wav
    f2/gio-f2-b2.wav

A name is the emotion, the actor (f a woman, m a man) and the sentence. The emotions are Italian:
disgusto, gioia, neutro, paura, rabbia, sorpresa, tristezza. The words are in documents beside the
recordings, which are not read; ``text`` is missing.

A column behind the contract: ``sentence``.
"""

import re
from functools import partial
from pathlib import Path

from conversation_emotion.corpora.recordings import Layout, load_recordings
from conversation_emotion.settings.corpus import CorpusSource
from conversation_emotion.utterances.labels import four_classes

EMOTIONS = {
    "dis": "disgust",
    "gio": "happiness",
    "neu": "neutral",
    "pau": "fear",
    "rab": "anger",
    "sor": "surprise",
    "tri": "sadness",
}
"""Emotion of each code."""

_LAYOUT = Layout(
    corpus="emovo",
    root="the EMOVO folder, the one that holds f1 to m3",
    places=("[fm][123]/*.wav", "EMOVO/[fm][123]/*.wav"),
    name=rf"(?P<emotion>{'|'.join(EMOTIONS)})-(?P<actor>[fm][123])-(?P<sentence>[a-z]\d)",
    expected=f"an emotion ({', '.join(EMOTIONS)}), an actor (f1 to m3) and a sentence, such as "
    "gio-f2-b2",
)


def _describe(name: re.Match[str], path: Path) -> dict[str, object]:
    return {
        "speaker": name["actor"],
        "gender": "female" if name["actor"].startswith("f") else "male",
        "language": "it",
        "emotion": EMOTIONS[name["emotion"]],
        "sentence": name["sentence"],
    }


CORPUS = CorpusSource(
    load=partial(load_recordings, layout=_LAYOUT, describe=_describe),
    root=_LAYOUT.root,
    split="leave-one-speaker-out",
    label_maps={"4-class": four_classes(EMOTIONS.values())},
)
