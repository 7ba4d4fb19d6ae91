"""The page of a table of predictions: one file, with timelines, sound, and what the model is."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from conversation_emotion.figures.documents import format_markdown, render, symbol_of
from conversation_emotion.inference.card import Card, describe, describe_adaptation
from conversation_emotion.inference.page.conversations import (
    NOBODY,
    Conversation,
    Forecast,
    PageTurn,
    list_sounds,
    select_conversations,
)
from conversation_emotion.inference.page.reasons import format_share
from conversation_emotion.inference.page.sounds import Sounds, embed_sounds
from conversation_emotion.inference.saved_model import README
from conversation_emotion.settings.page import PageSettings

Fields = dict[str, object]
"""What a template shows."""


def read_about(folder: Path, card: Card) -> str:
    """Returns the card of the saved model in a folder for people, as Markdown."""
    file = folder / README
    text = file.read_text("utf-8") if file.is_file() else describe(card)
    added = describe_adaptation(card)  # which the model of the folder may not have had
    return text if added in text else f"{text}\n{added}"


def render_page(
    table: pd.DataFrame,
    card: Card,
    settings: PageSettings,
    *,
    about: str,
    title: str = "Emotions of a conversation",
    frames: pd.DataFrame | None = None,
    explanation: pd.DataFrame | None = None,
) -> str:
    """Writes the page of a table of predictions, as HTML that loads nothing.

    Args:
        table: A row for each turn, as `predict_rows` returns them. ``recording`` or ``dialogue_id``
            make conversations; ``start``, ``end``, ``speaker``, ``text``, ``sentiment`` and what
            `Forecaster.forecast` returns are shown where there are any, and ``offset`` is where
            the clip ``audio`` begins in its file.
        card: Card of the model.
        settings: How much the page holds.
        about: The card for people, as Markdown.
        title: Heading of the page.
        frames: Finer curves: columns ``recording``, ``time``, ``valence`` and ``activation``.
        explanation: What each turn rests on, as of `Predictor.explain`.
    """
    selection = select_conversations(table, frames, settings.report_recordings, explanation)
    found = selection.conversations
    limit = settings.report_audio_mib
    sounds = embed_sounds(list_sounds(found), limit * 2**20)
    numbers = {label: number for number, label in enumerate(card.labels)}
    keys = {path: f"s{number}" for number, path in enumerate(sounds.uris)}
    return render(
        "turns",
        title=title,
        labels=card.labels,
        summary=_summarise(table, found, card),
        notes=_note(table, selection.num_left_out, sounds, limit),
        certainty=_describe_certainty(card),
        explained=explanation is not None,
        format_share=format_share,
        conversations=[_show(one, numbers, sounds) for one in found],
        model=format_markdown(about),
        data={
            "labels": [
                {"name": label, "symbol": symbol_of(number)} for label, number in numbers.items()
            ],
            "sounds": {keys[path]: uri for path, uri in sounds.uris.items()},
            "conversations": [_draw(one, numbers, keys) for one in found],
        },
    )


def _summarise(table: pd.DataFrame, found: Sequence[Conversation], card: Card) -> str:
    turns, recordings = sum(len(one.turns) for one in found), len(found)
    seconds = sum(one.length for one in found if one.is_timed)
    times = f", {clock(seconds)} long together" if seconds else ""
    unknown = int(table["emotion"].isna().sum())
    missing = f"; {unknown:,} without an emotion, and why" if unknown else ""
    plural = "" if recordings == 1 else "s"
    return (
        f"{card.task}: {turns:,} turn{'' if turns == 1 else 's'} of {recordings:,} "
        f"conversation{plural}{times}{missing}."
    )


def _note(table: pd.DataFrame, num_left_out: int, sounds: Sounds, limit: float) -> list[str]:
    """Returns what the page has no room for."""
    notes = []
    if num_left_out:
        notes.append(
            f"{num_left_out:,} further conversations are not on this page, for which "
            "--report-recordings and the number of turns set a limit; the table has them all "
            f"({len(table):,} turns)."
        )
    if sounds.left_out:
        notes.append(
            f"The sound of {len(sounds.left_out):,} files is left out: a page holds up to "
            f"{limit:g} MiB of it (--report-audio-mib)."
        )
    if sounds.failures:
        first = next(iter(sounds.failures.values()))
        notes.append(f"{len(sounds.failures):,} files cannot be played: {first}")
    return notes


def _describe_certainty(card: Card) -> str:
    if card.calibration is None:
        return "Certainty is the model's own, and not calibrated."
    return (
        "Certainty is a probability, calibrated on speakers the model did not learn from. “Or” "
        f"names what else may be meant: the named emotions together are made to hold the right "
        f"one for {_percent(card.calibration.coverage)} of the turns of people like those."
    )


def _show(one: Conversation, numbers: Mapping[str, int], sounds: Sounds) -> Fields:
    """Returns what the template shows of a conversation."""
    turns = one.turns
    notes = []
    if one.num_left_out:
        notes.append(f"The last {one.num_left_out:,} turns are in the table alone.")
    if not one.is_timed and one.length:
        notes.append("When the turns were spoken is not known; they are in order.")
    silent = {turn.sound for turn in turns if turn.sound in sounds.left_out}
    if silent:
        notes.append("Sound is left out here.")
    return {
        "name": one.name,
        "notes": notes,
        "forecasts": _describe_forecasts(one),
        "is_timed": one.is_timed,
        "has_timeline": one.length > 0,
        "has_sound": any(turn.sound in sounds.uris for turn in turns),
        "has_curves": _has_curves(one),
        "has_speakers": any(turn.speaker != NOBODY for turn in turns),
        "has_forecasts": any(turn.expected for turn in turns),
        "has_places": any(turn.valence is not None for turn in turns),
        "has_sentiment": any(turn.sentiment for turn in turns),
        "has_words": any(turn.text for turn in turns),
        "has_reasons": any(turn.reasons for turn in turns),
        "has_moments": _has_moments(one),
        "speakers": [_show_speaker(one, name, numbers) for name in one.speakers],
        "turns": [
            _show_turn(turn, number, one, numbers, sounds) for number, turn in enumerate(turns)
        ],
    }


def _describe_forecasts(one: Conversation) -> list[str]:
    """Returns how many forecasts came true, and those of what has not come yet."""
    pairs = [(turn.expected.emotion, turn.emotion) for turn in one.turns if turn.expected]
    known = [expected == came for expected, came in pairs if came is not None]
    notes = []
    if known:
        notes.append(
            f"Forecast: of {len(known):,} turns {sum(known):,} came as was forecast before they "
            "began. What came is itself predicted."
        )
    ahead = [
        f"{whose}: {_name_forecast(found)}"
        for whose, found in zip(("of the last speaker", "of anybody else"), one.ahead, strict=True)
        if found
    ]
    return [*notes, *([f"Forecast of the next turn {', '.join(ahead)}."] if ahead else [])]


def _name_forecast(found: Forecast) -> str:
    return found.emotion + ("" if found.confidence is None else f" {_percent(found.confidence)}")


def _show_speaker(one: Conversation, name: str, numbers: Mapping[str, int]) -> Fields:
    share = one.of(name)
    parts, x = [], 0.0
    for emotion, part in share.emotions.items():
        width = round(100 * part, 2)
        parts.append(
            {"name": emotion, "number": numbers.get(emotion, 0), "x": round(x, 2), "width": width}
        )
        x += width
    time = clock(share.length)
    return {"name": name, "num_turns": share.num_turns, "time": time, "parts": parts}


def _show_turn(
    turn: PageTurn,
    number: int,
    one: Conversation,
    numbers: Mapping[str, int],
    sounds: Sounds,
) -> Fields:
    places = {
        name: "" if value is None else f"{value:+.2f}".replace("-", "\N{MINUS SIGN}")
        for name, value in (("valence", turn.valence), ("activation", turn.activation))
    }
    return {
        **asdict(turn),
        **places,
        "clock": _clock_of(turn, number, one),
        "number": numbers.get(turn.emotion or "", 0),
        "others": ", ".join(turn.others),
        "reasons": turn.reasons,
        "expected": turn.expected,
        "verdict": _judge(turn),
        "is_heard": turn.start is not None and turn.sound in sounds.uris,
    }


def _draw(one: Conversation, numbers: Mapping[str, int], keys: Mapping[str, str]) -> Fields:
    """Returns what the script draws of a conversation."""
    speakers = {name: number for number, name in enumerate(one.speakers)}
    return {
        "length": one.length or 1.0,
        "isTimed": one.is_timed,
        "speakers": list(speakers),
        "hasCurves": _has_curves(one),
        "hasForecasts": any(turn.expected for turn in one.turns),
        "hasMoments": _has_moments(one),
        "curve": None if one.curve is None else one.curve._asdict(),
        "turns": [
            {
                "start": turn.start,
                "end": turn.end,
                "clock": _clock_of(turn, number, one),
                "speaker": speakers.get(turn.speaker),
                "emotion": None if turn.emotion is None else numbers[turn.emotion],
                "confidence": turn.confidence,
                "text": turn.text or turn.problem,
                "valence": turn.valence,
                "activation": turn.activation,
                "expected": turn.expected
                and {"emotion": _name_forecast(turn.expected), "mark": _mark(turn)},
                "sound": keys.get(turn.sound or ""),
                "at": turn.offset,
                "moments": [] if turn.reasons is None else turn.reasons.moments,
            }
            for number, turn in enumerate(one.turns)
        ],
    }


def _has_moments(one: Conversation) -> bool:
    return any(turn.reasons is not None and turn.reasons.moments for turn in one.turns)


def _has_curves(one: Conversation) -> bool:
    return one.curve is not None or any(turn.valence is not None for turn in one.turns)


def _clock_of(turn: PageTurn, number: int, one: Conversation) -> str:
    if turn.start is None:
        return ""
    return clock(turn.start) if one.is_timed else str(number + 1)


def _judge(turn: PageTurn) -> str:
    """Returns in words whether a turn came as it was forecast."""
    if turn.expected is None or turn.emotion is None:
        return ""
    return "came" if turn.expected.emotion == turn.emotion else f"{turn.emotion} came"


def _mark(turn: PageTurn) -> str:
    return {"": "?", "came": "✓"}.get(_judge(turn), "✗")


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def clock(seconds: float) -> str:
    """Writes a time as ``1:02`` or ``1:02:03``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
