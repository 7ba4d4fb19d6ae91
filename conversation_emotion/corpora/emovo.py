"""EMOVO (Costantini et al., 2014): fourteen Italian sentences acted by six actors, seven emotions.

Reads the release as distributed, a folder for each actor::

    EMOVO/f2/gio-f2-b2.wav
    f2/gio-f2-b2.wav

A name is the emotion, the actor (f a woman, m a man) and the sentence. The emotions are Italian:
disgusto, gioia, neutro, paura, rabbia, sorpresa, tristezza. The words are in documents next to the
recordings, which are not read; ``text`` is missing.

A column behind the contract: ``sentence``.
"""

from conversation_emotion.corpora.recordings import Layout

EMOTIONS = {
    "dis": "disgust", "gio": "happiness", "neu": "neutral", "pau": "fear",
    "rab": "anger", "sor": "surprise", "tri": "sadness",
}  # fmt: skip

CORPUS = Layout(
    corpus="emovo",
    root="the EMOVO folder, the one that holds f1 to m3",
    places=("[fm][123]/*.wav", "EMOVO/[fm][123]/*.wav"),
    name=r"<emotion>-(?P<speaker>(?P<gender>[fm])[123])-(?P<sentence>[a-z]\d)",
    example="gio-f2-b2",
    language="it",
    emotions=EMOTIONS,
).source(split="leave-one-speaker-out")
