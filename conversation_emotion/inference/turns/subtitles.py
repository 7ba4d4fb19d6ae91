"""SubRip (.srt) and WebVTT (.vtt): words with their times, and who says them.

A speaker is a voice of WebVTT, ``<v Anna>``, or stands before the words as WhisperX writes it,
``[SPEAKER_00]:``.
"""

import html
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from conversation_emotion.inference.turns.given import Given, read_text
from conversation_emotion.inference.turns.turn import LabelledTurn

_TIME = r"(?:\d+:)?\d{1,2}:\d{1,2}[.,]\d{1,3}"
_TIMES = re.compile(rf"\s*({_TIME})\s*-->\s*({_TIME})(?:\s.*)?")
# A mark ends before the next begins, or each that is not closed would be read to the end.
_VOICE = re.compile(r"<v(?:\.[^ \t>]*)?[ \t]+([^<>]*)>")
_WEBVTT_MARKS = re.compile(r"<c\.emotion>[^<]*</c>\s?|</?[a-zA-Z][^<>]*>|<[\d:.]+>")
_SUBRIP_MARKS = re.compile(r"</?(?:i|b|u|s|font)\b[^<>]*>|\{\\[^{}]*\}", re.IGNORECASE)
_SPEAKER = re.compile(r"\[([^\]]+)\]:\s*")


def read_subtitles(path: Path) -> Iterator[Given]:
    """Yields the turns of a file: one for each voice of each cue."""
    is_webvtt = path.suffix.lower() == ".vtt"
    for number, lines in _split(read_text(path)):
        if is_webvtt and re.match(r"(WEBVTT|NOTE|STYLE|REGION)\b", lines[0]):
            continue
        # A number or name may stand above the times.
        has_name = len(lines) > 1 and "-->" not in lines[0] and "-->" in lines[1]
        number, lines = (number + 1, lines[1:]) if has_name else (number, lines)
        place = f"{path} line {number}"
        times = _TIMES.fullmatch(lines[0])
        if times is None:
            problem = f"expected times such as 00:00:01,000 --> 00:00:02,000, got {lines[0]!r}"
            yield Given(place=place, problem=problem)
            continue
        start, end = map(_read_time, times.groups())
        for speaker, text in _split_voices("\n".join(lines[1:]), is_webvtt=is_webvtt):
            yield Given(place=place, start=start, end=end, speaker=speaker, text=text)


def _split(text: str) -> Iterator[tuple[int, list[str]]]:
    """Yields the parts between empty lines, each with the number of its first line."""
    lines: list[str] = []
    for number, line in enumerate([*text.split("\n"), ""], start=1):
        if line.strip():
            lines.append(line)
        elif lines:
            yield number - len(lines), lines
            lines = []


def _read_time(time: str) -> float:
    *hours, minutes, seconds = time.replace(",", ".").split(":")
    return round(3600 * int(hours[0] if hours else 0) + 60 * int(minutes) + float(seconds), 3)


def _split_voices(text: str, *, is_webvtt: bool) -> Iterator[tuple[str | None, str]]:
    """Yields who speaks, and the words without marks, of each voice of a cue."""
    before, *voices = _VOICE.split(text) if is_webvtt else [text]
    pairs = list(zip(voices[::2], voices[1::2], strict=True))
    for speaker, words in [(None, before), *pairs] if before.strip() or not pairs else pairs:
        marks = _WEBVTT_MARKS if is_webvtt else _SUBRIP_MARKS
        plain = " ".join(marks.sub("", words).split())
        named = _SPEAKER.match(plain) if speaker is None else None
        speaker = named[1] if named else speaker
        plain = plain[named.end() :] if named else plain
        if is_webvtt:
            speaker, plain = speaker and html.unescape(speaker).strip(), html.unescape(plain)
        yield speaker, plain


def format_webvtt(turns: Sequence[LabelledTurn]) -> str:
    """Returns a cue for each turn: voice, emotion with its confidence, words."""
    cues = ["WEBVTT\n"]
    for turn in turns:
        voice = f"<v {_escape(turn.speaker)}>" if turn.speaker else ""
        emotion = f"<c.emotion>[{_escape(_show_emotion(turn))}]</c>" if turn.emotion else ""
        words = " ".join(filter(None, [emotion, _escape(turn.text or "")]))
        cues.append(f"{_format_time(turn.start)} --> {_format_time(turn.end)}\n{voice}{words}\n")
    return "\n".join(cues)


def _show_emotion(turn: LabelledTurn) -> str:
    share = "" if turn.confidence is None else f" {turn.confidence:.0%}"
    return f"{turn.emotion}{share}"


def _escape(text: str) -> str:
    return html.escape(" ".join(text.split()), quote=False)


def _format_time(seconds: float) -> str:
    milliseconds = round(1000 * seconds)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}.{rest % 1000:03}"
