"""SAVEE (Haq & Jackson, 2009): English sentences acted by four men in seven emotions.

Reads the release as distributed, a folder for each speaker, or the flat copy that is passed on::

    AudioData/JE/n23.wav
    JE_n23.wav                  also in a folder ALL

A name is an emotion of one or two letters and the number of the sentence. The release has further
folders for video and for features, which are not read. The words of the sentences are not in the
release; ``text`` is missing.
"""

from conversation_emotion.corpora.recordings import Layout
from conversation_emotion.utterances.labels import own_names

EMOTIONS = {
    "a": "anger", "d": "disgust", "f": "fear", "h": "happiness",
    "n": "neutral", "sa": "sadness", "su": "surprise",
}  # fmt: skip

CORPUS = Layout(
    corpus="savee",
    root="the SAVEE folder, the one that holds AudioData, or a folder of files such as JE_n23.wav",
    places=("AudioData/*/*.wav", "AudioData/*.wav", "*.wav", "ALL/*.wav", "*/*.wav"),
    name=r"<speaker>[/_]<emotion>\d\d",
    example="JE/n23",
    language="en",
    emotions=EMOTIONS,
    codes={"speaker": own_names(("DC", "JE", "JK", "KL"))},
    describe=lambda name, path: {
        "utterance_id": f"{name['speaker']}_{path.stem.rpartition('_')[2]}",
        "gender": "male",
    },
).source(split="leave-one-speaker-out")
