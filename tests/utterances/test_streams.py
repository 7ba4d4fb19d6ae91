"""Nothing of a file is lost: joined streams, broken ends, frames of other rates and channels."""

import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Literal, cast

import av
import numpy as np
import pytest
import soundfile

from conversation_emotion.utterances.audio import AudioError, measure_seconds, read_audio

RATE = 16_000
NOISE = np.random.default_rng(0).normal(0, 0.1, 2 * RATE).astype(np.float32)

SUBTYPES = {"mp3": ("MP3", "MPEG_LAYER_III"), "opus": ("OGG", "OPUS"), "caf": ("CAF", "PCM_16")}


def write(path: Path, *, seconds: float = 2.0, channels: int = 1, rate: int = RATE) -> bytes:
    """Writes noise in the format of the suffix and returns the bytes."""
    samples = np.tile(NOISE[: round(seconds * RATE), None], (1, channels))
    kind, subtype = SUBTYPES.get(path.suffix[1:], (None, None))
    soundfile.write(path, samples, rate, format=kind, subtype=subtype)
    return path.read_bytes()


def encode(
    path: Path,
    codec: Literal["aac", "pcm_s16le", "libmp3lame"],
    *,
    channels: int = 1,
    **options: str,
) -> bytes:
    """Writes two seconds of noise with FFmpeg and returns the bytes."""
    layout = {1: "mono", 2: "stereo"}[channels]
    with av.open(str(path), "w", options=options) as container:
        stream = cast(av.AudioStream, container.add_stream(codec, rate=RATE, layout=layout))
        kind = stream.codec_context.format
        resampler = av.AudioResampler(kind, layout=layout, frame_size=1152)
        frame = av.AudioFrame.from_ndarray(np.tile(NOISE, (channels, 1)), "fltp", layout)
        frame.sample_rate, frame.pts, frame.time_base = RATE, 0, Fraction(1, RATE)
        for part in (*resampler.resample(frame), *resampler.resample(None), None):
            container.mux(stream.encode(part))
    return path.read_bytes()


@pytest.mark.parametrize("suffix", ["mp3", "opus", "ogg", "flac", "wav", "aiff", "rf64"])
def test_joined_streams_are_read_whole(tmp_path, suffix):
    path = tmp_path / f"joined.{suffix}"
    first, second = write(path), write(path, seconds=1.0)
    path.write_bytes(first + second)
    assert len(read_audio(path)) == 3 * RATE
    assert measure_seconds(path) == 3.0
    whole, part = read_audio(path), read_audio(path, offset=1.5, duration=1.0)
    np.testing.assert_array_equal(part, whole[24_000:40_000])


@pytest.mark.parametrize("suffix", ["mp3", "wav", "flac", "opus"])
def test_each_stream_keeps_its_own_rate_and_channels(tmp_path, suffix):
    path = tmp_path / f"joined.{suffix}"
    parts = [write(path), write(path, rate=48_000, channels=2)]
    path.write_bytes(b"".join(parts))
    expected = 2 * RATE + -(-2 * RATE // 3)
    assert len(read_audio(path)) == expected
    assert len(read_audio(path, channel=1)) == expected
    with pytest.raises(AudioError, match="channel 2 does not exist, expected 0 to 1"):
        read_audio(path, channel=2)


@pytest.mark.parametrize("order", [(1, 2), (2, 1), (1, 1)])
def test_frames_without_a_header_keep_their_own_channels(tmp_path, order):
    path = tmp_path / "joined.mp3"
    parts = [encode(path, "libmp3lame", channels=number, write_xing="0") for number in order]
    path.write_bytes(b"".join(parts))
    assert len(read_audio(path)) == pytest.approx(4 * RATE, abs=3_000)
    path.write_bytes(write(path) + parts[1])
    assert len(read_audio(path)) == pytest.approx(4 * RATE, abs=3_000)


@pytest.mark.parametrize("share", [0.5, 0.97])
@pytest.mark.parametrize(
    "name",
    ["a.wav", "a.aiff", "a.au", "a.caf", "a.w64", "a.rf64", "a.flac", "a.mp3", "a.ogg", "a.opus"],
)
def test_sound_that_breaks_off_is_refused(tmp_path, name, share):
    path = tmp_path / name
    content = write(path)
    assert len(read_audio(path)) == 2 * RATE
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(AudioError, match=r"breaks off after [012]\.\d\d s|does not decode"):
        read_audio(path)
    if name in ("a.wav", "a.mp3"):
        assert len(read_audio(path, duration=0.25)) == 4_000
    with pytest.raises(AudioError, match=r"breaks off|does not decode"):
        read_audio(path, offset=1.5, duration=0.5)


@pytest.mark.parametrize("name", ["a.ogg", "a.opus"])
def test_ogg_without_its_last_page_is_refused(tmp_path, name):
    path = tmp_path / name
    content = write(path)
    path.write_bytes(content[: content.rindex(b"OggS")])
    for read in (read_audio, measure_seconds):
        with pytest.raises(
            AudioError, match=rf"{name}: breaks off .* expected more, its end is mi"
        ):
            read(path)


@pytest.mark.parametrize(("name", "codec"), [("a.mkv", "aac"), ("a.avi", "pcm_s16le")])
def test_a_container_that_breaks_off_is_refused(tmp_path, name, codec):
    path = tmp_path / name
    content = encode(path, codec)
    assert len(read_audio(path)) == pytest.approx(2 * RATE, abs=2_048)
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(AudioError, match=r"breaks off after (0\.\d|1\.0)\d s"):
        read_audio(path)


@pytest.mark.parametrize("size", [0, 0x7FFFF000, 0xFFFFFFFF])
def test_a_size_that_the_writer_did_not_know_is_no_promise(tmp_path, size):
    path = tmp_path / "a.wav"
    content = bytearray(write(path))
    content[4:8] = content[40:44] = struct.pack("<I", size)
    path.write_bytes(content)
    assert len(read_audio(path)) == 2 * RATE
    assert measure_seconds(path) == 2.0


def forget_samples(content: bytearray) -> None:
    content[21] &= 0xF0
    content[22:26] = bytes(4)


def forget_frames(content: bytearray) -> None:
    place = max(content.find(b"Xing"), content.find(b"Info")) + 8
    content[place : place + 4] = b"\xff\xff\xff\xff"


@pytest.mark.parametrize(("name", "forget"), [("a.flac", forget_samples), ("a.mp3", forget_frames)])
def test_a_count_that_the_writer_did_not_know_is_no_promise(
    tmp_path: Path, name: str, forget: Callable[[bytearray], None]
):
    path = tmp_path / name
    content = bytearray(write(path))
    forget(content)
    path.write_bytes(content)
    assert len(read_audio(path)) == pytest.approx(2 * RATE, abs=2_000)
    assert measure_seconds(path) == pytest.approx(2.0, abs=0.13)


def test_a_count_that_no_file_can_hold_is_refused_without_memory(tmp_path):
    path = tmp_path / "a.mp3"
    content = bytearray(write(path))
    place = max(content.find(b"Xing"), content.find(b"Info")) + 8
    content[place : place + 4] = b"\xff\xff\xff\xfe"
    path.write_bytes(content)
    for read in (read_audio, measure_seconds):
        with pytest.raises(AudioError, match=r"a\.mp3: breaks off after [\d.]+ s, expected more"):
            read(path)
