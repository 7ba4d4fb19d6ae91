"""RAVDESS (Livingstone & Russo, 2018): two English sentences, spoken and sung by 24 actors.

Reads the audio-only release as distributed, speech and song apart, each a corpus of its own::

    Audio_Speech_Actors_01-24/Actor_01/03-01-05-02-01-02-01.wav
    Audio_Song_Actors_01-24/Actor_01/03-02-05-02-01-02-01.wav

or the actors' folders alone, which may hold both speech and song. Copies of these folders
deeper down are not read. The seven fields of a name are modality (03 audio only), channel (01
speech, 02 song), emotion, intensity (01 normal, 02 strong), statement, repetition and actor. Actors
with an odd number are men. Song has six of the eight emotions, and one actor did not sing.

Columns behind the contract: ``intensity``, ``statement``, ``repetition``.
"""

from conversation_emotion.corpora.recordings import Layout

EMOTIONS = {
    "01": "neutral", "02": "calm", "03": "happiness", "04": "sadness",
    "05": "anger", "06": "fear", "07": "disgust", "08": "surprise",
}  # fmt: skip

STATEMENTS = {"01": "Kids are talking by the door.", "02": "Dogs are sitting by the door."}


def build_layout(corpus: str, folder: str, channel: str) -> Layout:
    """Returns the layout of the spoken or the sung recordings.

    Args:
        corpus: ``ravdess`` or ``ravdess-song``.
        folder: Name of the folder of the channel.
        channel: Its code in the names of recordings; those of the other channel are not read.
    """
    return Layout(
        corpus=corpus,
        root=f"the folder that holds {folder}, or Actor_01 and so on",
        places=(f"{folder}/Actor_*/*.wav", "Actor_*/*.wav"),
        name=r"03-(0[12])-<emotion>-<intensity>-<statement>-(?P<repetition>0[12])-"
        r"(?P<speaker>[01]\d|2[0-4])",
        example="03-01-05-02-01-02-07",
        language="en",
        emotions=EMOTIONS,
        codes={
            "intensity": {"01": "normal", "02": "strong"},
            "statement": {code: code for code in STATEMENTS},
        },
        describe=lambda name, _: (
            None
            if name[1] != channel
            else {
                "gender": "male" if int(name["speaker"]) % 2 else "female",
                "text": STATEMENTS[name["statement"]],
            }
        ),
    )


CORPUS = build_layout("ravdess", "Audio_Speech_Actors_01-24", "01").source()
