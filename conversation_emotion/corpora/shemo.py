"""ShEMO (Nezami et al., 2019): Persian utterances of 87 speakers from radio plays, six emotions.

Reads the release as distributed::

    male/M36S02.wav
    female/F21N23.wav
    shemo.json              for the words, under ``transcript``; without it ``text`` is missing

A name is the speaker (gender and number), the emotion's letter, and a number. That ``shemo.json``
maps each name to an object with the words under ``transcript`` is assumed; what it says of
emotions is not read.
"""

import json
import re
from functools import partial
from pathlib import Path

from conversation_emotion.corpora.recordings import Layout, load_recordings
from conversation_emotion.settings.corpus import CorpusSource
from conversation_emotion.utterances.labels import four_classes
from conversation_emotion.utterances.table import Utterances

EMOTIONS = {
    "A": "anger",
    "F": "fear",
    "H": "happiness",
    "N": "neutral",
    "S": "sadness",
    "W": "surprise",
}
"""Emotion of each letter."""

_TEXTS = "shemo.json"
_LAYOUT = Layout(
    corpus="shemo",
    root="the ShEMO folder, the one that holds male and female",
    places=("*male/*.wav",),
    name=rf"(?P<speaker>[FM]\d\d)(?P<emotion>[{''.join(EMOTIONS)}])\d+",
    expected=f"a speaker (F or M and two digits), an emotion ({', '.join(EMOTIONS)}) and a number, "
    "such as M36S02",
)


def load_shemo(root: Path) -> Utterances:
    """Reads the recordings under ``root`` into the utterance table.

    Args:
        root: The folder that holds ``male`` and ``female``.

    Raises:
        FileNotFoundError: There is no recording where one is expected.
        ValueError: The name of a recording is not one of this corpus, or the texts are no JSON.
    """
    return load_recordings(root, _LAYOUT, partial(_describe, texts=_read_texts(root / _TEXTS)))


def _read_texts(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    try:
        entries = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise ValueError(f"shemo: {path} is no JSON in UTF-8: {error}") from error
    return {
        name: entry["transcript"]
        for name, entry in entries.items()
        if isinstance(entry, dict) and isinstance(entry.get("transcript"), str)
    }


def _describe(name: re.Match[str], path: Path, *, texts: dict[str, str]) -> dict[str, object]:
    return {
        "speaker": name["speaker"],
        "gender": "female" if name["speaker"].startswith("F") else "male",
        "language": "fa",
        "text": texts.get(path.stem),
        "emotion": EMOTIONS[name["emotion"]],
    }


CORPUS = CorpusSource(
    load=load_shemo,
    root=_LAYOUT.root,
    label_maps={"4-class": four_classes(EMOTIONS.values())},
)
