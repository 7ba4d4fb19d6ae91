import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile

from conversation_emotion.utterances import audio, decoding
from conversation_emotion.utterances.audio import (
    AudioError,
    measure_seconds,
    read_audio,
    stream_audio,
)
from tests.utterances.test_audio import sine, write_mp4


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    """Lets a second of audio be many blocks."""
    monkeypatch.setattr(audio, "_GATHERED", 3_000)
    monkeypatch.setattr(decoding, "_BLOCK_SIZE", 8 * 1_000)


def noise(rate: int, channels: int = 2, seconds: float = 1.5) -> np.ndarray:
    """Noise of (S, channels)."""
    size = (round(rate * seconds), channels)
    return np.random.default_rng(0).uniform(-0.5, 0.5, size).astype(np.float32)


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 48_000, 16_001, 7_919])
def test_blocks_joined_are_the_recording_at_16_khz(tmp_path, rate):
    path = tmp_path / "clip.wav"
    soundfile.write(path, noise(rate), rate, subtype="FLOAT")
    blocks = list(stream_audio(path))
    joined = np.concatenate(blocks, axis=1)
    assert len(blocks) > 2 or rate in (16_001, 7_919)
    np.testing.assert_allclose(joined[0], read_audio(path, channel=0), atol=1e-6)
    np.testing.assert_allclose(joined[1], read_audio(path, channel=1), atol=1e-6)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".aac"])
def test_blocks_of_a_container_are_mixed_as_the_whole_is(tmp_path, suffix):
    path = write_mp4(tmp_path / f"clip{suffix}", np.stack([sine(300, 48_000), sine(700, 48_000)]))
    joined = np.concatenate(list(stream_audio(path, mix=True)), axis=1)
    np.testing.assert_allclose(joined[0], read_audio(path), atol=1e-6)


def test_blocks_of_joined_streams_follow_each_other_at_their_own_rates(tmp_path):
    path = tmp_path / "clip.wav"
    with path.open("wb") as file:
        for rate, channels in ((8_000, 1), (48_000, 2)):
            soundfile.write(tmp_path / "part.wav", noise(rate, channels), rate)
            file.write((tmp_path / "part.wav").read_bytes())
    joined = np.concatenate(list(stream_audio(path, mix=True)), axis=1)
    np.testing.assert_allclose(joined[0], read_audio(path), atol=1e-5)


def test_the_memory_of_a_stream_does_not_grow_with_its_length(tmp_path):
    path = tmp_path / "clip.wav"
    soundfile.write(path, np.tile(noise(48_000), (20, 1)), 48_000)
    tracemalloc.start()
    seconds = sum(block.shape[1] for block in stream_audio(path)) / 16_000
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert seconds == pytest.approx(30)
    assert most < 1e6  # all of it has 11.5 MB


def test_the_memory_of_a_length_that_no_header_tells_does_not_grow_with_it(tmp_path):
    path = write_mp4(tmp_path / "clip.aac", np.tile(noise(8_000).T, (1, 20)), rate=8_000)
    tracemalloc.start()
    assert measure_seconds(path) == pytest.approx(30, abs=0.3)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 0.5e6  # all of it has 1.9 MB


def test_what_lies_before_the_fault_is_yielded_before_it(tmp_path):
    path = tmp_path / "clip.wav"
    soundfile.write(path, noise(16_000), 16_000)
    path.write_bytes(path.read_bytes()[:64_044])
    found = []
    with pytest.raises(AudioError, match=r"clip\.wav: breaks off after 1\.00 s, expected 1\.50 s"):
        found.extend(block.shape[1] for block in stream_audio(path))
    assert sum(found) == 16_000


@pytest.mark.parametrize(
    ("samples", "problem"),
    [
        (np.zeros((0, 1)), r"clip\.wav: .*"),
        (np.zeros((100, 1)), r"clip\.wav: 6\.2 ms of audio, expected 25 ms"),
        (np.full((9_000, 1), np.nan), r"clip\.wav: a sample is nan, expected finite numbers"),
        (np.array([[0.5, -0.5]] * 9_000), r"clip\.wav: its 2 channels cancel"),
    ],
)
def test_a_recording_that_gives_no_sound_is_refused_with_its_name(tmp_path, samples, problem):
    path = tmp_path / "clip.wav"
    soundfile.write(path, samples, 16_000, subtype="FLOAT")
    with pytest.raises(AudioError, match=problem):
        list(stream_audio(path, mix=True))


@pytest.mark.parametrize("content", [b"", b"no sound, only words\n" * 40])
def test_bytes_that_are_no_sound_are_refused(tmp_path: Path, content):
    (tmp_path / "clip.wav").write_bytes(content)
    with pytest.raises(AudioError, match=rf"clip\.wav: does not decode .*{len(content)} bytes"):
        list(stream_audio(tmp_path / "clip.wav"))
