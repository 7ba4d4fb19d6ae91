"""ShEMO (Nezami et al., 2019): Persian utterances of 87 speakers from radio plays, six emotions.

Reads the release as distributed::

    male/M36S02.wav
    female/F21N23.wav
    shemo.json              for the words, under ``transcript``; without it ``text`` is missing

A name is the speaker (gender and number), the emotion's letter, and a number. That ``shemo.json``
maps each name to an object with the words under ``transcript`` is assumed; its emotions are not
read.
"""

from pathlib import Path

from conversation_emotion.corpora.annotations import read_json
from conversation_emotion.corpora.recordings import Describe, Layout

EMOTIONS = {
    "A": "anger", "F": "fear", "H": "happiness",
    "N": "neutral", "S": "sadness", "W": "surprise",
}  # fmt: skip


def _read_texts(root: Path) -> Describe:
    table = root / "shemo.json"
    entries = read_json(table, "shemo") if table.is_file() else {}
    texts = {
        name: entry["transcript"]
        for name, entry in entries.items()
        if isinstance(entry, dict) and isinstance(entry.get("transcript"), str)
    }
    return lambda _, path: {"text": texts.get(path.stem)}


CORPUS = Layout(
    corpus="shemo",
    root="the ShEMO folder, the one that holds male and female",
    places=("*male/*.wav",),
    name=r"(?P<speaker>(?P<gender>[FM])\d\d)<emotion>\d+",
    example="M36S02",
    language="fa",
    emotions=EMOTIONS,
    read_tables=_read_texts,
).source()
