"""What a page shows of a table of predictions: conversations, their turns, and who felt what."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, NamedTuple

import pandas as pd

from conversation_emotion.inference.page.reasons import Reasons, collect_reasons
from conversation_emotion.inference.predictor import BETWEEN
from conversation_emotion.utterances.audio import AudioError, measure_seconds

MOST_TURNS = 3000
"""Turns within a page: more make browsers slow."""

NOBODY = "speaker unknown"

_ROUNDING = 1e-3  # seconds by which times may be wrong, for they are rounded

_REASONS = "reasons"


class Forecast(NamedTuple):
    """What was expected of a turn before it began: an emotion, and its probability if known."""

    emotion: str
    confidence: float | None


@dataclass(frozen=True, kw_only=True)
class PageTurn:
    """A turn as a page shows it.

    Attributes:
        start: Where it begins on the timeline: seconds, or turns before it; None if it has no
            place there.
        end: As ``start``.
        speaker: Name, `NOBODY` if unknown.
        text: Words, empty if unknown.
        emotion: Class; None if none was predicted.
        confidence: Its probability.
        others: Further classes of the prediction set.
        valence: From -1 to 1; None if unknown. So is ``activation``.
        sentiment: Of the words, empty if unknown.
        expected: Forecast that turns before it made of this turn.
        problem: Why there is no emotion, or what is wrong with the clip; else empty.
        sound: Path of its audio; None without one.
        offset: Seconds in the audio at which it begins.
        reasons: What its emotion rests on; None if that is not known.
    """

    start: float | None
    end: float | None
    speaker: str
    text: str
    emotion: str | None
    confidence: float | None
    others: tuple[str, ...]
    valence: float | None
    activation: float | None
    sentiment: str
    expected: Forecast | None
    problem: str
    sound: str | None
    offset: float
    reasons: Reasons | None = None

    @property
    def length(self) -> float:
        """Seconds, or turns; 0 without a place."""
        return 0.0 if self.start is None or self.end is None else self.end - self.start


class Curve(NamedTuple):
    """Valence and activation from -1 to 1 at points in time, in seconds."""

    times: list[float]
    valence: list[float | None]
    activation: list[float | None]


@dataclass(frozen=True, kw_only=True)
class Conversation:
    """A recording, or a dialogue of clips, as a page shows it.

    Attributes:
        name: Its file, or the name of the dialogue.
        turns: In order of time.
        is_timed: Whether places are seconds; else the order of turns is all that is known.
        length: End of the timeline.
        curve: Finer than turns; None without one.
        ahead: Forecasts of the turn after the last: of its speaker, and of anybody else.
        num_left_out: Turns that the page has no room for.
    """

    name: str
    turns: tuple[PageTurn, ...]
    is_timed: bool
    length: float
    curve: Curve | None
    ahead: tuple[Forecast | None, Forecast | None]
    num_left_out: int

    @property
    def speakers(self) -> tuple[str, ...]:
        """Names of the speakers, in order of appearance."""
        return tuple(dict.fromkeys(turn.speaker for turn in self.turns if turn.start is not None))

    def of(self, speaker: str) -> "Share":
        """Returns turns, time and emotions of a speaker."""
        turns = [turn for turn in self.turns if turn.speaker == speaker and turn.length]
        felt = [turn for turn in turns if turn.emotion is not None]
        total = sum(turn.length for turn in felt)
        emotions: dict[str, float] = {}
        for turn in felt:
            emotions[str(turn.emotion)] = emotions.get(str(turn.emotion), 0.0) + turn.length / total
        ordered = dict(sorted(emotions.items(), key=lambda item: -item[1]))
        return Share(len(turns), sum(turn.length for turn in turns), ordered)


class Share(NamedTuple):
    """How many turns a speaker has, how long they are together, and each emotion's share of it."""

    num_turns: int
    length: float
    emotions: dict[str, float]


class Selection(NamedTuple):
    """The conversations of a page, and how many it has no room for."""

    conversations: list[Conversation]
    num_left_out: int


def select_conversations(
    table: pd.DataFrame,
    frames: pd.DataFrame | None,
    most: int,
    explanation: pd.DataFrame | None = None,
) -> Selection:
    """Returns the first conversations of a table of predictions, up to `MOST_TURNS` together.

    Args:
        table: A row for each turn, as `predict_rows` returns them; ``offset`` may tell where a
            clip begins in its file.
        frames: Columns ``recording``, ``time``, ``valence`` and ``activation``; None without any.
        most: Conversations of a page.
        explanation: As of `Predictor.explain`, of the rows of the table; None without any.
    """
    table = table.copy()
    table[_REASONS] = pd.Series(_find_reasons(table, explanation), table.index, dtype=object)
    keys = _name_groups(table)
    groups = list(table.groupby(keys, sort=False))
    titles = _shorten([str(key) for key, _ in groups])
    curves = {} if frames is None else dict(list(frames.groupby("recording", sort=False)))
    chosen: list[Conversation] = []
    room = MOST_TURNS
    for (key, rows), title in zip(groups[:most], titles, strict=False):
        if room <= 0:
            break
        chosen.append(_make_conversation(title, rows, curves.get(key), room))
        room -= len(chosen[-1].turns)
    return Selection(chosen, len(groups) - len(chosen))


def _find_reasons(table: pd.DataFrame, explanation: pd.DataFrame | None) -> list[Reasons | None]:
    """Returns what each row rests on."""
    rows = [_clean(row) for row in table.to_dict("records")]
    texts = {number: str(row["text"]) for number, row in enumerate(rows) if row.get("text")}
    found = collect_reasons(explanation, texts, dict(enumerate(map(_name_turn, rows))))
    return [found.get(number) for number in range(len(rows))]


def _name_turn(row: Mapping[str, Any]) -> str:
    """Returns what a turn is called: its speaker and when it begins, or the begin of its words."""
    speaker, start = row.get("speaker"), row.get("start")
    words = str(row.get("text") or "")
    shown = [
        *([] if speaker is None else [str(speaker)]),
        *([] if start is None else [f"at {float(start):.1f} s"]),
        *([f"“{words[:30]}{'…' * (len(words) > 30)}”"] if words and start is None else []),
    ]
    return " ".join(shown) or NOBODY


def _name_groups(table: pd.DataFrame) -> pd.Series:
    """Returns the conversation of each row: its recording, else its dialogue, else all are one."""
    for name in ("recording", "dialogue_id"):
        if name in table and table[name].notna().any():
            return table[name].fillna("").astype(str).rename("conversation")
    return pd.Series("conversation", index=table.index, name="conversation")


def _shorten(names: Sequence[str]) -> list[str]:
    """Returns the last part of each path, or the whole of it where two would be the same."""
    short = [PurePath(name).name or name for name in names]
    return [one if short.count(one) == 1 else name for one, name in zip(short, names, strict=True)]


def _make_conversation(
    name: str, rows: pd.DataFrame, frames: pd.DataFrame | None, room: int
) -> Conversation:
    records = [_clean(row) for row in rows.to_dict("records")]
    places = _place(records)
    is_timed = places is not None
    found = places if is_timed else [(float(n), n + 1.0) for n in range(len(records))]
    order = sorted(range(len(records)), key=lambda n: (found[n] is None, found[n] or (0.0, 0.0)))
    expected = _match_forecasts([records[n] for n in order])
    turns = [
        _make_turn(records[number], found[number], forecast)
        for number, forecast in zip(order[:room], expected, strict=False)
    ]
    ends = [turn.end for turn in turns if turn.end is not None]
    last = records[order[-1]]
    return Conversation(
        name=name or "words alone",
        turns=tuple(turns),
        is_timed=is_timed,
        length=max(ends, default=0.0),
        curve=None if frames is None or not is_timed else _make_curve(frames),
        ahead=(_read_forecast(last, "same"), _read_forecast(last, "other")),
        num_left_out=len(records) - len(turns),
    )


def _clean(row: Mapping[Any, Any]) -> dict[str, Any]:
    """Returns a row with None for all that is missing, and for numbers that are not finite."""
    missing = {name: pd.api.types.is_scalar(cell) and pd.isna(cell) for name, cell in row.items()}
    return {str(name): None if missing[name] else cell for name, cell in row.items()}


def _place(rows: Sequence[Mapping[str, Any]]) -> list[tuple[float, float] | None] | None:
    """Returns where each turn lies, None for one that failed; None if places are unknown."""
    places: list[tuple[float, float] | None] = []
    for row in rows:
        start, end = row.get("start"), row.get("end")
        if end is None and row.get("recording") is not None:
            end = _measure(row["recording"])
        is_whole = row.get("recording") is not None and start is None
        start = 0.0 if is_whole else start
        if row.get("emotion") is None and row.get("problem") and (start is None or end is None):
            places.append(None)
        elif start is None or end is None:
            return None
        elif is_whole and row.get("emotion") is None:
            places.append(None)  # the recording itself failed: it has no turn
        else:
            places.append((float(start), max(float(start), float(end))))
    return places


def _measure(recording: str) -> float | None:
    try:
        return measure_seconds(recording)
    except AudioError:
        return None


def _make_turn(
    row: Mapping[str, Any], place: tuple[float, float] | None, expected: Forecast | None
) -> PageTurn:
    emotion = row.get("emotion")
    start, end = place or (None, None)
    members = str(row.get("prediction_set") or "").split(BETWEEN)
    offset = row.get("offset")
    return PageTurn(
        start=start,
        end=end,
        speaker=NOBODY if row.get("speaker") is None else str(row["speaker"]),
        text=str(row.get("text") or ""),
        emotion=None if emotion is None else str(emotion),
        confidence=row.get("confidence"),
        others=tuple(one for one in members if one and one != emotion),
        valence=row.get("valence"),
        activation=row.get("activation"),
        sentiment=str(row.get("sentiment") or ""),
        expected=expected,
        problem=str(row.get("problem") or ""),
        sound=row.get("recording") or row.get("audio"),
        offset=float((row.get("start") if offset is None else offset) or 0.0),
        reasons=row.get(_REASONS),
    )


def _match_forecasts(rows: Sequence[Mapping[str, Any]]) -> list[Forecast | None]:
    """Returns what was last forecast of each turn, N in order.

    A turn is the next one of the speaker of the turn before it, or the next of anybody else: the
    columns ``next_same`` and ``next_other``. A forecast of a turn that had begun is none.
    """
    expected: list[Forecast | None] = []
    last: dict[object, Mapping[str, Any]] = {}
    before: Mapping[str, Any] = {}
    for row in rows:
        speaker = row.get("speaker")
        kind = "same" if before.get("speaker") == speaker else "other"
        found = _read_forecast(before, kind, row) or _read_forecast(
            last.get(speaker, {}), "same", row
        )
        expected.append(found)
        last[speaker] = before = row
    return expected


def _read_forecast(
    row: Mapping[str, Any], kind: str, target: Mapping[str, Any] | None = None
) -> Forecast | None:
    """Returns the forecast that a row makes; None if it makes none, or the target had begun."""
    emotion, end = row.get(f"next_{kind}"), row.get("end")
    begins = None if target is None else target.get("start")
    if emotion is None or (end is not None and begins is not None and begins < end - _ROUNDING):
        return None
    return Forecast(str(emotion), row.get(f"forecast_{kind}_{emotion}"))


def _make_curve(frames: pd.DataFrame) -> Curve:
    ordered = frames.sort_values("time")
    columns = [
        ordered[name].astype(object).where(ordered[name].notna(), None).tolist()
        for name in ("time", "valence", "activation")
    ]
    return Curve(*columns)


def list_sounds(conversations: Sequence[Conversation]) -> Iterator[str]:
    """Yields the audio of all turns, in their order."""
    for conversation in conversations:
        for turn in conversation.turns:
            if turn.sound is not None and turn.start is not None:
                yield turn.sound
