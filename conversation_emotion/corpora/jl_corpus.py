"""JL-Corpus (James et al., 2018): New Zealand English by four actors, five and five emotions.

Reads the release as distributed::

    Raw JL corpus (unchecked and unannotated)/JL(wav+txt)/male2_concerned_6b_1.wav
    Raw JL corpus (unchecked and unannotated)/JL(wav+txt)/male2_concerned_6b_1.txt

or the folder of the recordings itself. A name is the actor, the emotion, the sentence with its
session, and the take; the text lies beside, and is missing where it does not. Five emotions are
primary (``PRIMARY``), five secondary.

A column behind the contract: ``sentence``.
"""

import re
from functools import partial
from pathlib import Path

from conversation_emotion.corpora.recordings import Layout, load_recordings
from conversation_emotion.settings.corpus import CorpusSource
from conversation_emotion.utterances.labels import four_classes, own_names

PRIMARY = {
    "angry": "anger",
    "excited": "excitement",
    "happy": "happiness",
    "neutral": "neutral",
    "sad": "sadness",
}
"""Primary emotion of each code."""

EMOTIONS = {
    **PRIMARY,
    "anxious": "anxiety",
    "apologetic": "apology",
    "assertive": "assertiveness",
    "concerned": "concern",
    "encouraging": "encouragement",
}
"""Emotion of each code."""

_LAYOUT = Layout(
    corpus="jl-corpus",
    root="the JL-Corpus folder, the one that holds 'Raw JL corpus (unchecked and unannotated)'",
    places=("Raw JL corpus (unchecked and unannotated)/JL(wav+txt)/*.wav", "*.wav"),
    name=rf"(?P<speaker>(?P<gender>(?:fe)?male)[12])_(?P<emotion>{'|'.join(EMOTIONS)})_"
    r"(?P<sentence>\d+)[ab]_[12]",
    expected=f"an actor (female1 to male2), an emotion ({', '.join(EMOTIONS)}), a sentence with "
    "its session and a take, such as male2_concerned_6b_1",
)


def _describe(name: re.Match[str], path: Path) -> dict[str, object]:
    text = path.with_suffix(".txt")
    return {
        "speaker": name["speaker"],
        "gender": name["gender"],
        "language": "en-NZ",
        "text": text.read_text(encoding="utf-8", errors="replace").strip()
        if text.is_file()
        else None,
        "emotion": EMOTIONS[name["emotion"]],
        "sentence": name["sentence"],
    }


CORPUS = CorpusSource(
    load=partial(load_recordings, layout=_LAYOUT, describe=_describe),
    root=_LAYOUT.root,
    labels="5-class",
    split="leave-one-speaker-out",
    label_maps={
        "4-class": four_classes(EMOTIONS.values()),
        "5-class": {**dict.fromkeys(EMOTIONS.values()), **own_names(PRIMARY.values())},
    },
)
