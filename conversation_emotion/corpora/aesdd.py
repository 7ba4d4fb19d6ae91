"""AESDD (Vryzas et al., 2018): Greek sentences acted in five emotions.

Reads the release as distributed, a folder for each emotion::

    anger/a03 (3).wav
    anger/a06 (5)b.wav        a second take
    fear/f10 (01).wav         the same actor as (1)

A name is the letter of the emotion, the number of the utterance, and the actor in brackets. Copies
in circulation number actors from 1 to 6, though five are published. Names do not contain the
gender; ``gender`` and ``text`` are missing.
"""

from conversation_emotion.corpora.recordings import Layout

EMOTIONS = {"a": "anger", "d": "disgust", "f": "fear", "h": "happiness", "s": "sadness"}

CORPUS = Layout(
    corpus="aesdd",
    root="the AESDD folder, the one that holds anger and so on",
    places=("*/*.wav", "*/*/*.wav"),
    name=r"<emotion>\d\d \(0*(?P<speaker>\d+)\)b?",
    example="a03 (3)",
    language="el",
    emotions=EMOTIONS,
).source(split="leave-one-speaker-out")
