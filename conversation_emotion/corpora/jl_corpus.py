"""JL-Corpus (James et al., 2018): New Zealand English by four actors, five and five emotions.

Reads the release as distributed::

    Raw JL corpus (unchecked and unannotated)/JL(wav+txt)/male2_concerned_6b_1.wav
    Raw JL corpus (unchecked and unannotated)/JL(wav+txt)/male2_concerned_6b_1.txt

or the folder of the recordings itself. A name is the actor, the emotion, the sentence with its
session, and the take; the text is in a file next to it, and missing where there is none. Five
emotions are primary (``PRIMARY``), five secondary.

A column behind the contract: ``sentence``.
"""

from pathlib import Path

from conversation_emotion.corpora.annotations import read_texts
from conversation_emotion.corpora.recordings import Describe, Layout, name_emotions
from conversation_emotion.utterances.labels import own_names

PRIMARY = name_emotions("angry", "excited", "happy", "neutral", "sad")
"""Primary emotion of each code."""

SECONDARY = name_emotions("anxious", "apologetic", "assertive", "concerned", "encouraging")
EMOTIONS = {**PRIMARY, **SECONDARY}


def _read_texts(root: Path) -> Describe:
    texts = read_texts(sorted(root.rglob("*.txt")), "jl-corpus")
    return lambda _, path: {"text": texts.get(path.with_suffix(".txt"), "").strip() or None}


CORPUS = Layout(
    corpus="jl-corpus",
    root="the JL-Corpus folder, the one that holds 'Raw JL corpus (unchecked and unannotated)'",
    places=("Raw JL corpus (unchecked and unannotated)/JL(wav+txt)/*.wav", "*.wav"),
    name=r"(?P<speaker>(?P<gender>(?:fe)?male)[12])_<emotion>_(?P<sentence>\d+)[ab]_[12]",
    example="male2_concerned_6b_1",
    language="en-NZ",
    emotions=EMOTIONS,
    read_tables=_read_texts,
).source(
    labels="5-class",
    split="leave-one-speaker-out",
    label_maps={"5-class": {**dict.fromkeys(EMOTIONS.values()), **own_names(PRIMARY.values())}},
)
