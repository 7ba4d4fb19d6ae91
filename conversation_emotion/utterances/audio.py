"""Reads any audio or video file as the mono 16 kHz waveform that the encoders take."""

import math
from pathlib import Path

import av
import numpy as np
import soundfile
from av.container import InputContainer
from av.error import FFmpegError
from numpy.typing import NDArray

SAMPLE_RATE = 16_000
"""Samples per second of every waveform."""

MIN_SECONDS = 0.025
"""Shortest clip that can be read: one analysis window of 25 ms, one frame of most encoders."""

SUFFIXES = (
    *(".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au", ".sph"),
    *(".m4a", ".aac", ".mp4", ".mkv", ".webm", ".wma"),
)
"""Endings of the files that a folder is searched for."""

_SOUNDFILE_SUFFIXES = {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au"}
_INDEXED_CONTAINERS = ("mp4", "matroska")
_PREROLL_SECONDS = 0.5  # decoders need a few frames after a seek before their output is right
_MIN_DECODED_SHARE = 0.9


class AudioError(ValueError):
    """A file or a slice of it that does not give a usable waveform."""


_Decoded = tuple[NDArray[np.float32], int]
"""Samples (channels, S), and how many per second, before they become mono 16 kHz."""


def read_audio(
    path: str | Path,
    *,
    offset: float | None = None,
    duration: float | None = None,
    channel: int | None = None,
    speed: float = 1.0,
) -> NDArray[np.float32]:
    """Reads a file, or a slice of it, as a mono 16 kHz waveform of shape (S,).

    libsndfile decodes the usual audio formats, FFmpeg (PyAV) everything else. Integer samples are
    scaled to [-1, 1]; of several audio streams the first counts.

    Args:
        path: Audio or video file.
        offset: Seconds after the first sample at which to begin; None for the beginning.
        duration: Seconds to read at most, less where the file ends before; None for all.
        channel: Channel to take, counted from 0; None for the mean of all.
        speed: Factor of the playback speed, to whole percent; the pitch changes with it.

    Raises:
        AudioError: The file is missing, does not decode or has no audio; the slice or the channel
            lies outside it; samples are not finite; less than 25 ms are left.
    """
    path = _check_file(path)
    if offset is not None and not 0 <= offset < math.inf:
        raise AudioError(f"{path}: offset is {offset} s, expected 0 s or more")
    if duration is not None and not 0 < duration < math.inf:
        raise AudioError(f"{path}: duration is {duration} s, expected more than 0 s")
    samples, rate = _decode(path, offset or 0.0, duration)
    mono = _to_mono(path, samples, channel)
    if (seconds := mono.size / rate / speed) < MIN_SECONDS:
        raise AudioError(
            f"{path}: {1000 * seconds:.1f} ms of audio{_place(offset, duration)}, expected "
            f"{1000 * MIN_SECONDS:.0f} ms or more; leave the clip out or give it a longer slice"
        )
    if not np.isfinite(mono).all():
        position = int(np.flatnonzero(~np.isfinite(mono))[0])
        raise AudioError(
            f"{path}: sample {position} is {mono[position]}, expected finite numbers; "
            "write the file again"
        )
    return _resample(_resample(mono, rate), round(SAMPLE_RATE * speed))


def measure_seconds(path: str | Path) -> float:
    """Returns the length of a file by its header; only one without a length there is decoded.

    Raises:
        AudioError: The file is missing, does not open as audio or has no audio.
    """
    path = _check_file(path)
    if path.suffix.lower() in _SOUNDFILE_SUFFIXES:
        try:
            return float(soundfile.info(str(path)).duration)
        except soundfile.SoundFileError:
            pass  # as in `_decode`
    try:
        with av.open(str(path), metadata_errors="ignore") as container:
            if container.streams.audio:
                seconds = _promised_seconds(container, container.streams.audio[0])
                if seconds is not None:
                    return seconds
    except FFmpegError as error:
        raise AudioError(
            f"{path}: does not open as audio ({error.strerror}, {path.stat().st_size} bytes); "
            "fetch the file again or leave the clip out"
        ) from error
    samples, rate = _decode(path, 0.0, None)
    return samples.shape[1] / rate


def _check_file(place: str | Path) -> Path:
    path = Path(place)
    if not path.is_file():
        kind = "is a folder" if path.is_dir() else "does not exist"
        raise AudioError(f"{path}: {kind}, expected an audio file; check the corpus folder")
    return path


def _decode(path: Path, offset: float, duration: float | None) -> _Decoded:
    if path.suffix.lower() in _SOUNDFILE_SUFFIXES:
        try:
            return _decode_with_soundfile(path, offset, duration)
        except soundfile.SoundFileError:
            pass  # FFmpeg has more codecs, and reports why if it cannot decode it either
    try:
        return _decode_with_av(path, offset, duration)
    except FFmpegError as error:
        raise AudioError(
            f"{path}: does not decode ({error.strerror}, {path.stat().st_size} bytes); "
            "fetch the file again or leave the clip out"
        ) from error


def _decode_with_soundfile(path: Path, offset: float, duration: float | None) -> _Decoded:
    with soundfile.SoundFile(path) as file:
        rate = file.samplerate
        first = round(offset * rate)
        _check_offset(path, first, file.frames, rate)
        if first:
            file.seek(first)
        num_samples = -1 if duration is None else round(duration * rate)
        samples = file.read(num_samples, dtype="float32", always_2d=True)
    return np.asarray(samples, dtype=np.float32).T, rate


def _decode_with_av(path: Path, offset: float, duration: float | None) -> _Decoded:
    with av.open(str(path), metadata_errors="ignore") as container:
        if not container.streams.audio:
            kinds = ", ".join(stream.type for stream in container.streams) or "none"
            raise AudioError(f"{path}: no audio stream, found streams: {kinds}; leave the clip out")
        stream = container.streams.audio[0]
        promised = _promised_seconds(container, stream)
        is_sought = promised is not None and offset > 2 * _PREROLL_SECONDS
        if is_sought and stream.time_base:  # which a promise implies
            ticks = int((offset - _PREROLL_SECONDS) / stream.time_base)
            container.seek(ticks + (stream.start_time or 0), stream=stream)
        samples, rate, skipped = _collect(container, stream, offset, duration, is_sought=is_sought)
    seconds = (skipped + samples.shape[1]) / rate
    if duration is None and promised is not None and seconds < _MIN_DECODED_SHARE * promised:
        raise AudioError(
            f"{path}: breaks off after {seconds:.2f} s, expected {promised:.2f} s; "
            "fetch the file again or leave the clip out"
        )
    first = round(offset * rate)
    _check_offset(path, first, skipped + samples.shape[1], rate)
    last = None if duration is None else first - skipped + round(duration * rate)
    return samples[:, first - skipped : last], rate


def _promised_seconds(container: InputContainer, stream: av.AudioStream) -> float | None:
    """Length of the stream by the container's index, None for containers without one."""
    is_indexed = any(name in container.format.name for name in _INDEXED_CONTAINERS)
    if not is_indexed or stream.duration is None or stream.time_base is None:
        return None
    return float(stream.duration * stream.time_base)


def _collect(
    container: InputContainer,
    stream: av.AudioStream,
    offset: float,
    duration: float | None,
    *,
    is_sought: bool,
) -> tuple[NDArray[np.float32], int, int]:
    """Decodes until the slice is complete -> samples, rate, and how many samples lie before."""
    to_float = av.AudioResampler(format="fltp")
    blocks: list[NDArray[np.float32]] = []
    rate, skipped, num_samples = stream.rate or SAMPLE_RATE, 0, 0
    for frame in container.decode(stream):
        if not blocks:
            rate = frame.sample_rate
            if is_sought and frame.pts is not None and frame.time_base is not None:
                start = (frame.pts - (stream.start_time or 0)) * frame.time_base
                skipped = round(start * rate)
        planar = [frame] if frame.format.name == "fltp" else to_float.resample(frame)
        blocks += [np.asarray(part.to_ndarray(), dtype=np.float32) for part in planar]
        num_samples += frame.samples
        if duration is not None and skipped + num_samples >= (offset + duration) * rate + 1:
            break
    empty = np.zeros((1, 0), dtype=np.float32)
    return (np.concatenate(blocks, axis=1) if blocks else empty), rate, skipped


def _check_offset(path: Path, first: int, num_samples: int, rate: int) -> None:
    if first and first >= num_samples:
        raise AudioError(
            f"{path}: offset is {first / rate:g} s, but the audio ends at "
            f"{num_samples / rate:.3f} s; check the times of the utterance"
        )


def _to_mono(path: Path, samples: NDArray[np.float32], channel: int | None) -> NDArray[np.float32]:
    """Takes one channel or the mean of all: (channels, S) -> (S,)."""
    num_channels = len(samples)
    if channel is None:
        return samples[0] if num_channels == 1 else samples.mean(axis=0, dtype=np.float32)
    if not 0 <= channel < num_channels:
        raise AudioError(
            f"{path}: channel {channel} does not exist, expected 0 to {num_channels - 1}; "
            "leave the channel empty for the mean of all"
        )
    return samples[channel]


def _resample(mono: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
    """Brings a waveform to 16 kHz: (S,) -> (S,)."""
    mono = np.ascontiguousarray(mono)
    if rate == SAMPLE_RATE:
        return mono
    import torch
    from torchaudio.functional import resample

    return resample(torch.from_numpy(mono), rate, SAMPLE_RATE).numpy()


def _place(offset: float | None, duration: float | None) -> str:
    if offset is None and duration is None:
        return ""
    length = "the rest" if duration is None else f"{duration:g} s"
    return f" in {length} from {offset or 0.0:g} s"
