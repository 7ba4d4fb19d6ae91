"""Decodes the sound of a file as it is, and refuses one that holds less than it promises."""

import io
import math
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, cast

import av
import numpy as np
import soundfile
from av.container import InputContainer
from numpy.typing import NDArray

from conversation_emotion.utterances.sound_files import printable
from conversation_emotion.utterances.streams import NO_PROMISE, Stream, find_streams

_SOUNDFILE_SUFFIXES = {
    *(".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".au"),
    *(".snd", ".caf", ".w64", ".rf64", ".bwf"),
}
_BLOCK_SIZE = 1 << 20  # samples; a header that promises too many cannot ask for memory
_TIMED_CONTAINERS = {"matroska", "asf", "avi", "flv"}
_PREROLL_SECONDS = 0.5  # decoders need a few frames after a seek before their output is right
_EXACT_SECONDS, _FRAME_SECONDS = 0.01, 0.1  # what samples, and frames, may fall short by

# libsndfile's own words on a size that the file does not hold.
_SHORT = re.compile(
    r"(?:data|SSND|BODY|Data Size|riff) *: (?P<promised>\d+) \(should be (?P<held>\d+)\)"
    r"|frame count (?P<held_frames>\d+) does not match .* of (?P<promised_frames>\d+)"
)


class AudioError(ValueError):
    """A file or a slice of it that does not give a usable waveform."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class Block(NamedTuple):
    """Samples in a row that have one rate and as many channels: (channels, S)."""

    samples: NDArray[np.float32]
    rate: int

    @property
    def seconds(self) -> float:
        """Length of the block."""
        return self.samples.shape[-1] / self.rate


class _Decoded(NamedTuple):
    """What was decoded of a stream.

    The blocks begin at ``start``; decoding, or what the container holds, came to ``end``, of
    ``promised``, which is None where nothing is promised. All in seconds.
    """

    blocks: list[Block]
    start: float
    end: float
    promised: float | None


def decode(path: Path, offset: float, duration: float | None) -> list[Block]:
    """Decodes a slice: all streams that were joined in the file, each by its own rate and channels.

    Raises:
        AudioError: The file breaks off within the slice, ends before it, or has no audio.
        Exception: Whatever a decoder raises.
    """
    streams = find_streams(path)
    if len(streams) == 1:
        found = _decode_stream(path, streams[0], path, offset, duration)
    else:
        sources = _open_all(path, streams)
        parts = [_decode_stream(path, *source, 0.0, None).blocks for source in sources]
        found = _Decoded([block for part in parts for block in part], 0.0, 0.0, None)
    end = found.start + sum(block.seconds for block in found.blocks)
    if offset and offset >= end - 0.5 / max((block.rate for block in found.blocks), default=1):
        raise AudioError(
            f"{path}: offset is {offset:g} s, but the audio ends at {end:.3f} s; "
            "check the times of the utterance"
        )
    return list(_cut(found.blocks, offset - found.start, duration))


def measure(path: Path) -> float:
    """Returns the seconds of all streams by their headers; what has no length there is decoded.

    Raises:
        AudioError: The file is shorter than its header, or has no audio.
        Exception: Whatever a decoder raises.
    """
    streams = find_streams(path)
    sources = _open_all(path, streams) if len(streams) > 1 else [(streams[0], path)]
    return sum(_measure_stream(path, stream, source) for stream, source in sources)


def _open_all(path: Path, streams: Sequence[Stream]) -> list[tuple[Stream, Path | io.BytesIO]]:
    """Returns the bytes of each of several streams, as decoders open them."""
    content = path.read_bytes()
    return [(stream, io.BytesIO(content[stream.start : stream.end])) for stream in streams]


def _cut(blocks: Sequence[Block], offset: float, duration: float | None) -> Iterator[Block]:
    """Yields the part of a row of blocks that lies within a slice."""
    for samples, rate in blocks:
        first = max(0, round(offset * rate))
        last = None if duration is None else round(offset * rate) + round(duration * rate)
        if last is None or last > 0:
            yield Block(samples[:, first:last], rate)
        offset -= samples.shape[1] / rate


def _decode_stream(
    path: Path, stream: Stream, source: Path | io.BytesIO, offset: float, duration: float | None
) -> _Decoded:
    """Decodes a slice; libsndfile's word on the length counts, if FFmpeg has to decode it."""
    promised, slack = (None, _FRAME_SECONDS) if stream.is_whole else (math.inf, _EXACT_SECONDS)
    if stream.has_length and path.suffix.lower() in _SOUNDFILE_SUFFIXES:
        # FFmpeg has more codecs, and reports why if it cannot decode it either.
        with suppress(soundfile.SoundFileError):
            found = _decode_with_soundfile(source, stream, offset, duration)
            if found.end and _lacks(found, offset, duration) * found.blocks[0].rate < 1:
                return found
            promised, slack = found.promised, _EXACT_SECONDS
    if isinstance(source, io.BytesIO):
        source.seek(0)
    found = _decode_with_av(path, source, offset, duration)
    found = found if promised is None else found._replace(promised=promised)
    if _lacks(found, offset, duration) > slack:
        raise _break_off(path, found.end, found.promised)
    return found


def _lacks(found: _Decoded, offset: float, duration: float | None) -> float:
    """Returns the seconds by which a slice falls short of what was promised."""
    wanted = math.inf if duration is None else offset + duration
    return min(wanted, found.end if found.promised is None else found.promised) - found.end


def _break_off(path: Path, held: float, promised: float | None) -> AudioError:
    expected = "more, its end is missing" if promised == math.inf else f"{promised:.2f} s"
    return AudioError(
        f"{path}: breaks off after {held:.2f} s, expected {expected}; "
        "fetch the file again or leave the clip out"
    )


def _decode_with_soundfile(
    source: Path | io.BytesIO, stream: Stream, offset: float, duration: float | None
) -> _Decoded:
    with _open_soundfile(source) as file:
        rate, num_frames = file.samplerate, file.frames
        promised = _promised_frames(file, stream)
        first = min(round(offset * rate), num_frames)
        if first:
            file.seek(first)
        left = math.inf if duration is None else round(duration * rate)
        pieces = [np.zeros((0, file.channels), dtype=np.float32)]
        while left > 0:
            piece = file.read(int(min(left, _BLOCK_SIZE)), dtype="float32", always_2d=True)
            if not len(piece):
                break
            pieces.append(cast("NDArray[np.float32]", piece))
            left -= len(piece)
    samples = np.concatenate(pieces).T
    end = (first + samples.shape[1]) / rate
    # A file that seems to be empty was written where its header could not be filled in.
    seconds = promised / rate if num_frames else None
    return _Decoded([Block(samples, rate)], first / rate, end, seconds)


def _open_soundfile(source: Path | io.BytesIO) -> soundfile.SoundFile:
    # libsndfile takes names as bytes, which need not be UTF-8.
    name = cast(str, os.fsencode(source)) if isinstance(source, Path) else source
    return soundfile.SoundFile(name)


def _promised_frames(file: soundfile.SoundFile, stream: Stream) -> float:
    """Returns the samples that a header promises, at least those that libsndfile found."""
    if not stream.is_whole:
        return math.inf
    short = _SHORT.search(file.extra_info)
    if short is None:
        return file.frames
    if short["promised_frames"]:
        return max(file.frames, int(short["promised_frames"]))
    promised, held = int(short["promised"]), int(short["held"])
    is_promise = promised not in NO_PROMISE and held > 0
    return max(file.frames, file.frames * promised / held) if is_promise else file.frames


def _decode_with_av(
    path: Path, source: Path | io.BytesIO, offset: float, duration: float | None
) -> _Decoded:
    with _open_av(source) as container:
        stream = _find_audio(path, container)
        promised = _promised_seconds(container, stream)
        is_sought = stream.duration is not None and promised is not None
        if is_sought and offset > 2 * _PREROLL_SECONDS and stream.time_base:
            ticks = int((offset - _PREROLL_SECONDS) / stream.time_base)
            container.seek(ticks + (stream.start_time or 0), stream=stream)
        else:
            is_sought = False
        end = math.inf if duration is None else offset + duration
        return _collect(container, stream, end, is_sought=is_sought)._replace(promised=promised)


def _open_av(source: Path | io.BytesIO) -> InputContainer:
    # "file:" or else what lies before a colon in a name is taken for a protocol.
    place = f"file:{source}" if isinstance(source, Path) else source
    return av.open(place, mode="r", metadata_errors="ignore")


def _find_audio(path: Path, container: InputContainer) -> av.AudioStream:
    if container.streams.audio:
        return container.streams.audio[0]
    kinds = ", ".join(stream.type for stream in container.streams) or "none"
    raise AudioError(f"{path}: no audio stream, found streams: {kinds}; leave the clip out")


def _promised_seconds(container: InputContainer, stream: av.AudioStream) -> float | None:
    """Length by the header of a container, None for containers without one."""
    if _is_timed(container):
        return None if container.duration is None else container.duration / 1e6
    if "mp4" in container.format.name and stream.duration is not None and stream.time_base:
        return float(stream.duration * stream.time_base)
    return None


def _is_timed(container: InputContainer) -> bool:
    """Whether the header gives the length of all streams together, not of each."""
    return not _TIMED_CONTAINERS.isdisjoint(container.format.name.split(","))


def _collect(
    container: InputContainer, stream: av.AudioStream, end: float, *, is_sought: bool
) -> _Decoded:
    """Decodes until ``end``, in seconds, is reached, each frame by its own rate and channels."""
    groups: list[tuple[tuple[int, int], list[NDArray[np.float32]]]] = []
    to_float = av.AudioResampler(format="fltp")
    start, seconds, held = 0.0, 0.0, 0.0
    begin = float((stream.start_time or 0) * (stream.time_base or 0))
    is_timed = _is_timed(container)
    zero = (container.start_time or 0) / 1e6
    for packet in container.demux() if is_timed else container.demux(stream):
        if is_timed and packet.pts is not None and packet.time_base is not None:
            ends = float((packet.pts + (packet.duration or 0)) * packet.time_base)
            held = max(held, ends - zero)
        if packet.stream_index != stream.index:
            continue
        for frame in packet.decode():
            assert isinstance(frame, av.AudioFrame)
            if not groups and is_sought and frame.time is not None:
                start = frame.time - begin
            kind = frame.sample_rate, frame.layout.nb_channels
            if not groups or groups[-1][0] != kind:
                groups.append((kind, []))
                to_float = av.AudioResampler(format="fltp")
            planar = [frame] if frame.format.name == "fltp" else to_float.resample(frame)
            groups[-1][1].extend(np.asarray(part.to_ndarray(), dtype=np.float32) for part in planar)
            seconds += frame.samples / frame.sample_rate
        if start + seconds > end + _EXACT_SECONDS:
            break
    blocks = [Block(np.concatenate(parts, axis=1), rate) for (rate, _), parts in groups]
    return _Decoded(blocks, start, max(start + seconds, held), None)


def _measure_stream(path: Path, stream: Stream, source: Path | io.BytesIO) -> float:
    if stream.has_length and path.suffix.lower() in _SOUNDFILE_SUFFIXES:
        with suppress(soundfile.SoundFileError), _open_soundfile(source) as file:
            if file.frames:
                promised = _promised_frames(file, stream)
                if promised - file.frames > _EXACT_SECONDS * file.samplerate:
                    seconds = promised / file.samplerate
                    raise _break_off(path, file.frames / file.samplerate, seconds)
                return file.frames / file.samplerate
    if isinstance(source, io.BytesIO):
        source.seek(0)
    with _open_av(source) as container:
        promised = _promised_seconds(container, _find_audio(path, container))
    if promised is not None and stream.is_whole:
        return promised
    return sum(block.seconds for block in _decode_stream(path, stream, source, 0.0, None).blocks)
