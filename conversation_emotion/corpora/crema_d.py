"""CREMA-D (Cao et al., 2014): twelve English sentences acted by 91 actors in six emotions.

Reads the repository as distributed::

    AudioWAV/1001_DFA_ANG_XX.wav
    VideoDemographics.csv           for the actors' gender and age, which are missing without it
    finishedResponses.csv           the raters; or else, of raters that are not identified,
    processedResults/tabulatedVotes.csv

A name is the actor, the sentence, the emotion and its level: LO, MD, HI, or XX where none was asked
for; one file of the release says X. The emotion is the one that was acted. Votes are those of
raters of the voice alone (others saw the face, or both); without either table they are
missing. With ``--perceived`` the emotion is the one that most of them named, and missing where
several were; the acted one is then the column ``acted``.

Columns behind the contract: ``level``, ``sentence``, ``age``.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from conversation_emotion.corpora.annotations import read_csv, report
from conversation_emotion.corpora.recordings import Describe, Layout
from conversation_emotion.settings.corpus import CorpusOptions
from conversation_emotion.utterances.table import Utterances
from conversation_emotion.utterances.votes import (
    VOTES,
    list_ballots,
    write_counts,
    write_votes,
)

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


_LETTERS = {emotion[0].upper(): emotion for emotion in EMOTIONS.values()}
_RESPONSES = ("localid", "queryType", "clipName", "respEmo")
_TABULATED = ("fileName", "numResponses", *_LETTERS)
_VOICE = "1"
"""Number of the voice without the face: a query type, and the first digit of a row."""


@dataclass(frozen=True, kw_only=True)
class CremaDOptions(CorpusOptions):
    """Options that only CREMA-D has."""

    perceived: bool = False
    """Of CREMA-D the emotion that most raters of the voice named, not the one that was acted."""


def load_crema_d(root: Path, *, perceived: bool = False) -> Utterances:
    """Reads all recordings, with the votes of raters where there are any.

    Raises:
        FileNotFoundError: No place of the layout holds a recording.
        ValueError: A recording's name is not one of this corpus; a table lacks a column; or
            ``perceived`` is asked for where there are no votes.
    """
    table = _LAYOUT.load(root)
    if not perceived:
        return table
    if table[VOTES].isna().all():
        raise ValueError(
            f"crema-d: --perceived needs the votes of finishedResponses.csv or "
            f"processedResults/tabulatedVotes.csv under {root}, found none for its recordings"
        )
    named: dict[int, str | None] = {}
    for row, ballots in list_ballots(table):
        counts: defaultdict[str, float] = defaultdict(float)
        for ballot in ballots:
            for emotion, share in ballot.shares.items():
                counts[emotion] += share
        first, *others = sorted(counts, key=counts.__getitem__, reverse=True)
        named[row] = None if others and counts[others[0]] == counts[first] else first
    table["acted"], table["emotion"] = table["emotion"], table.index.map(named.get)
    return table


def _read_tables(root: Path) -> Describe:
    votes, people = _read_votes(root), _read_people(root)
    return lambda name, path: {**(people(name, path) or {}), VOTES: votes.get(path.stem)}


def _read_votes(root: Path) -> Mapping[str, str | None]:
    """Returns the votes of those who rated the voice alone by the name of the clip."""
    responses = root / "finishedResponses.csv"
    if responses.is_file():
        return _read_responses(responses)
    tabulated = root / "processedResults" / "tabulatedVotes.csv"
    return _read_tabulated(tabulated) if tabulated.is_file() else {}


def _read_responses(path: Path) -> Mapping[str, str | None]:
    named: defaultdict[str, defaultdict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    unknown = []
    for place, cells in read_csv(path, "crema-d", _RESPONSES).items():
        if cells["queryType"].strip() != _VOICE:
            continue
        if (emotion := _LETTERS.get(cells["respEmo"].strip())) is None:
            unknown.append(f"{place} ({cells['respEmo']!r})")
        else:
            named[Path(cells["clipName"].strip()).stem][cells["localid"].strip()].append(emotion)
    report("crema-d", "responses name none of A, D, F, H, N, S, and are no votes", unknown)
    return {clip: write_votes(raters.items()) for clip, raters in named.items()}


def _read_tabulated(path: Path) -> Mapping[str, str | None]:
    found, odd = {}, []
    for place, cells in read_csv(path, "crema-d", ("", *_TABULATED)).items():
        if not cells[""].startswith(_VOICE):
            continue
        try:
            counts = {emotion: int(cells[letter]) for letter, emotion in _LETTERS.items()}
            total = int(cells["numResponses"])
        except ValueError as error:
            raise ValueError(f"crema-d: {place} has a count that is none: {error}") from None
        if sum(counts.values()) != total:
            odd.append(f"{place} ({sum(counts.values())}, not {total})")
        found[Path(cells["fileName"].strip()).stem] = write_counts(counts)
    report("crema-d", "rows have votes that do not add up to numResponses; the votes count", odd)
    return found


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


_LAYOUT = Layout(
    corpus="crema-d",
    root="the CREMA-D folder, the one that holds AudioWAV",
    places=("AudioWAV/*.wav",),
    name=r"(?P<speaker>1\d{3})_<sentence>_<emotion>_<level>",
    example="1001_DFA_ANG_XX",
    language="en",
    emotions=EMOTIONS,
    codes={"level": {"LO": "low", "MD": "medium", "HI": "high", "XX": None, "X": None}},
    texts=SENTENCES,
    read_tables=_read_tables,
)

CORPUS = replace(_LAYOUT.source(), load=load_crema_d, options=CremaDOptions())
