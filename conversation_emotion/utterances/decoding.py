"""Decodes the sound of a file as it is, and refuses one that holds less than it promises."""

import io
import math
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
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
_MOST_SAMPLES = 1 << 27  # of all channels together, half a gigabyte: what is read at once
_TIMED_CONTAINERS = {"matroska", "asf", "avi", "flv"}
_PREROLL_SECONDS = 0.5  # decoders need a few frames after a seek before their output is right
_FAR_SECONDS = 30.0  # from which on Matroska, whose times are whole milliseconds, is sought
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
        blocks: list[Block] = []
        for source in sources:
            blocks += _decode_stream(path, *source, 0.0, None).blocks
            _check_size(path, sum(block.samples.size for block in blocks))
        found = _Decoded(blocks, 0.0, 0.0, None)
    end = found.start + sum(block.seconds for block in found.blocks)
    if offset and offset >= end - 0.5 / max((block.rate for block in found.blocks), default=1):
        raise AudioError(
            f"{path}: offset is {offset:g} s, but the audio ends at {end:.3f} s; "
            "check the times of the utterance"
        )
    return list(_cut(found.blocks, offset - found.start, duration))


def decode_blocks(path: Path) -> Iterator[Block]:
    """Yields all of a file in blocks, in memory that does not grow with its length.

    Raises:
        AudioError: The file breaks off, or has no audio; after all blocks that it holds.
        Exception: Whatever a decoder raises.
    """
    streams = find_streams(path)
    # The streams of a joined file are opened from its bytes: only these need memory for all of it.
    sources = _open_all(path, streams) if len(streams) > 1 else [(streams[0], path)]
    for stream, source in sources:
        yield from _decode_stream_blocks(path, stream, source)


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
            found = _decode_with_soundfile(path, source, stream, offset, duration)
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


def _decode_stream_blocks(path: Path, stream: Stream, source: Path | io.BytesIO) -> Iterator[Block]:
    """Yields what `_decode_stream` returns; FFmpeg goes on where libsndfile stops too early."""
    promised, slack = (None, _FRAME_SECONDS) if stream.is_whole else (math.inf, _EXACT_SECONDS)
    done = 0.0
    if stream.has_length and path.suffix.lower() in _SOUNDFILE_SUFFIXES:
        with suppress(soundfile.SoundFileError), _open_soundfile(source) as file:
            rate = file.samplerate
            if file.frames:
                promised, slack = _promised_frames(file, stream) / rate, _EXACT_SECONDS
            size = max(1, _BLOCK_SIZE // max(8, file.channels))
            while len(piece := file.read(size, dtype="float32", always_2d=True)):
                done += len(piece) / rate
                yield Block(cast("NDArray[np.float32]", piece).T, rate)
            if done and promised is not None and (promised - done) * rate < 1:
                return
    if isinstance(source, io.BytesIO):
        source.seek(0)
    with _open_av(source) as container:
        audio = _find_audio(path, container)
        promised = _promised_seconds(container, audio) if promised is None else promised
        progress = _Progress()
        for samples, rate in _iterate(container, audio, progress):
            num_new = round((progress.seconds - done) * rate)
            if num_new > 0:
                yield Block(samples[:, -num_new:], rate)
    if promised is not None and promised - progress.end > slack:
        raise _break_off(path, progress.end, promised)


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


def _check_size(path: Path, num_samples: int) -> None:
    """Refuses what needs too much memory; a small file may unpack to hours of many channels."""
    if num_samples > _MOST_SAMPLES:
        raise AudioError(
            f"{path}: holds more than {_MOST_SAMPLES:,} samples of all channels together, which "
            "is the most that is read at once; give start and end of its turns"
        )


def _decode_with_soundfile(
    path: Path, source: Path | io.BytesIO, stream: Stream, offset: float, duration: float | None
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
            size = max(1, _BLOCK_SIZE // file.channels)
            piece = file.read(int(min(left, size)), dtype="float32", always_2d=True)
            if not len(piece):
                break
            pieces.append(cast("NDArray[np.float32]", piece))
            left -= len(piece)
            _check_size(path, sum(one.size for one in pieces))
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
        is_exact = stream.duration is not None and promised is not None
        is_far = "matroska" in container.format.name and offset > _FAR_SECONDS
        is_sought = is_far or (is_exact and offset > 2 * _PREROLL_SECONDS)
        if is_sought and stream.time_base:
            ticks = int((offset - _PREROLL_SECONDS) / stream.time_base)
            container.seek(ticks + (stream.start_time or 0), stream=stream)
        else:
            is_sought = False
        end = math.inf if duration is None else offset + duration
        return _collect(path, container, stream, end, is_sought=is_sought)._replace(
            promised=promised
        )


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


@dataclass
class _Progress:
    """How far a container was decoded, in seconds.

    The frames begin at ``start`` and last ``seconds``; the packets of all its streams came to
    ``held``, where its header gives the length of all together.
    """

    start: float = 0.0
    seconds: float = 0.0
    held: float = 0.0

    @property
    def end(self) -> float:
        """Where the decoded sound ends, or what else the container holds."""
        return max(self.start + self.seconds, self.held)


def _collect(
    path: Path, container: InputContainer, stream: av.AudioStream, end: float, *, is_sought: bool
) -> _Decoded:
    """Decodes until ``end``, in seconds, is reached, each frame by its own rate and channels."""
    groups: list[tuple[tuple[int, int], list[NDArray[np.float32]]]] = []
    progress, num_samples = _Progress(), 0
    for samples, rate in _iterate(container, stream, progress, is_sought=is_sought):
        kind = rate, len(samples)
        if not groups or groups[-1][0] != kind:
            groups.append((kind, []))
        groups[-1][1].append(samples)
        num_samples += samples.size
        _check_size(path, num_samples)
        if progress.start + progress.seconds > end + _EXACT_SECONDS:
            break
    blocks = [Block(np.concatenate(parts, axis=1), rate) for (rate, _), parts in groups]
    return _Decoded(blocks, progress.start, progress.end, None)


def _iterate(
    container: InputContainer,
    stream: av.AudioStream,
    progress: _Progress,
    *,
    is_sought: bool = False,
) -> Iterator[Block]:
    """Yields the frames of a stream, and notes the progress before each."""
    begin = float((stream.start_time or 0) * (stream.time_base or 0))
    is_timed = _is_timed(container)
    zero = (container.start_time or 0) / 1e6
    kind: tuple[int, int] | None = None
    to_float = av.AudioResampler(format="flt")
    for packet in container.demux() if is_timed else container.demux(stream):
        if is_timed and packet.pts is not None and packet.time_base is not None:
            ends = float((packet.pts + (packet.duration or 0)) * packet.time_base)
            progress.held = max(progress.held, ends - zero)
        if packet.stream_index != stream.index:
            continue
        for frame in packet.decode():
            assert isinstance(frame, av.AudioFrame)
            if kind is None and is_sought and frame.time is not None:
                progress.start = frame.time - begin
            if kind != (frame.sample_rate, frame.layout.nb_channels):
                kind = frame.sample_rate, frame.layout.nb_channels
                to_float = av.AudioResampler(format="flt")
            progress.seconds += frame.samples / frame.sample_rate
            # In one plane: of eight, PyAV takes what lies behind the last for a ninth, and crashes.
            for part in to_float.resample(frame):
                packed = np.asarray(part.to_ndarray(), dtype=np.float32)
                samples = packed.reshape(-1, part.layout.nb_channels).T
                yield Block(np.ascontiguousarray(samples), frame.sample_rate)


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
    sizes: Counter[int] = Counter()
    for samples, rate in _decode_stream_blocks(path, stream, source):
        sizes[rate] += samples.shape[1]
    return sum(size / rate for rate, size in sizes.items())
