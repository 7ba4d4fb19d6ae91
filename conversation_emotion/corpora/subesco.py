"""SUBESCO (Sultana et al., 2021): ten Bangla sentences acted by twenty speakers in seven emotions.

Reads the recordings of one folder, or of one below it::

    F_10_FAHMEE_S_6_FEAR_5.wav

A name is gender, number and name of the speaker, S and the number of the sentence, the emotion and
the take. The words are not in the release; ``text`` is missing.

Columns behind the contract: ``sentence``, ``take``.
"""

from conversation_emotion.corpora.recordings import Layout, name_emotions

EMOTIONS = name_emotions("ANGRY", "DISGUST", "FEAR", "HAPPY", "NEUTRAL", "SAD", "SURPRISE")

CORPUS = Layout(
    corpus="subesco",
    root="the SUBESCO folder, the one that holds F_10_FAHMEE_S_6_FEAR_5.wav and so on",
    places=("*.wav", "*/*.wav"),
    name=r"(?P<speaker>(?P<gender>[FM])_\d+)_[A-Za-z]+_S_(?P<sentence>\d+)_<emotion>_(?P<take>\d+)",
    example="F_10_FAHMEE_S_6_FEAR_5",
    language="bn",
    emotions=EMOTIONS,
).source()
