"""MSP-Podcast (Lotfian & Busso, 2019): turns of podcasts with perceived emotions and attributes.

Reads a release as distributed; the folders' names changed over the releases, so did a spelling::

    Labels/labels_consensus.csv                    or labels_concensus.csv
    Audios/MSP-PODCAST_0023_0045.wav               or Audio/
    Labels/labels_detailed.csv                     the raters; without it votes are missing
    Transcripts/MSP-PODCAST_0023_0045.txt          without the folder, text is missing

Emotions are the consensus of the raters: anger, contempt, disgust, fear, happiness, neutral, other,
sadness, surprise. Where they do not agree (X) the turn is unlabelled. Attributes lie on the
corpus' scale of 1 to 7. Of the parts, Train is ``train``, Development (in earlier releases
Validation) is ``valid`` and Test1 is ``test``; Test2 and Test3 are named in ``part`` and belong to
no split. A speaker whom nobody identified is taken for a person of their own in every turn. Turns
of a podcast are not all there, so each is its own dialogue. Votes are the primary emotions of the
raters, of whom each names one; what they name in their own words (Other-...) is other.

Columns behind the contract: ``part``, ``podcast``.
"""

import re
from collections import defaultdict
from pathlib import Path

from conversation_emotion.corpora.annotations import (
    choose,
    find_files,
    name_primary,
    read_csv,
    read_texts,
    report,
)
from conversation_emotion.settings.corpus import CorpusSource
from conversation_emotion.utterances.labels import four_classes, own_names
from conversation_emotion.utterances.table import Utterances, build_utterances
from conversation_emotion.utterances.votes import write_votes

EMOTIONS = {
    "A": "anger", "C": "contempt", "D": "disgust", "F": "fear", "H": "happiness",
    "N": "neutral", "O": "other", "S": "sadness", "U": "surprise", "X": None,
}  # fmt: skip

PARTS = {
    "Train": "train", "Development": "valid", "Validation": "valid", "Test1": "test",
    "Test2": None, "Test3": None,
}  # fmt: skip
"""Split of each part."""

_ROOT = "the folder of an MSP-Podcast release, the one that holds Labels"
_LABELS = ("Labels/labels_consensus.csv", "Labels/labels_concensus.csv")
_COLUMNS = (
    "FileName", "EmoClass", "EmoAct", "EmoVal", "EmoDom", "SpkrID", "Gender", "Split_Set",
)  # fmt: skip
_DETAILED = "Labels/labels_detailed.csv"
_WORKERS = ("WorkerID", "Workers", "EmoDetail")
"""Columns that name a rater, by release; the last holds ``WORKER0061; Neutral; Sad; A:4; V:4;``."""
_FILE = re.compile(r"MSP-PODCAST_(?P<podcast>\d+)_.+\.wav")


def load_msp_podcast(root: Path) -> Utterances:
    """Reads the consensus labels into the utterance table.

    Raises:
        FileNotFoundError: There are no consensus labels, or no folder of recordings.
        ValueError: A column is missing, or a row has an emotion, part or number that is none.
    """
    labels = find_files(root, _LABELS, "msp-podcast", _ROOT)[0]
    audio = find_files(root, ("Audios", "Audio"), "msp-podcast", _ROOT)[0]
    rows = read_csv(labels, "msp-podcast", _COLUMNS).items()
    votes = _read_raters(root / _DETAILED)
    texts = read_texts(sorted((root / "Transcripts").glob("*.txt")), "msp-podcast")
    named = {path.stem: text.strip() for path, text in texts.items()}
    described = (
        {**_describe(*row, audio, named), "votes": votes.get(row[1]["FileName"])} for row in rows
    )
    return build_utterances(described, "msp-podcast")


def _read_raters(path: Path) -> dict[str, str | None]:
    """Returns the votes by the name of the file; none where there is no such table.

    Raises:
        ValueError: The table lacks a column.
    """
    if not path.is_file():
        return {}
    rows = read_csv(path, "msp-podcast", ("FileName",))
    first = next(iter(rows.values()), {})
    worker = next((name for name in _WORKERS if name in first), None)
    if rows and (worker is None or (worker != "EmoDetail" and "EmoClass_Major" not in first)):
        raise ValueError(
            f"msp-podcast: {path} lacks EmoClass_Major and one of {', '.join(_WORKERS)}, it has "
            f"{list(first)}"
        )
    ballots: defaultdict[str, dict[str, list[str]]] = defaultdict(dict)
    unnamed, repeated = [], []
    for place, cells in rows.items():
        fields = [field.strip() for field in cells[worker or ""].split(";")]
        rater, named = fields[0], [*fields, ""][1]
        named = cells["EmoClass_Major"] if worker != "EmoDetail" else named
        emotion = name_primary(named, EMOTIONS.values())
        if rater in ballots[cells["FileName"]]:
            repeated.append(place)
        elif emotion and rater:
            ballots[cells["FileName"]][rater] = [emotion]
        else:
            unnamed.append(place)
    report("msp-podcast", "rows of raters name no emotion or no rater, and are no votes", unnamed)
    report("msp-podcast", "rows are further votes of a rater, and are left out", repeated)
    return {name: write_votes(given.items()) for name, given in ballots.items()}


def _describe(
    place: str, cells: dict[str, str], audio: Path, texts: dict[str, str]
) -> dict[str, object]:
    match = _FILE.fullmatch(cells["FileName"])
    if not match:
        raise ValueError(
            f"msp-podcast: {place} has FileName {cells['FileName']!r}, expected one such as "
            "MSP-PODCAST_0023_0045.wav"
        )
    utterance_id = cells["FileName"].removesuffix(".wav")
    known = cells["SpkrID"].strip().lower() not in ("", "unknown")
    gender = cells["Gender"].strip().lower()
    return {
        "utterance_id": utterance_id,
        "speaker": cells["SpkrID"].strip() if known else f"unknown in {utterance_id}",
        "gender": gender if gender in ("female", "male") else None,
        "language": "en",
        "text": texts.get(utterance_id) or None,
        "audio": str(audio / cells["FileName"]),
        "emotion": choose(EMOTIONS, cells["EmoClass"], f"msp-podcast: {place} has EmoClass"),
        "valence": _read_number(cells["EmoVal"], "EmoVal", place),
        "arousal": _read_number(cells["EmoAct"], "EmoAct", place),
        "dominance": _read_number(cells["EmoDom"], "EmoDom", place),
        "split": choose(PARTS, cells["Split_Set"], f"msp-podcast: {place} has Split_Set"),
        "part": cells["Split_Set"],
        "podcast": match["podcast"],
    }


def _read_number(cell: str, column: str, place: str) -> float | None:
    try:
        return float(cell) if cell.strip() else None
    except ValueError:
        raise ValueError(
            f"msp-podcast: {place} has {column} {cell!r}, expected a number or nothing"
        ) from None


CORPUS = CorpusSource(
    load=load_msp_podcast,
    root=_ROOT,
    labels="8-class",
    label_maps={
        "4-class": four_classes(EMOTIONS.values()),
        "8-class": {**own_names(filter(None, EMOTIONS.values())), "other": None},
    },
)
