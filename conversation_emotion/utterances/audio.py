"""Reads any audio or video file as the mono 16 kHz waveform that the encoders take."""

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path

import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray

from conversation_emotion.utterances.decoding import (
    AudioError,
    Block,
    decode,
    decode_blocks,
    measure,
)
from conversation_emotion.utterances.resampling import SAMPLE_RATE, resample, resample_blocks
from conversation_emotion.utterances.sound_files import locate, printable

__all__ = [
    "MIN_SECONDS",
    "SAMPLE_RATE",
    "AudioError",
    "explain",
    "measure_seconds",
    "read_audio",
    "read_native",
    "stream_audio",
]

MIN_SECONDS = 0.025
"""Shortest clip that can be read: one analysis window of 25 ms, one frame of most encoders."""

MIN_RATE, MAX_RATE = 1_000, 768_000
"""Samples per second that a header may claim; the bytes of others are damaged."""

_GATHERED = 1 << 17  # samples that are resampled at once, where a frame has a thousand

_CANCELLED = 0.1
"""Loudness of the mean of channels below which they cancel, where 1 is that of unlike channels."""


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
    with _naming(path):
        mono = _decode_mono(path, offset, duration, channel, speed)
        waveform = np.concatenate([resample(block.samples, block.rate) for block in mono])
        return resample(waveform, round(SAMPLE_RATE * speed))


def read_native(
    path: str | Path,
    *,
    offset: float | None = None,
    duration: float | None = None,
    channel: int | None = None,
) -> list[Block]:
    """Reads what `read_audio` reads, at the rates that the file has: (1, S) each.

    Samples that were clipped are at full scale here, and no longer once they are resampled.

    Raises:
        AudioError: As by `read_audio`.
    """
    path = _check_file(path)
    with _naming(path):
        mono = _decode_mono(path, offset, duration, channel, 1.0)
        return [Block(block.samples[None], block.rate) for block in mono]


def _decode_mono(
    path: Path, offset: float | None, duration: float | None, channel: int | None, speed: float
) -> list[Block]:
    """Decodes a slice as one channel, (S,) each, and refuses what is no usable sound."""
    if offset is not None and not 0 <= offset < math.inf:
        raise AudioError(f"{path}: offset is {offset} s, expected 0 s or more")
    if duration is not None and not 0 < duration < math.inf:
        raise AudioError(f"{path}: duration is {duration} s, expected more than 0 s")
    blocks = decode(path, offset or 0.0, duration)
    _check_rates(path, blocks)
    mono = _to_mono(path, blocks, channel)
    if (seconds := sum(block.seconds for block in mono) / speed) < MIN_SECONDS:
        raise AudioError(
            f"{path}: {1000 * seconds:.1f} ms of audio{_place(offset, duration)}, expected "
            f"{1000 * MIN_SECONDS:.0f} ms or more; leave the clip out or give it a longer slice"
        )
    _check_finite(path, mono)
    return mono


def stream_audio(path: str | Path, *, mix: bool = False) -> Iterator[NDArray[np.float32]]:
    """Reads a file of any length block by block, as its channels at 16 kHz: (C, S) each.

    A file has as many channels as its first block; of blocks with fewer, they are repeated.

    Args:
        path: Audio or video file.
        mix: Whether to yield the mean of all channels instead, (1, S) each: all blocks joined, it
            is what `read_audio` returns.

    Raises:
        AudioError: As by `read_audio`; what comes before a fault in the file is yielded before.
    """
    path = _check_file(path)
    num_channels, num_samples, means = 0, 0, _Means()
    with _naming(path):
        for rate, blocks in groupby(decode_blocks(path), key=lambda block: block.rate):
            gathered = _gather(path, blocks)
            for samples in resample_blocks(map(means.take, gathered) if mix else gathered, rate):
                num_channels = num_channels or len(samples)
                num_samples += samples.shape[1]
                yield samples[np.arange(num_channels) % len(samples)]
        if mix:
            means.check(path)
    if num_samples < MIN_SECONDS * SAMPLE_RATE:
        raise AudioError(
            f"{path}: {1000 * num_samples / SAMPLE_RATE:.1f} ms of audio, expected "
            f"{1000 * MIN_SECONDS:.0f} ms or more; leave the file out"
        )


class _Means:
    """Means of the channels of blocks, and how loud they are."""

    def __init__(self) -> None:
        self._num_channels, self._num_samples, self._powers = 0, 0, np.zeros(2)

    def take(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Returns the mean: (C, S) -> (1, S)."""
        mean = samples.mean(axis=0, keepdims=True, dtype=np.float32)
        self._num_channels = self._num_channels or len(samples)
        self._num_samples += samples.shape[1]
        self._powers += np.square(samples).mean(axis=0).sum(), np.square(mean).sum()
        return mean

    def check(self, path: Path) -> None:
        """Refuses channels that cancel."""
        loudness = np.sqrt(self._powers / max(self._num_samples, 1))
        _check_cancelled(path, self._num_channels, *loudness)


def _gather(path: Path, blocks: Iterable[Block]) -> Iterator[NDArray[np.float32]]:
    """Joins short blocks of one rate, and checks them: (C, S) each, of as many channels as one."""
    num_channels, parts, size = 0, [], 0
    try:
        for block in blocks:
            _check_rates(path, [block])
            num_channels = num_channels or len(block.samples)
            parts.append(block.samples[np.arange(num_channels) % len(block.samples)])
            size += block.samples.shape[1]
            if size >= _GATHERED:
                yield _join(path, parts)
                parts, size = [], 0
    except Exception:  # what was decoded before a fault counts
        if size:
            yield _join(path, parts)
        raise
    if size:
        yield _join(path, parts)


def _join(path: Path, parts: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    joined = np.concatenate(parts, axis=1)
    if not np.isfinite(joined).all():
        value = joined[~np.isfinite(joined)][0]
        raise AudioError(
            f"{path}: a sample is {value}, expected finite numbers; write the file again"
        )
    return joined


def explain(path: str | Path, error: Exception) -> str:
    """Returns why the work on one file failed, with its name, whichever library raised it."""
    if isinstance(error, AudioError):
        return str(error)
    return f"{printable(path)}: {type(error).__name__}: {error}"


def measure_seconds(path: str | Path) -> float:
    """Returns the length of a file by its header; only one without a length there is decoded.

    Raises:
        AudioError: The file is missing, does not decode, has no audio or breaks off.
    """
    path = _check_file(path)
    with _naming(path):
        return measure(path)


def _check_file(place: str | Path) -> Path:
    path = locate(place)
    if not path.is_file():
        kind = "is a folder" if path.is_dir() else "does not exist"
        raise AudioError(f"{path}: {kind}, expected an audio file; check the corpus folder")
    return path


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Turns whatever a library raises into an error that names the file."""
    try:
        yield
    except AudioError:
        raise
    except Exception as error:  # decoders of damaged bytes also run out of memory, or of indices
        why = (
            error.strerror if isinstance(error, FFmpegError) else f"{type(error).__name__}: {error}"
        )
        raise AudioError(
            f"{path}: does not decode ({why}, {path.stat().st_size} bytes); "
            "fetch the file again or leave the clip out"
        ) from error


def _to_mono(path: Path, blocks: Sequence[Block], channel: int | None) -> list[Block]:
    """Takes one channel or the mean of all, of each block: (channels, S) -> (S,)."""
    num_channels = max((len(block.samples) for block in blocks), default=0)
    if channel is not None and not 0 <= channel < num_channels:
        raise AudioError(
            f"{path}: channel {channel} does not exist, expected 0 to {num_channels - 1}; "
            "leave the channel empty for the mean of all"
        )
    return [
        Block(_mix(path, samples) if channel is None else samples[channel % len(samples)], rate)
        for samples, rate in blocks
    ]


def _mix(path: Path, samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns the mean of all channels, unless they cancel: (channels, S) -> (S,)."""
    num_channels = len(samples)
    if num_channels == 1:
        return samples[0]
    mean = samples.mean(axis=0, dtype=np.float32)
    loudness = float(np.sqrt(np.mean(np.square(samples)))) if samples.size else 0.0
    _check_cancelled(path, num_channels, loudness, float(np.sqrt(np.mean(np.square(mean)))))
    return mean


def _check_cancelled(path: Path, num_channels: int, loudness: float, of_mean: float) -> None:
    # Channels that have nothing in common, or of which one alone has sound, give a ratio of 1.
    if math.sqrt(num_channels) * of_mean < _CANCELLED * loudness:
        raise AudioError(
            f"{path}: its {num_channels} channels cancel, their mean is silence; take one, by the "
            "column channel of a manifest"
        )


def _check_rates(path: Path, blocks: Sequence[Block]) -> None:
    for block in blocks:
        if not MIN_RATE <= block.rate <= MAX_RATE:
            raise AudioError(
                f"{path}: {block.rate:,} samples per second, expected {MIN_RATE:,} to "
                f"{MAX_RATE:,}; write the file again"
            )


def _check_finite(path: Path, blocks: Sequence[Block]) -> None:
    for block in blocks:
        if not np.isfinite(block.samples).all():
            position = int(np.flatnonzero(~np.isfinite(block.samples))[0])
            raise AudioError(
                f"{path}: sample {position} is {block.samples[position]}, expected finite numbers; "
                "write the file again"
            )


def _place(offset: float | None, duration: float | None) -> str:
    if offset is None and duration is None:
        return ""
    length = "the rest" if duration is None else f"{duration:g} s"
    return f" in {length} from {offset or 0.0:g} s"
