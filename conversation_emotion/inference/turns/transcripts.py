"""JSON of speech recognisers: Whisper, WhisperX, FunASR, and pipelines of transformers."""

import json
from collections.abc import Iterator
from pathlib import Path

from conversation_emotion.inference.turns.given import Given, read_text
from conversation_emotion.inference.turns.turn import TurnError

_EXPECTED = (
    "expected segments (Whisper, WhisperX), sentence_info (FunASR), chunks (transformers), or a "
    "list of objects with start, end, text"
)


def read_transcript(path: Path) -> Iterator[Given]:
    """Yields the turns of a file.

    Raises:
        TurnError: The file is no JSON, or of none of these tools.
    """
    try:
        content = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:  # also a number of thousands of digits
        line = f" line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise TurnError(f"{path}{line}: is no JSON ({error})") from error
    documents = content if isinstance(content, list) else [content]
    if documents and not any(_is_document(one) for one in documents):
        documents = [{"segments": documents}] if isinstance(content, list) else documents
    for document in documents:
        yield from _read_document(document, path)


def _is_document(one: object) -> bool:
    names = {"segments", "sentence_info", "chunks", "timestamp"}
    return isinstance(one, dict) and ("key" in one or bool(names & one.keys()))


def _read_document(document: object, path: Path) -> Iterator[Given]:
    """Yields the turns of one recording."""
    if not isinstance(document, dict):
        raise TurnError(f"{path}: holds a {type(document).__name__}, {_EXPECTED}")
    recording = _to_text(document.get("key"))
    language = _to_text(document.get("language"))
    for name, unit in (("segments", 1.0), ("sentence_info", 1000.0), ("chunks", 1.0)):
        if name not in document:
            continue
        if not isinstance(document[name], list):
            raise TurnError(f"{path}: {name} is a {type(document[name]).__name__}, {_EXPECTED}")
        for number, segment in enumerate(document[name], start=1):
            place = f"{path} {name} {number}"
            if isinstance(segment, dict):
                yield _read_segment(segment, place, unit, recording, language)
            else:
                yield Given(place=place, problem=f"is {segment!r}, expected an object")
        return
    if "text" not in document:
        raise TurnError(f"{path}: has {', '.join(map(repr, document)) or 'nothing'}, {_EXPECTED}")
    # FunASR without sentences: milliseconds of each word.
    times = document.get("timestamp")
    first, last = (times[0], times[-1]) if isinstance(times, list) and times else (None, None)
    segment = {"text": document["text"], "start": _pick(first, 0), "end": _pick(last, 1)}
    yield _read_segment(segment, str(path), 1000.0, recording, language)


def _read_segment(
    segment: dict[str, object],
    place: str,
    unit: float,
    recording: str | None,
    language: str | None,
) -> Given:
    """Reads a segment whose times are in ``1 / unit`` seconds."""
    times = segment.get("timestamp")
    start, end = segment.get("start"), segment.get("end")
    if start is None and end is None and isinstance(times, list) and len(times) == 2:
        start, end = times
    text = segment.get("text", segment.get("sentence"))
    speaker = segment.get("speaker", segment.get("spk"))
    return Given(
        place=place,
        start=_scale(start, unit),
        end=_scale(end, unit),
        speaker=_to_text(speaker),
        text=_to_text(text),
        language=_to_text(segment.get("language")) or language,
        recording=recording,
    )


def _pick(pair: object, place: int) -> object:
    return pair[place] if isinstance(pair, list) and len(pair) == 2 else None


def _scale(time: object, unit: float) -> object:
    return time / unit if isinstance(time, int | float) and unit != 1 else time


def _to_text(value: object) -> str | None:
    text = "" if value is None else str(value).strip()
    return text or None
