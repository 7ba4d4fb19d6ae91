"""CREMA-D (Cao et al., 2014): twelve English sentences acted by 91 actors in six emotions.

Reads the repository as distributed::

    AudioWAV/1001_DFA_ANG_XX.wav
    VideoDemographics.csv           for the actors' gender and age, which are missing without it

A name is the actor, the sentence, the emotion and its level: LO, MD, HI, or XX where none was asked
for; one file of the release says X. The emotion is the one that was acted, not what raters
perceived.

Columns behind the contract: ``level``, ``sentence``, ``age``.
"""

from pathlib import Path

from conversation_emotion.corpora.annotations import read_csv
from conversation_emotion.corpora.recordings import Describe, Layout

EMOTIONS = {
    "ANG": "anger", "DIS": "disgust", "FEA": "fear",
    "HAP": "happiness", "NEU": "neutral", "SAD": "sadness",
}  # fmt: skip

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


def _read_people(root: Path) -> Describe:
    table = root / "VideoDemographics.csv"
    rows = read_csv(table, "crema-d", ("ActorID", "Sex")) if table.is_file() else {}
    people = {}
    for row in rows.values():
        age = row.get("Age", "").strip()
        person = {
            "gender": row["Sex"].strip().lower(),
            "age": int(age) if age.isdecimal() else None,
        }
        people[row["ActorID"].strip()] = person
    return lambda name, _: people.get(name["speaker"], {})


CORPUS = Layout(
    corpus="crema-d",
    root="the CREMA-D folder, the one that holds AudioWAV",
    places=("AudioWAV/*.wav",),
    name=r"(?P<speaker>1\d{3})_<sentence>_<emotion>_<level>",
    example="1001_DFA_ANG_XX",
    language="en",
    emotions=EMOTIONS,
    codes={"level": {"LO": "low", "MD": "medium", "HI": "high", "XX": None, "X": None}},
    texts=SENTENCES,
    read_tables=_read_people,
).source()
