"""MEAD (Wang et al., 2020): English sentences acted by 48 speakers in eight emotions.

Reads the audio of the release, each speaker's archive unpacked in its folder::

    M003/audio/angry/level_1/001.m4a

Also the same paths with another suffix of sound, for copies that were converted. A folder is a
speaker (M a man, W a woman), an emotion and its level: 1 to 3, and 1 alone for neutral. The number
is that of the recording within its folder; the words are not in the release, and ``text`` is
missing.

A column behind the contract: ``level``.
"""

from conversation_emotion.corpora.recordings import Layout, name_emotions

EMOTIONS = name_emotions(
    "angry", "contempt", "disgusted", "fear", "happy", "neutral", "sad", "surprised"
)

CORPUS = Layout(
    corpus="mead",
    root="the MEAD folder, the one that holds M003 and so on",
    places=("[MW]*/audio/*/*/*.m4a",),
    name=r"(?P<speaker>(?P<gender>[MW])\d{3})/audio/<emotion>/level_(?P<level>[123])/\d+",
    example="M003/audio/angry/level_1/001",
    language="en",
    emotions=EMOTIONS,
    describe=lambda name, path: {
        "utterance_id": f"{name['speaker']}_{name['emotion']}_{name['level']}_{path.stem}"
    },
).source()
