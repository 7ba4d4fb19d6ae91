"""What a file gives about a turn, before it is checked; and the text of such files."""

import codecs
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from conversation_emotion.inference.turns.turn import TurnError

_BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}

_LAYER = re.compile(r"(?P<speaker>.*?)[\s:_-]*\b(?P<kind>words?|phones?|phonemes|syllables)$", re.I)

EMOTION_TIER = " (emotion)"
"""Ending of the name of a tier that holds the emotions of the speaker before it."""


@dataclass(frozen=True, kw_only=True)
class Given:
    """A turn as a file has it.

    Attributes:
        place: File and line, or what else finds it there; begins each message about it.
        start: Seconds, as a number or its text; None if there is none.
        end: As ``start``.
        speaker: Name of the speaker.
        text: The words.
        language: Language of the words.
        channel: Channel of the recording, from 0.
        recording: Name of the recording, with or without folder and suffix.
        problem: What is wrong with it, without the place.
    """

    place: str
    start: object = None
    end: object = None
    speaker: str | None = None
    text: str | None = None
    language: str | None = None
    channel: int | None = None
    recording: str | None = None
    problem: str = ""


def read_text(path: Path) -> str:
    """Reads a file in UTF-8, or in UTF-16 with a byte order mark; lines end in a line feed.

    Raises:
        TurnError: It is in another encoding, or no text.
    """
    content = path.read_bytes()
    encoding = next(
        (name for mark, name in _BYTE_ORDER_MARKS.items() if content.startswith(mark)), "utf-8"
    )
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise TurnError(
            f"{path} line {line}: byte 0x{content[error.start]:02x} is not {encoding.upper()[:6]}; "
            "save the file as UTF-8"
        ) from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise TurnError(f"{path} line {line}: holds a zero byte, expected text in UTF-8")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def select_tiers(names: Iterable[str], path: Path) -> dict[str, str]:
    """Returns the tiers that hold turns, with the speaker of each: tier -> speaker.

    Tiers of words, phones and syllables divide the turns of others; those of emotions repeat them,
    unless they stand alone.

    Raises:
        TurnError: There are only tiers of words or what is smaller.
    """
    names = list(names)
    smaller = [name for name in names if _LAYER.fullmatch(name)]
    speakers = {}
    for name in names:
        if name not in smaller:
            speaker = name.removesuffix(EMOTION_TIER)
            if speaker == name or speaker not in names:
                speakers[name] = speaker
    if smaller and not speakers:
        raise TurnError(
            f"{path}: has only the tiers {', '.join(smaller)}, expected a tier of turns for each "
            "speaker; add one"
        )
    passed = [name for name in names if name not in speakers]
    if passed:
        print(f"{path}: passed over the tiers {', '.join(passed)}")
    return speakers
