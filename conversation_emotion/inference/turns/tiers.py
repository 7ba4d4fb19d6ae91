"""Praat's TextGrid and ELAN's .eaf: turns in tiers, for each speaker one of words, one of emotions.

Within a tier nothing overlaps in either format: turns of a speaker that do go on further tiers of
the same name with a number.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import cast
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree
from xml.sax.saxutils import escape, quoteattr

from conversation_emotion.inference.turns.given import (
    EMOTION_TIER,
    Given,
    read_text,
    select_tiers,
)
from conversation_emotion.inference.turns.turn import LabelledTurn, TurnError

_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")

UNKNOWN = "speaker unknown"
"""Name of the tier of turns whose speaker is not known."""

Interval = tuple[float, float, str]
"""Start and end in seconds, and a label."""


def read_textgrid(path: Path) -> Iterator[Given]:
    """Yields the intervals with a label, of each tier in turn; a tier is a speaker.

    Raises:
        TurnError: The file is no TextGrid.
    """
    from praatio import textgrid
    from praatio.utilities.errors import PraatioException

    if path.read_bytes()[:16].startswith(b"ooBinaryFile"):
        raise TurnError(f"{path}: is a binary TextGrid; save it as text in Praat")
    if not path.read_bytes().startswith((b"\xff\xfe", b"\xfe\xff")):
        read_text(path)  # names the line with a byte that is not UTF-8
    try:
        grid = textgrid.openTextgrid(
            str(path), includeEmptyIntervals=False, reportingMode="silence",
            duplicateNamesMode="rename",
        )  # fmt: skip
    except (PraatioException, ValueError, IndexError, KeyError, AttributeError, TypeError) as error:
        raise TurnError(
            f"{path}: is no whole TextGrid ({' '.join(str(error).split()) or type(error).__name__})"
        ) from error
    tiers = {one.name: one for one in grid.tiers if isinstance(one, textgrid.IntervalTier)}
    if points := [name for name in grid.tierNames if name not in tiers]:
        print(f"{path}: passed over the tiers of points {', '.join(points)}")
    for name, speaker in select_tiers(tiers, path).items():
        for number, entry in enumerate(tiers[name].entries, start=1):
            start, end, label = cast(Interval, entry)
            text = None if name.endswith(EMOTION_TIER) else label
            place = f"{path} tier {name!r}, label {number}"
            yield Given(place=place, start=start, end=end, speaker=_known(speaker), text=text)


def read_elan(path: Path) -> Iterator[Given]:
    """Yields the annotations of each tier that has no parent; its participant is the speaker.

    Raises:
        TurnError: The file is no document of ELAN.
    """
    try:
        document = ElementTree.parse(path).getroot()
    except (ElementTree.ParseError, UnicodeError, LookupError, ValueError) as error:
        line = f" line {error.position[0]}" if isinstance(error, ElementTree.ParseError) else ""
        raise TurnError(f"{path}{line}: is no XML of ELAN ({error})") from error
    if document.tag != "ANNOTATION_DOCUMENT":
        raise TurnError(f"{path}: begins with {document.tag}, expected ANNOTATION_DOCUMENT")
    slots = {
        slot.get("TIME_SLOT_ID"): slot.get("TIME_VALUE") for slot in document.iter("TIME_SLOT")
    }
    media = document.find("HEADER/MEDIA_DESCRIPTOR")
    url = "" if media is None else media.get("MEDIA_URL") or media.get("RELATIVE_MEDIA_URL") or ""
    recording = unquote(urlsplit(url).path).replace("\\", "/").rpartition("/")[2] or None
    tiers = {tier.get("TIER_ID", ""): tier for tier in document.iter("TIER")}
    parents = [name for name, tier in tiers.items() if tier.get("PARENT_REF") is None]
    if len(parents) < len(tiers):
        children = ", ".join(name for name in tiers if name not in parents)
        print(f"{path}: passed over the tiers {children}, which depend on others")
    for name, speaker in select_tiers(parents, path).items():
        participant = tiers[name].get("PARTICIPANT") or speaker
        for one in tiers[name].iter("ALIGNABLE_ANNOTATION"):
            text = None if name.endswith(EMOTION_TIER) else one.findtext("ANNOTATION_VALUE")
            yield Given(
                place=f"{path} tier {name!r}, annotation {one.get('ANNOTATION_ID')}",
                start=_to_seconds(slots.get(one.get("TIME_SLOT_REF1"))),
                end=_to_seconds(slots.get(one.get("TIME_SLOT_REF2"))),
                speaker=_known(participant),
                text=text,
                recording=recording,
            )


def _to_seconds(milliseconds: str | None) -> float | str | None:
    """Returns seconds; what is no number stays, and is reported as such."""
    if milliseconds is None:
        return "nowhere: it has no time"
    return int(milliseconds) / 1000 if milliseconds.isdecimal() else milliseconds


def _known(speaker: str) -> str | None:
    return None if speaker.startswith(UNKNOWN) else speaker


def lay_out(turns: Sequence[LabelledTurn]) -> dict[tuple[str, str], list[Interval]]:
    """Returns the intervals of each tier in order, by its name and its speaker."""
    tiers: dict[tuple[str, str], list[Interval]] = {}
    has_words = any(turn.text for turn in turns)
    for turn in sorted(turns, key=lambda turn: turn.start):
        labels = {EMOTION_TIER: _show_emotion(turn)}
        labels |= {"": " ".join((turn.text or "").split())} if has_words else {}
        speaker = " ".join((turn.speaker or "").split()) or UNKNOWN
        for ending, label in labels.items():
            for number in range(1, len(turns) + 1):
                name = f"{speaker}{f' {number}' if number > 1 else ''}{ending}"
                tier = tiers.setdefault((name, speaker), [])
                if not tier or tier[-1][1] <= turn.start:
                    tier.append((turn.start, turn.end, label))
                    break
    return tiers


def _show_emotion(turn: LabelledTurn) -> str:
    share = "" if turn.confidence is None else f" {turn.confidence:.3f}"
    return f"{turn.emotion}{share}" if turn.emotion else "?"  # no label would be silence


def format_textgrid(turns: Sequence[LabelledTurn], seconds: float) -> str:
    """Returns a TextGrid, in its long form, of a recording of this length."""
    tiers = lay_out(turns)
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', ""]
    lines += ["xmin = 0", f"xmax = {seconds:.6f}", "tiers? <exists>", f"size = {len(tiers)}"]
    lines += ["item []:"]
    for number, ((name, _), labelled) in enumerate(tiers.items(), start=1):
        intervals = list(_fill(labelled, seconds))
        lines += [f"    item [{number}]:", '        class = "IntervalTier"']
        lines += [f"        name = {_quote(name)}", "        xmin = 0"]
        lines += [f"        xmax = {seconds:.6f}", f"        intervals: size = {len(intervals)}"]
        for place, (start, end, label) in enumerate(intervals, start=1):
            lines += [f"        intervals [{place}]:", f"            xmin = {start:.6f}"]
            lines += [f"            xmax = {end:.6f}", f"            text = {_quote(label)}"]
    return "\n".join([*lines, ""])


def _fill(intervals: list[Interval], seconds: float) -> Iterator[Interval]:
    """Yields the intervals of a tier with empty ones between, for Praat has no gaps."""
    last = 0.0
    for start, end, label in intervals:
        if start > last:
            yield last, start, ""
        yield start, end, label
        last = end
    if seconds > last:
        yield last, seconds, ""


def _quote(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def format_elan(turns: Sequence[LabelledTurn], recording: str | None) -> str:
    """Returns a document of ELAN, with times in whole milliseconds."""
    slots: list[str] = []
    tiers: list[str] = []
    for (name, speaker), intervals in lay_out(turns).items():
        annotations = []
        for start, end, label in intervals:
            first = len(slots) + 1
            slots += [
                f'<TIME_SLOT TIME_SLOT_ID="ts{number}" TIME_VALUE="{round(1000 * seconds)}"/>'
                for number, seconds in enumerate((start, end), start=first)
            ]
            annotations.append(
                f'<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a{first // 2 + 1}" '
                f'TIME_SLOT_REF1="ts{first}" TIME_SLOT_REF2="ts{first + 1}">'
                f"<ANNOTATION_VALUE>{_escape(label)}</ANNOTATION_VALUE>"
                "</ALIGNABLE_ANNOTATION></ANNOTATION>"
            )
        participant = "" if speaker == UNKNOWN else f" PARTICIPANT={_attribute(speaker)}"
        tiers += [
            f'<TIER LINGUISTIC_TYPE_REF="default-lt" TIER_ID={_attribute(name)}{participant}>'
        ]
        tiers += [*annotations, "</TIER>"]
    return _ELAN.format(
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        media="" if recording is None else _describe_media(recording),
        slots="\n".join(slots),
        tiers="\n".join(tiers),
    )


def _escape(text: str) -> str:
    """Escapes a text for XML, which has no control characters."""
    return escape(_CONTROLS.sub("\N{REPLACEMENT CHARACTER}", text))


def _attribute(text: str) -> str:
    return quoteattr(_CONTROLS.sub("\N{REPLACEMENT CHARACTER}", text))


def _describe_media(recording: str) -> str:
    path = Path(recording)
    relative = _attribute(f"./{path.name}")
    url = _attribute(path.absolute().as_uri())
    kind = "audio/x-wav" if path.suffix.lower() in (".wav", ".wave") else "unknown"
    return f'<MEDIA_DESCRIPTOR MEDIA_URL={url} MIME_TYPE="{kind}" RELATIVE_MEDIA_URL={relative}/>'


_ELAN = """<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT AUTHOR="conversation-emotion" DATE="{date}" FORMAT="3.0" VERSION="3.0" \
xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" \
xsi:noNamespaceSchemaLocation="http://www.mpi.nl/tools/elan/EAFv3.0.xsd">
<HEADER MEDIA_FILE="" TIME_UNITS="milliseconds">{media}</HEADER>
<TIME_ORDER>
{slots}
</TIME_ORDER>
{tiers}
<LINGUISTIC_TYPE GRAPHIC_REFERENCES="false" LINGUISTIC_TYPE_ID="default-lt" TIME_ALIGNABLE="true"/>
</ANNOTATION_DOCUMENT>
"""
