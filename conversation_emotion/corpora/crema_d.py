"""CREMA-D (Cao et al., 2014): twelve English sentences acted by 91 actors in six emotions.

Reads the repository as distributed::

    AudioWAV/1001_DFA_ANG_XX.wav
    VideoDemographics.csv           for the actors' gender; without it ``gender`` is missing

A name is the actor, the sentence, the emotion and its level: LO, MD, HI, or XX where none was asked
for; one file of the release says X. The emotion is the one that was acted, not what raters heard.

Columns behind the contract: ``level``, ``sentence``.
"""

import csv
import re
from functools import partial
from pathlib import Path

from conversation_emotion.corpora.recordings import Layout, load_recordings
from conversation_emotion.settings.corpus import CorpusSource
from conversation_emotion.utterances.labels import four_classes
from conversation_emotion.utterances.table import Utterances

EMOTIONS = {
    "ANG": "anger",
    "DIS": "disgust",
    "FEA": "fear",
    "HAP": "happiness",
    "NEU": "neutral",
    "SAD": "sadness",
}
"""Emotion of each code."""

SENTENCES = {
    "DFA": "Don't forget a jacket.",
    "IEO": "It's eleven o'clock.",
    "IOM": "I'm on my way to the meeting.",
    "ITH": "I think I have a doctor's appointment.",
    "ITS": "I think I've seen this before.",
    "IWL": "I would like a new alarm clock.",
    "IWW": "I wonder what this is about.",
    "MTI": "Maybe tomorrow it will be cold.",
    "TAI": "The airplane is almost full.",
    "TIE": "That is exactly what happened.",
    "TSI": "The surface is slick.",
    "WSI": "We'll stop in a couple of minutes.",
}
"""Words of each sentence."""

_LEVELS = {"LO": "low", "MD": "medium", "HI": "high", "XX": None, "X": None}
_DEMOGRAPHICS = "VideoDemographics.csv"
_LAYOUT = Layout(
    corpus="crema-d",
    root="the CREMA-D folder, the one that holds AudioWAV",
    places=("AudioWAV/*.wav",),
    name=rf"(?P<actor>1\d{{3}})_(?P<sentence>{'|'.join(SENTENCES)})_"
    rf"(?P<emotion>{'|'.join(EMOTIONS)})_(?P<level>{'|'.join(_LEVELS)})",
    expected=f"an actor (1001 to 1091), a sentence ({', '.join(SENTENCES)}), an emotion "
    f"({', '.join(EMOTIONS)}) and a level ({', '.join(_LEVELS)}), such as 1001_DFA_ANG_XX",
)


def load_crema_d(root: Path) -> Utterances:
    """Reads the recordings under ``root`` into the utterance table.

    Args:
        root: The folder that holds ``AudioWAV``.

    Raises:
        FileNotFoundError: ``root`` has no folder ``AudioWAV``, or it holds no recording.
        ValueError: The name of a recording is not one of this corpus, or the actors' table lacks a
            column.
    """
    return load_recordings(root, _LAYOUT, partial(_describe, genders=_read_genders(root)))


def _read_genders(root: Path) -> dict[str, str]:
    """Gender of each actor, empty without the table."""
    path = root / _DEMOGRAPHICS
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        columns = list(reader.fieldnames or [])
        if not {"ActorID", "Sex"} <= set(columns):
            raise ValueError(f"crema-d: {path} has the columns {columns}, expected ActorID and Sex")
        return {row["ActorID"].strip(): row["Sex"].strip().lower() for row in reader}


def _describe(name: re.Match[str], path: Path, *, genders: dict[str, str]) -> dict[str, object]:
    return {
        "speaker": name["actor"],
        "gender": genders.get(name["actor"]),
        "language": "en",
        "text": SENTENCES[name["sentence"]],
        "emotion": EMOTIONS[name["emotion"]],
        "level": _LEVELS[name["level"]],
        "sentence": name["sentence"],
    }


CORPUS = CorpusSource(
    load=load_crema_d,
    root=_LAYOUT.root,
    label_maps={"4-class": four_classes(EMOTIONS.values())},
)
