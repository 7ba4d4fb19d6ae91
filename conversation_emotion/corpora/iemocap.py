"""IEMOCAP (Busso et al., 2008): five sessions of two actors each, improvised and scripted.

Reads the release as distributed::

    Session1/dialog/EmoEvaluation/Ses01F_impro01.txt         labels, ratings, evaluators
    Session1/dialog/transcriptions/Ses01F_impro01.txt        words and times
    Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_M000.wav

The letter in ``Ses01F`` names the actor who wore the motion-capture markers, not the speaker:
``Ses01F_impro01_M000`` is spoken by the man. The last field of the id names the speaker.

Turns that nobody evaluated (``Ses01F_impro01_MXX0``) stay as unlabelled context: they have words
and times, but no sentence recording. Transcript lines without id and time (``M: Yeah.``) have no
place in the dialogue and are no turns; they are counted in the log. Where the transcript and the
evaluation give different times, those of the evaluation hold, for it cut the recordings.

Votes are those of the evaluators who watched (C-E1 and on), on whose majority the label rests. The
actors' own, C-F1 of the woman of the first session, are the column ``self_votes``. An evaluator may
name several emotions.

Columns behind the contract: ``scenario`` (improvised or scripted), ``self_votes``, and
``evaluators``, the JSON text of every evaluator's opinion, their ratings and comments among it.
"""

import json
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from conversation_emotion.corpora.annotations import find_files
from conversation_emotion.settings.corpus import CorpusOptions, CorpusSource
from conversation_emotion.utterances.table import Utterances, build_utterances
from conversation_emotion.utterances.votes import SELF_VOTES, VOTES, write_votes

Scenario = Literal["all", "improvised", "scripted"]

_LOGGER = logging.getLogger(__name__)
_ROOT = "the IEMOCAP_full_release folder, the one that holds Session1 to Session5"
_EVALUATIONS = "Session*/dialog/EmoEvaluation/Ses*.txt"
_KEPT = {"ang": "angry", "exc": "happy", "hap": "happy", "neu": "neutral", "sad": "sad"}
_FOUR_CLASSES = {**_KEPT, **dict.fromkeys(("dis", "fea", "fru", "oth", "sur"))}
_GENDERS = {"F": "female", "M": "male"}
_NAMED = {
    "anger": "ang", "disgust": "dis", "excited": "exc", "fear": "fea", "frustration": "fru",
    "happiness": "hap", "neutral": "neu", "neutral state": "neu", "other": "oth",
    "sadness": "sad", "surprise": "sur",
}  # fmt: skip
"""Emotions by the names that evaluators' opinions have; other words stay as they are."""
_ATTRIBUTES = {"valence": "val", "arousal": "act", "dominance": "dom"}
_TURN = r"(?P<utterance_id>Ses\d\d[FM]_(?:impro|script)\w*_[FM](?:XX)?\d+)"
_DECIMAL = r"\d+(?:\.\d+)?"
_EVALUATION = re.compile(
    rf"\[(?P<start>{_DECIMAL}) - (?P<end>{_DECIMAL})\]\s+{_TURN}\s+(?P<emotion>\w+)\s+"
    rf"\[(?P<valence>{_DECIMAL}), (?P<arousal>{_DECIMAL}), (?P<dominance>{_DECIMAL})\]"
)
_OPINION = re.compile(r"(?P<evaluator>[AC]-\w+):(?P<opinion>[^(]*)(?:\((?P<comment>.*))?")
_TRANSCRIPT = re.compile(rf"{_TURN}\s+\[(?P<start>{_DECIMAL})-(?P<end>{_DECIMAL})\]:(?P<text>.*)")


@dataclass(frozen=True, kw_only=True)
class IemocapOptions(CorpusOptions):
    """Options that only IEMOCAP has."""

    scenario: Scenario = "all"
    """Which dialogues of IEMOCAP to use."""


class _Turn(NamedTuple):
    """A turn in the order in which turns are sorted, with its columns that its id does not give."""

    start: float
    utterance_id: str
    end: float | None
    columns: dict[str, object]


def load_iemocap(root: Path, scenario: Scenario = "all") -> Utterances:
    """Reads every session under ``root`` into the utterance table.

    Emotions are neu, hap, ang, sad, exc, fru, sur, fea, dis and oth; xxx, on which no majority
    agreed, is missing. Ratings run from 1 to 5.

    Args:
        root: The ``IEMOCAP_full_release`` folder.
        scenario: Which dialogues to keep, ``improvised`` or ``scripted``.

    Raises:
        FileNotFoundError: ``root`` holds no evaluation files, or a dialogue has no transcript.
        ValueError: A labelled utterance has no transcript, a line cannot be read, or no dialogue
            is of the scenario.
    """
    evaluations = find_files(root, [_EVALUATIONS], "iemocap", _ROOT)
    rows = (row for path in evaluations for row in _read_dialogue(path))
    table = build_utterances(rows, "iemocap")
    if scenario == "all":
        return table
    selected = table[table["scenario"] == scenario].reset_index(drop=True)
    if selected.empty:
        raise ValueError(
            f"iemocap: no dialogue is {scenario!r}; the table has "
            f"{sorted(table['scenario'].unique())}"
        )
    return selected


def _read_dialogue(evaluation_file: Path) -> Iterator[dict[str, object]]:
    """Yields the turns of one dialogue in the order of their beginnings."""
    session = evaluation_file.parents[2]
    evaluations = _read_evaluations(evaluation_file)
    turns = _read_transcript(session / "dialog" / "transcriptions" / evaluation_file.name)
    for utterance_id, evaluation in evaluations.items():
        given = evaluation.columns
        if utterance_id not in turns:
            raise ValueError(
                f"iemocap: {session}/dialog/transcriptions/{evaluation_file.name} has no line for "
                f"{utterance_id!r}, which {evaluation_file} labels {given['emotion']!r}"
            )
        columns = {
            **turns[utterance_id].columns,
            **given,
            "emotion": None if given["emotion"] == "xxx" else given["emotion"],
            "evaluators": json.dumps(given["evaluators"], ensure_ascii=False),
            **_write_votes(given["evaluators"]),
        }
        turns[utterance_id] = evaluation._replace(columns=columns)
    for order, turn in enumerate(sorted(turns.values())):
        recording, dialogue, *_, last = turn.utterance_id.split("_")
        wav = session / "sentences" / "wav" / evaluation_file.stem / f"{turn.utterance_id}.wav"
        yield {
            "utterance_id": turn.utterance_id,
            "dialogue_id": evaluation_file.stem,
            "order": order,
            "start": turn.start,
            "end": turn.end,
            "speaker": f"{recording[:-1]}_{last[0]}",
            "gender": _GENDERS[last[0]],
            "session": session.name,
            "language": "en",
            # Sentences were cut for evaluation, so only an evaluated turn must have a recording.
            "audio": str(wav) if turn.utterance_id in evaluations or wav.exists() else None,
            "scenario": "improvised" if dialogue.startswith("impro") else "scripted",
            **turn.columns,
        }


def _read_evaluations(path: Path) -> dict[str, _Turn]:
    """Reads the blocks of an evaluation file: a bracketed line, then one line per evaluator."""
    evaluations: dict[str, _Turn] = {}
    opinions: list[dict[str, object]] = []
    for number, line in enumerate(_read_lines(path), start=1):
        if line.startswith("["):
            match = _EVALUATION.fullmatch(line)
            if not match or match["utterance_id"] in evaluations:
                raise ValueError(
                    f"iemocap: {path} line {number} reads {line!r}, expected "
                    "'[start - end] turn emotion [valence, arousal, dominance]' "
                    "with a turn such as Ses01F_impro01_M000 that was not evaluated before"
                )
            opinions = []
            ratings = {rating: float(match[rating]) for rating in _ATTRIBUTES}
            evaluations[match["utterance_id"]] = _Turn(
                float(match["start"]),
                match["utterance_id"],
                float(match["end"]),
                {"emotion": match["emotion"], "evaluators": opinions, **ratings},
            )
        elif match := _OPINION.fullmatch(line):
            opinions.append(_read_opinion(match))
    return evaluations


def _read_opinion(match: re.Match[str]) -> dict[str, object]:
    """Reads ``C-E2:  Neutral; Anger;  (calm)`` or ``A-E3:  val 3; act 2; dom  ;  ()``."""
    given = match["opinion"]
    opinion: dict[str, object] = {"evaluator": match["evaluator"]}
    if match["evaluator"].startswith("C"):
        opinion["emotions"] = [name.strip() for name in given.split(";") if name.strip()]
    else:
        for rating, short in _ATTRIBUTES.items():
            score = re.search(rf"{short}\s+(\d+)", given)
            opinion[rating] = int(score[1]) if score else None
    opinion["comment"] = (match["comment"] or "").strip().removesuffix(")")
    return opinion


def _write_votes(opinions: object) -> dict[str, str | None]:
    """Writes the votes of those who watched, C-E1, and of the actors, C-F1, apart."""
    assert isinstance(opinions, list)
    named: list[tuple[str, list[str]]] = [
        (one["evaluator"], [_NAMED.get(str(x).lower(), str(x)) for x in one["emotions"]])
        for one in opinions
        if "emotions" in one
    ]
    others, own = (
        [one for one in named if one[0].startswith("C-E") == is_other] for is_other in (True, False)
    )
    return {VOTES: write_votes(others), SELF_VOTES: write_votes(own)}


def _read_transcript(path: Path) -> dict[str, _Turn]:
    if not path.is_file():
        raise FileNotFoundError(f"iemocap: no transcript {path}, though the dialogue is evaluated")
    turns: dict[str, _Turn] = {}
    ignored = []
    for line in _read_lines(path):
        match = _TRANSCRIPT.fullmatch(line)
        if match and match["utterance_id"] not in turns:
            utterance_id, text = match["utterance_id"], match["text"].strip()
            start, end = float(match["start"]), float(match["end"])
            # A turn outside the evaluation may be timed carelessly; its beginning still orders it.
            known_end = end if end >= start else None
            turns[utterance_id] = _Turn(start, utterance_id, known_end, {"text": text})
        elif line:
            ignored.append(line)
    if ignored:
        _LOGGER.info(
            "iemocap: %s: %d lines are no turns, first %r", path.name, len(ignored), ignored[0]
        )
    return turns


def _read_lines(path: Path) -> list[str]:
    """Reads UTF-8, or Windows' code page where a stray curly quote makes it no UTF-8."""
    encoded = path.read_bytes()
    try:
        text = encoded.decode("utf-8")
    except UnicodeDecodeError:
        text = encoded.decode("cp1252", errors="replace")
    return [line.strip() for line in text.split("\n")]


CORPUS = CorpusSource(
    load=load_iemocap,
    root=_ROOT,
    labels="4-class",
    split="leave-one-speaker-out",
    label_maps={
        "4-class": _FOUR_CLASSES,
        "6-class": {**_FOUR_CLASSES, "exc": "excited", "fru": "frustrated"},
    },
    options=IemocapOptions(),
)
