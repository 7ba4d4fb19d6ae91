"""The sound of a corpus: what is measured, kept, shared, and what cannot be read."""

import numpy as np
import pytest
import soundfile

from conversation_emotion.exploration import sound as module
from conversation_emotion.exploration.measures import find_odd
from conversation_emotion.exploration.sound import as_recordings, find_shared, measure_sound
from conversation_emotion.utterances.audio import read_native
from tests.exploration.test_classes import make_table


def write_noise(path, seed: int, seconds: float = 1.0, gain: float = 0.1) -> str:
    noise = np.random.default_rng(seed).normal(size=round(16_000 * seconds))
    samples = (32_767 * (gain * noise).clip(-1, 1)).astype(np.int16)
    soundfile.write(path, samples, 16_000)
    return str(path)


@pytest.fixture
def table(tmp_path):
    """Eight clips: two hold the same, one is no audio, one is missing, one has no recording."""
    names = [write_noise(tmp_path / f"{n}.wav", n) for n in range(4)]
    copied = write_noise(tmp_path / "copy.flac", 0)
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    others = [copied, str(tmp_path / "broken.wav"), str(tmp_path / "gone.wav"), None]
    emotions = ["sad", "angry", "sad", "sad", "angry", "sad", "sad", "sad"]
    return make_table(audio=[*names, *others], emotion=emotions, speaker=list("AABBAABB"))


def test_clips_that_cannot_be_read_are_named_and_the_others_measured(table, tmp_path):
    found = measure_sound(table, tmp_path / "cache")
    assert found.levels["seconds"].notna().tolist() == [True] * 5 + [False] * 3
    assert found.num_named == 7
    assert set(found.failures) == {"u005", "u006"}
    assert "broken.wav: does not decode" in found.failures["u005"]
    recordings = as_recordings(table, found)
    assert (recordings.missing, [*recordings.broken], recordings.silent) == (
        ["u006"],
        ["u005"],
        ["u007"],
    )


def test_the_same_samples_are_found_in_another_file_with_what_differs(table, tmp_path):
    found = measure_sound(table, tmp_path / "cache")
    count, (shared,) = find_shared(table, found, ["emotion", "speaker", "split"])
    assert (shared.utterance_ids, shared.differs) == (("u000", "u004"), ("emotion",))
    assert (count, shared.count) == (1, 2)


def test_what_was_measured_is_not_read_again(table, tmp_path, monkeypatch):
    read = []
    monkeypatch.setattr(
        module, "read_native", lambda path, **place: read.append(path.name) or read_native(path)
    )
    monkeypatch.setattr(module, "AT_ONCE", 2)
    first = measure_sound(table, tmp_path / "cache").levels
    assert sorted(read) == ["0.wav", "1.wav", "2.wav", "3.wav", "broken.wav", "copy.flac"]
    read.clear()
    assert measure_sound(table, tmp_path / "cache").levels.equals(first)
    assert read == ["broken.wav"]


def test_clips_far_from_the_others_are_odd(tmp_path):
    names = [write_noise(tmp_path / f"{n}.wav", n, 1 + n / 50) for n in range(12)]
    names.append(write_noise(tmp_path / "long.wav", 20, 9.0))
    names.append(write_noise(tmp_path / "soft.wav", 21, 1.1, gain=0.001))
    names.append(write_noise(tmp_path / "clipped.wav", 22, 1.1, gain=9.0))
    table = make_table(audio=names)
    odd = {one.kind: one for one in find_odd(table, measure_sound(table, tmp_path / "cache"))}
    assert (odd["longest"].rows, odd["longest"].values) == ((12,), ("9.00 s",))
    assert odd["softest"].rows[0] == 13
    assert odd["clipped"].rows == (14,)
    assert "shortest" not in odd


def test_a_clip_of_another_length_is_odd_where_all_others_are_equal(tmp_path):
    names = [write_noise(tmp_path / f"{n}.wav", n) for n in range(9)]
    table = make_table(audio=[*names, write_noise(tmp_path / "short.wav", 9, 0.5)])
    odd = {one.kind: one for one in find_odd(table, measure_sound(table, tmp_path / "cache"))}
    assert odd["shortest"].rows == (9,)
