"""Reads any audio or video file as the mono 16 kHz waveform that the encoders take."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray

from conversation_emotion.utterances.decoding import AudioError, Block, decode, measure
from conversation_emotion.utterances.resampling import SAMPLE_RATE, resample
from conversation_emotion.utterances.sound_files import locate, printable

__all__ = ["MIN_SECONDS", "SAMPLE_RATE", "AudioError", "explain", "measure_seconds", "read_audio"]

MIN_SECONDS = 0.025
"""Shortest clip that can be read: one analysis window of 25 ms, one frame of most encoders."""

MIN_RATE, MAX_RATE = 1_000, 768_000
"""Samples per second that a header may claim; the bytes of others are damaged."""

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
    if offset is not None and not 0 <= offset < math.inf:
        raise AudioError(f"{path}: offset is {offset} s, expected 0 s or more")
    if duration is not None and not 0 < duration < math.inf:
        raise AudioError(f"{path}: duration is {duration} s, expected more than 0 s")
    with _naming(path):
        blocks = decode(path, offset or 0.0, duration)
        _check_rates(path, blocks)
        mono = _to_mono(path, blocks, channel)
        if (seconds := sum(block.seconds for block in mono) / speed) < MIN_SECONDS:
            raise AudioError(
                f"{path}: {1000 * seconds:.1f} ms of audio{_place(offset, duration)}, expected "
                f"{1000 * MIN_SECONDS:.0f} ms or more; leave the clip out or give it a longer slice"
            )
        _check_finite(path, mono)
        waveform = np.concatenate([resample(block.samples, block.rate) for block in mono])
        return resample(waveform, round(SAMPLE_RATE * speed))


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
    # Channels that have nothing in common, or of which one alone has sound, give a ratio of 1.
    loudness = float(np.sqrt(np.mean(np.square(samples)))) if samples.size else 0.0
    if math.sqrt(num_channels) * float(np.sqrt(np.mean(np.square(mean)))) < _CANCELLED * loudness:
        raise AudioError(
            f"{path}: its {num_channels} channels cancel, their mean is silence; take one, by the "
            "column channel of a manifest"
        )
    return mean


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
