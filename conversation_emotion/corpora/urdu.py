"""URDU (Latif et al., 2018): 400 utterances of 29 speakers from Urdu talk shows, four emotions.

Reads the repository as distributed, a folder for each emotion::

    Neutral/SM20_F8_N012.wav

A name is the speaker (SM a man, SF a woman), the number of the file of that speaker, and the
emotion's letter with a number. The words are not transcribed; ``text`` is missing.
"""

from conversation_emotion.corpora.recordings import Layout

EMOTIONS = {"A": "anger", "H": "happiness", "N": "neutral", "S": "sadness"}

CORPUS = Layout(
    corpus="urdu",
    root="the URDU folder, the one that holds Angry, Happy, Neutral and Sad",
    places=("*/*.wav",),
    name=r"(?P<speaker>S(?P<gender>[FM])\d+)_F\d+_<emotion>\d+",
    example="SM20_F8_N012",
    language="ur",
    emotions=EMOTIONS,
).source()
