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

import re
from functools import partial
from pathlib import Path

from conversation_emotion.corpora.recordings import Layout, load_recordings
from conversation_emotion.settings.corpus import CorpusSource
from conversation_emotion.utterances.labels import four_classes
from conversation_emotion.utterances.table import Utterances

EMOTIONS = {
    "01": "neutral",
    "02": "calm",
    "03": "happiness",
    "04": "sadness",
    "05": "anger",
    "06": "fear",
    "07": "disgust",
    "08": "surprise",
}
"""Emotion of each code."""

STATEMENTS = {"01": "Kids are talking by the door.", "02": "Dogs are sitting by the door."}
"""Words of each statement."""

_INTENSITIES = {"01": "normal", "02": "strong"}
_NAME = (
    r"03-(?P<channel>0[12])-(?P<emotion>0[1-8])-(?P<intensity>0[12])-(?P<statement>0[12])-"
    r"(?P<repetition>0[12])-(?P<actor>[01]\d|2[0-4])"
)
_EXPECTED = (
    "03, a channel (01 or 02), an emotion (01 to 08), an intensity (01 or 02), a statement (01 or "
    "02), a repetition (01 or 02) and an actor (01 to 24), such as 03-01-05-02-01-02-07"
)


def load_channel(root: Path, corpus: str, folder: str, channel: str) -> Utterances:
    """Reads the spoken or the sung recordings under ``root`` into the utterance table.

    Args:
        root: The folder that holds ``folder``, or ``Actor_01`` and so on.
        corpus: ``ravdess`` or ``ravdess-song``.
        folder: Name of the folder of the channel.
        channel: Its code in the names of recordings.

    Raises:
        FileNotFoundError: There is no recording where one is expected.
        ValueError: The name of a recording is not one of this corpus, or none is of this channel.
    """
    layout = Layout(
        corpus=corpus,
        root=f"the folder that holds {folder}, or the actors' folders Actor_01 and so on",
        places=(f"{folder}/Actor_*/*.wav", "Actor_*/*.wav"),
        name=_NAME,
        expected=_EXPECTED,
    )

    def describe(name: re.Match[str], path: Path) -> dict[str, object] | None:
        return _describe(name) if name["channel"] == channel else None

    return load_recordings(root, layout, describe)


def _describe(name: re.Match[str]) -> dict[str, object]:
    return {
        "speaker": name["actor"],
        "gender": "male" if int(name["actor"]) % 2 else "female",
        "language": "en",
        "text": STATEMENTS[name["statement"]],
        "emotion": EMOTIONS[name["emotion"]],
        "intensity": _INTENSITIES[name["intensity"]],
        "statement": name["statement"],
        "repetition": name["repetition"],
    }


CORPUS = CorpusSource(
    load=partial(load_channel, corpus="ravdess", folder="Audio_Speech_Actors_01-24", channel="01"),
    root="the folder that holds Audio_Speech_Actors_01-24, or Actor_01 and so on",
    label_maps={"4-class": four_classes(EMOTIONS.values())},
)
