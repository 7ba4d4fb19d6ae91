"""TESS (Pichora-Fuller & Dupuis, 2020): "Say the word ...", acted by two women in seven emotions.

Reads the recordings of one folder, or of a folder for each speaker and emotion::

    OAF_angry/OAF_back_angry.wav
    YAF_pleasant_surprised/YAF_back_ps.wav

also one folder further down, as archives unpack them. A copy of all of them below is not read. A
name is the speaker (the older and the younger actress), the last word, and the emotion, where ps is
pleasant surprise. One file of the release begins with OA instead of OAF.

A column behind the contract: ``word``.
"""

from conversation_emotion.corpora.recordings import Layout, name_emotions

EMOTIONS = {
    **name_emotions("angry", "disgust", "fear", "happy", "neutral", "sad"),
    "ps": "surprise",
}

CORPUS = Layout(
    corpus="tess",
    root="the TESS folder, the one that holds OAF_angry and so on, or the recordings themselves",
    places=("*.wav", "*/*.wav", "*/*/*.wav"),
    name=r"<speaker>_(?P<word>[A-Za-z]+)_<emotion>",
    example="OAF_back_angry",
    language="en",
    emotions=EMOTIONS,
    codes={"speaker": {"OAF": "OAF", "OA": "OAF", "YAF": "YAF"}},
    describe=lambda name, _: {
        "gender": "female",
        "text": f"Say the word {name['word'].lower()}.",
        "word": name["word"].lower(),
    },
).source(split="leave-one-speaker-out")
