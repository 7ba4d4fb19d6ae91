"""Writes down the words of turns that have sound and no text, in batches of turns by length."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch.nn.utils.rnn import pad_sequence

from conversation_emotion.features.clips import AudioBar
from conversation_emotion.features.encoders import Transcriber, Transcript, load_transcriber
from conversation_emotion.features.kept_words import KeptWords, Place, Written
from conversation_emotion.features.voice_activity import SpeechDetector
from conversation_emotion.settings.cache import writable_cache
from conversation_emotion.settings.turns import SegmentSettings
from conversation_emotion.utterances.audio import (
    MIN_SECONDS,
    SAMPLE_RATE,
    AudioError,
    measure_seconds,
)
from conversation_emotion.utterances.sound_files import printable
from conversation_emotion.utterances.table import has_text

CLIPS_AT_ONCE = 8
"""Clips of a batch, each padded to 30 s by Whisper."""

_SPEECH = SegmentSettings().speech_threshold
"""Probability of speech that some frame has to reach, since Whisper writes ``you`` of silence."""

_LOUDNESS = SAMPLE_RATE // 5
"""Samples over which the quietest place is looked for, at which a long turn is cut."""


def transcribe(
    rows: pd.DataFrame | Sequence[str | Path] | str | Path,
    model: str,
    *,
    language: str | None = None,
    device: str | None = None,
) -> pd.DataFrame:
    """Writes down the words of recordings, see `write_words`.

    Args:
        rows: A table with ``audio``, or paths of recordings, or one.
        model: Whisper with its decoder, by hub id or folder, such as ``openai/whisper-base``.
        language: Language of all, by name or code; None detects it.
        device: Where the model computes; None takes a GPU if there is one.
    """
    if not isinstance(rows, pd.DataFrame):
        paths = [rows] if isinstance(rows, str | Path) else rows
        rows = pd.DataFrame({"audio": [printable(path) for path in paths]})
    return write_words(rows, load_transcriber(model, device), language)


def write_words(
    rows: pd.DataFrame, transcriber: Transcriber, language: str | None = None
) -> pd.DataFrame:
    """Writes down the words of the rows that have sound and no text; prints how many.

    The language is ``language``; or that of the row; or the one that is detected: of a recording
    with several such rows from what is said first, up to 30 s, since a short turn tells little.
    Turns without speech by voice activity get no words, and words that the model itself doubts are
    left out, see the transcriber. A turn of more than 30 s is cut where it is least loud. What is
    written down is kept in the cache, and not done again for the same sound.

    Args:
        rows: A table with ``audio``, maybe ``offset``, ``duration``, ``channel``, ``text``,
            ``language`` and ``problem``; a row with a problem is passed over.
        transcriber: What writes down words.
        language: Language of all rows, by name or code.

    Returns:
        The table with ``text`` and ``language``, missing where there are no words.

    Raises:
        ValueError: The model does not have a language.
    """
    given = None if language is None else transcriber.find_language(language)
    table = rows.copy()
    for name in ("text", "language"):
        table[name] = table[name].astype(object) if name in table else None
    places = list(_list_places(table))
    languages = {}
    for place in places:  # before any work
        own = table["language"].iloc[place.row]
        languages[place.row] = given or (
            transcriber.find_language(own) if isinstance(own, str) and own.strip() else None
        )
    num_known, found = _find_words(places, languages, transcriber)
    for name in ("text", "language"):
        cells = table[name].tolist()
        for row, transcript in found.items():
            cells[row] = getattr(transcript, name) if transcript.text else None
        table[name] = pd.Series(cells, index=table.index, dtype=object)
    _report(len(places), num_known, found, transcriber)
    return table


def _find_words(
    places: Sequence[Place], languages: dict[int, str | None], transcriber: Transcriber
) -> tuple[int, dict[int, Transcript]]:
    """Returns how many places the cache has the words of, and what is said in each, by row."""
    with writable_cache() as cache:
        kept = KeptWords(transcriber, cache)
        languages = languages | _detect(places, languages, transcriber, kept)
        pairs = [([place], languages[place.row] or "any") for place in places]
        keys = dict(zip([place.row for place in places], kept.find_keys(pairs), strict=True))
        known = kept.read(keys.values())
        found: dict[int, Transcript] = {
            row: known[key] for row, key in keys.items() if key in known
        }
        num_known = len(found)
        new = [place for place in places if place.row not in found]
        for row, transcript in _write_all(new, languages, transcriber):
            found[row] = transcript
            kept.write(keys[row], transcript)
    return num_known, found


def _list_places(table: pd.DataFrame) -> Iterator[Place]:
    """Yields where the sound of the rows is that have sound and no text."""
    if "audio" not in table:
        return
    is_wanted = table["audio"].notna() & ~has_text(table)
    if "problem" in table:
        is_wanted &= table["problem"].fillna("") == ""
    names = ("offset", "duration", "channel")
    lengths: dict[str, float] = {}
    for row in np.flatnonzero(is_wanted).tolist():
        audio = str(table["audio"].iloc[row])
        offset, duration, channel = (
            None if name not in table or pd.isna(cell := table[name].iloc[row]) else float(cell)
            for name in names
        )
        try:
            if duration is None:
                if audio not in lengths:
                    lengths[audio] = measure_seconds(audio)
                duration = lengths[audio] - (offset or 0.0)
        except AudioError:
            continue  # the prediction of emotion says why
        if duration >= MIN_SECONDS:
            yield Place(
                row, audio, offset or 0.0, duration, None if channel is None else int(channel)
            )


def _write_all(
    places: Sequence[Place], languages: dict[int, str | None], transcriber: Transcriber
) -> Iterator[tuple[int, Transcript]]:
    """Yields what is said in each place, by its row; sound that cannot be read yields nothing."""
    longest = transcriber.max_samples / SAMPLE_RATE
    ordered = sorted(places, key=lambda place: place.duration)
    short = [place for place in ordered if place.duration <= longest]
    with AudioBar(sum(place.duration for place in places)) as bar:
        for first in range(0, len(short), CLIPS_AT_ONCE):
            batch = short[first : first + CLIPS_AT_ONCE]
            yield from _write_batch(batch, languages, transcriber)
            bar.update(sum(place.duration for place in batch))
        for place in ordered[len(short) :]:
            yield from _write_long(place, languages[place.row], transcriber)
            bar.update(place.duration)


def _write_batch(
    places: Sequence[Place], languages: dict[int, str | None], transcriber: Transcriber
) -> Iterator[tuple[int, Transcript]]:
    clips: dict[int, NDArray[np.float32]] = {}
    for place in places:
        try:
            clip = place.read()[: transcriber.max_samples]
        except AudioError:
            continue
        if has_speech(clip):
            clips[place.row] = clip
        else:
            yield place.row, Written("", "", "nobody speaks")
    if clips:
        written = _run(transcriber, list(clips.values()), [languages[row] for row in clips])
        yield from zip(clips, written, strict=True)


def _write_long(
    place: Place, language: str | None, transcriber: Transcriber
) -> Iterator[tuple[int, Transcript]]:
    """Writes down a turn piece by piece, each up to its least loud place after two thirds."""
    start, parts = 0.0, []
    while place.duration - start >= MIN_SECONDS:
        try:
            piece = place.read(start, transcriber.max_samples / SAMPLE_RATE)
        except AudioError:
            break
        piece = piece[: transcriber.max_samples]
        if place.duration - start > len(piece) / SAMPLE_RATE and len(piece) > 3 * _LOUDNESS:
            piece = piece[: _find_quiet(piece)]
        if has_speech(piece):
            (found,) = _run(transcriber, [piece], [language])
            language = language or found.language
            parts.append(found)
        start += len(piece) / SAMPLE_RATE
    texts = " ".join(part.text for part in parts if part.text)
    if start:
        problem = "" if texts else next((part.problem for part in parts), "nobody speaks")
        yield place.row, Written(texts, language or "", problem)


def has_speech(clip: NDArray[np.float32]) -> bool:
    """Whether voice activity finds speech anywhere in a clip at 16 kHz: (S,)."""
    detector = SpeechDetector(1)
    parts = [detector.push(clip[None]), detector.finish()]
    return any((probabilities >= _SPEECH).any() for probabilities, _ in parts)


def _find_quiet(piece: NDArray[np.float32]) -> int:
    """Returns the middle of the least loud fifth of a second in the last third: (S,)."""
    first = 2 * len(piece) // 3
    power = np.cumsum(np.square(piece[first:], dtype=np.float64))
    return first + int((power[_LOUDNESS:] - power[:-_LOUDNESS]).argmin()) + _LOUDNESS // 2


def _detect(
    places: Sequence[Place],
    languages: Mapping[int, str | None],
    transcriber: Transcriber,
    kept: KeptWords,
) -> dict[int, str | None]:
    """Detects the language of recordings with several turns of an unknown one, by row."""
    turns: dict[str, list[Place]] = {}
    for place in places:
        if languages[place.row] is None:
            turns.setdefault(place.audio, []).append(place)
    turns = {audio: some for audio, some in turns.items() if len(some) > 1}
    # That of a single turn is detected when its words are written.
    firsts = [_take_first(some, transcriber) for some in turns.values()]
    keys = kept.find_keys([(some, "detect") for some in firsts])
    known = kept.read(keys)
    found: dict[int, str | None] = {}
    for key, first, some in zip(keys, firsts, turns.values(), strict=True):
        written = known.get(key)
        if written is None and (code := _detect_one(first, transcriber)) is not None:
            written = Written("", code, "")
            kept.write(key, written)
        if written is not None:
            found |= dict.fromkeys((place.row for place in some), written.language)
    return found


def _take_first(places: Sequence[Place], transcriber: Transcriber) -> list[Place]:
    """Returns the first places, up to the length of sound that the model takes."""
    most = transcriber.max_samples / SAMPLE_RATE
    ends = np.cumsum([place.duration for place in places])
    return [place for place, end in zip(places, ends, strict=True) if end - place.duration < most]


def _detect_one(places: Sequence[Place], transcriber: Transcriber) -> str | None:
    """Detects the language of places together, None if none can be read."""
    parts = []
    for place in places:
        with suppress(AudioError):  # said where emotion is predicted
            parts.append(place.read(most=transcriber.max_samples / SAMPLE_RATE))
    if not parts:
        return None
    joined = torch.from_numpy(np.concatenate(parts)[: transcriber.max_samples])
    (code,) = transcriber.detect(joined[None], torch.tensor([len(joined)]))
    return code


def _run(
    transcriber: Transcriber, clips: Sequence[NDArray[np.float32]], languages: Sequence[str | None]
) -> Sequence[Transcript]:
    waveforms = pad_sequence([torch.from_numpy(clip) for clip in clips], batch_first=True)
    return transcriber(waveforms, torch.tensor([len(clip) for clip in clips]), languages)


def _report(
    num_places: int, num_known: int, found: dict[int, Transcript], transcriber: Transcriber
) -> None:
    """Prints how many rows got words, in which languages, and why the others have none."""
    if not num_places:
        print(f"{transcriber.name} has nothing to write down: no row has sound and no text")
        return
    languages = Counter(one.language for one in found.values() if one.text)
    why = Counter(one.problem for one in found.values() if not one.text)
    why["the sound cannot be read"] += num_places - len(found)
    written = ", ".join(f"{count:,} {code}" for code, count in languages.most_common())
    without = "".join(f"; {count:,} without words: {one}" for one, count in why.items() if count)
    known = f"; {num_known:,} from the cache" if num_known else ""
    print(
        f"words by {transcriber.name}: {languages.total():,} rows ({written or 'none'}){without}"
        f"{known}"
    )
