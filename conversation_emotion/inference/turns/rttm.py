"""RTTM: who spoke when, a line for each turn (NIST, Rich Transcription 2009).

    SPEAKER recording 1 start duration <NA> subtype speaker confidence <NA>

The subtype, which other tools leave empty, holds the emotion in the files that are written here.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from conversation_emotion.inference.turns.given import Given, read_text
from conversation_emotion.inference.turns.turn import LabelledTurn, TurnError

_NONE = "<NA>"
_UNNAMED = "recording"


def read_rttm(path: Path) -> Iterator[Given]:
    """Yields the turns of a file.

    A channel counts where the file has several; most tools write 1 whatever the recording has.
    """
    lines = {
        number: line.split()
        for number, line in enumerate(read_text(path).split("\n"), start=1)
        if line.strip() and not line.startswith(";")
    }
    turns = {number: cells for number, cells in lines.items() if cells[0] == "SPEAKER"}
    others = Counter(cells[0] for cells in lines.values() if cells[0] != "SPEAKER")
    if others and not turns:
        raise TurnError(
            f"{path} line {next(iter(lines))}: begins with {next(iter(others))!r}, expected SPEAKER"
        )
    if others:
        print(f"{path}: passed over the lines {', '.join(map(repr, others))}, which are no turns")
    has_channels = len({cells[2] for cells in turns.values() if len(cells) > 2}) > 1
    for number, cells in turns.items():
        place = f"{path} line {number}"
        if len(cells) not in (9, 10):
            problem = f"has {len(cells)} fields, expected 10"
            yield Given(place=place, problem=problem)
            continue
        _, recording, channel, start, duration, _, _, speaker, *_ = cells
        is_channel = has_channels and channel.isdecimal() and int(channel) > 0
        yield Given(
            place=place,
            start=start,
            end=_add(start, duration),
            speaker=None if speaker == _NONE else speaker,
            channel=int(channel) - 1 if is_channel else None,
            recording=recording,
        )


def _add(start: str, duration: str) -> float | str:
    """Returns the end of a turn, or what makes it none, which is reported as such."""
    try:
        return round(float(start) + float(duration), 6)
    except ValueError:
        return duration


def format_rttm(turns: Sequence[LabelledTurn]) -> str:
    """Returns a line for each turn.

    Raises:
        TurnError: Two names are the same once their spaces are underscores.
    """
    recordings = _name_all([Path(turn.recording or _UNNAMED).stem for turn in turns])
    speakers = _name_all([turn.speaker for turn in turns])
    emotions = _name_all([turn.emotion for turn in turns])
    return "".join(
        f"SPEAKER {recordings[Path(turn.recording or _UNNAMED).stem]} {(turn.channel or 0) + 1} "
        f"{turn.start:.3f} {turn.end - turn.start:.3f} {_NONE} {emotions[turn.emotion]} "
        f"{speakers[turn.speaker]} "
        f"{_NONE if turn.confidence is None else format(turn.confidence, '.3f')} {_NONE}\n"
        for turn in turns
    )


def _name_all(names: Sequence[str | None]) -> dict[str | None, str]:
    """Returns names without spaces, which divide the fields of a line."""
    known = {name: re.sub(r"\s", "_", name) for name in names if name}
    for name, written in known.items():
        if list(known.values()).count(written) > 1:
            raise TurnError(
                f"RTTM has no spaces in names: {name!r} would be {written!r}, as another is; "
                "rename one"
            )
    return {**known, None: _NONE, "": _NONE}
