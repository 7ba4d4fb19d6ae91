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

Columns behind the contract: ``scenario`` (improvised or scripted) and ``evaluators``, the JSON
text of every evaluator's opinion.
"""

import json
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from conversation_emotion.settings.corpus import CorpusOptions, CorpusSource
from conversation_emotion.utterances.table import Utterances, build_utterances

PUBLISHED_COUNTS: dict[str, dict[str, int]] = {
    "Session1": {"neutral": 384, "happy": 278, "angry": 229, "sad": 194},
    "Session2": {"neutral": 362, "happy": 327, "angry": 137, "sad": 197},
    "Session3": {"neutral": 320, "happy": 286, "angry": 240, "sad": 305},
    "Session4": {"neutral": 258, "happy": 303, "angry": 327, "sad": 143},
    "Session5": {"neutral": 384, "happy": 442, "angry": 170, "sad": 245},
}
"""Utterances of the 4-class set, excited counted as happy, in the fold lists of SUPERB's emotion
recognition task (Yang et al., 2021; s3prl, ``downstream/emotion/meta_data``): 5,531 in all."""

Scenario = Literal["all", "improvised", "scripted"]

_LOGGER = logging.getLogger(__name__)
_KEPT = {"ang": "angry", "exc": "happy", "hap": "happy", "neu": "neutral", "sad": "sad"}
_FOUR_CLASSES = {**_KEPT, **dict.fromkeys(("dis", "fea", "fru", "oth", "sur"))}
_NO_AGREEMENT = "xxx"
_GENDERS = {"F": "female", "M": "male"}
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
    """A turn of the transcript, in the order in which turns are sorted."""

    start: float
    utterance_id: str
    end: float | None
    text: str


class _Evaluation(NamedTuple):
    """The entry of one turn in the evaluation file; times and ratings as it writes them."""

    start: float
    end: float
    emotion: str
    ratings: dict[str, float]
    evaluators: list[dict[str, object]]


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
    pattern = "Session*/dialog/EmoEvaluation/Ses*.txt"
    evaluations = sorted(root.glob(pattern))
    if not evaluations:
        raise FileNotFoundError(
            f"iemocap: no {pattern} under {root}; pass the IEMOCAP_full_release folder, "
            "the one that holds Session1 to Session5"
        )
    rows = (row for path in evaluations for row in _read_dialogue(path))
    return _select_scenario(build_utterances(rows, "iemocap"), scenario)


def _select_scenario(table: Utterances, scenario: Scenario) -> Utterances:
    """Keeps the dialogues of one scenario, each as a whole."""
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
    transcript_file = session / "dialog" / "transcriptions" / evaluation_file.name
    evaluations = _read_evaluations(evaluation_file)
    turns = _read_transcript(transcript_file)
    for utterance_id, evaluation in evaluations.items():
        if utterance_id not in turns:
            raise ValueError(
                f"iemocap: {transcript_file} has no line for {utterance_id!r}, "
                f"which {evaluation_file} labels {evaluation.emotion!r}"
            )
        times = {"start": evaluation.start, "end": evaluation.end}
        turns[utterance_id] = turns[utterance_id]._replace(**times)
    recordings = session.resolve() / "sentences" / "wav" / evaluation_file.stem
    for order, turn in enumerate(sorted(turns.values())):
        wav = recordings / f"{turn.utterance_id}.wav"
        evaluation = evaluations.get(turn.utterance_id)
        yield {
            "dialogue_id": evaluation_file.stem,
            "order": order,
            "session": session.name,
            "language": "en",
            # Sentences were cut for evaluation, so only an evaluated turn must have a recording.
            "audio": str(wav) if evaluation or wav.exists() else None,
            **_describe_turn(turn),
            **(_describe_evaluation(evaluation) if evaluation else {}),
        }


def _describe_turn(turn: _Turn) -> dict[str, object]:
    recording, dialogue, *_, last = turn.utterance_id.split("_")
    return {
        "utterance_id": turn.utterance_id,
        "start": turn.start,
        "end": turn.end,
        "text": turn.text,
        "speaker": f"{recording[:-1]}_{last[0]}",
        "gender": _GENDERS[last[0]],
        "scenario": "improvised" if dialogue.startswith("impro") else "scripted",
    }


def _describe_evaluation(evaluation: _Evaluation) -> dict[str, object]:
    return {
        "emotion": None if evaluation.emotion == _NO_AGREEMENT else evaluation.emotion,
        "evaluators": json.dumps(evaluation.evaluators, ensure_ascii=False),
        **evaluation.ratings,
    }


def _read_evaluations(path: Path) -> dict[str, _Evaluation]:
    """Reads the blocks of an evaluation file: a bracketed line, then one line per evaluator."""
    evaluations: dict[str, _Evaluation] = {}
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
            evaluations[match["utterance_id"]] = _Evaluation(
                float(match["start"]),
                float(match["end"]),
                match["emotion"],
                {rating: float(match[rating]) for rating in _ATTRIBUTES},
                opinions,
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
            turns[utterance_id] = _Turn(start, utterance_id, end if end >= start else None, text)
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
    root="the IEMOCAP_full_release folder",
    labels="4-class",
    split="leave-one-speaker-out",
    label_maps={
        "4-class": _FOUR_CLASSES,
        "6-class": {**_FOUR_CLASSES, "exc": "excited", "fru": "frustrated"},
    },
    options=IemocapOptions(),
)
