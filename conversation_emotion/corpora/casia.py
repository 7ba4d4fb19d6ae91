"""CASIA (Institute of Automation, 2005): Mandarin sentences acted by four speakers, six emotions.

Reads the part in circulation, 50 sentences in each emotion, as distributed::

    wangzhe/angry/201.wav

A folder is a speaker, the one in it an emotion, the file a sentence. Names contain neither
gender nor words; ``gender`` and ``text`` are missing.

A column behind the contract: ``sentence``.
"""

from conversation_emotion.corpora.recordings import Layout, name_emotions

EMOTIONS = name_emotions("angry", "fear", "happy", "neutral", "sad", "surprise")

CORPUS = Layout(
    corpus="casia",
    root="the CASIA folder, the one that holds a folder for each speaker",
    places=("*/*/*.wav",),
    name=r"(?P<speaker>[^/]+)/<emotion>/(?P<sentence>\d+)",
    example="wangzhe/angry/201",
    language="zh",
    emotions=EMOTIONS,
    describe=lambda name, _: {
        "utterance_id": f"{name['speaker']}_{name['emotion']}_{name['sentence']}"
    },
).source(split="leave-one-speaker-out")
