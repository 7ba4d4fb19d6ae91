"""The input of pre-training: recordings that are found, batches of one length, augmentation."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from conversation_emotion.pretraining.augmentation import augment
from conversation_emotion.pretraining.batches import (
    ClipBatch,
    ClipStream,
    choose_clips,
)
from conversation_emotion.pretraining.recordings import (
    Clip,
    Recordings,
    describe,
    find_recordings,
)
from conversation_emotion.settings.pretraining import AudioSettings
from conversation_emotion.utterances.audio import AudioError, measure_seconds

TIMES = torch.arange(32_000) / 16_000
TONE = (2 * torch.pi * 400 * TIMES).sin()


def write(path: Path, seconds: float, *, rate: int = 16_000, level: float = 0.1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = level * np.random.default_rng(0).standard_normal(round(seconds * rate))
    soundfile.write(path, samples, rate)


def make_source(name: str, lengths: list[float]) -> Recordings:
    return Recordings(name, [Clip(f"{name}{n}", 0.0, s) for n, s in enumerate(lengths)], {}, 0)


def batches_of(seconds: float, **settings: object) -> AudioSettings:
    """Settings of batches of so many seconds, read in the test's own process."""
    chosen = {"max_seconds": seconds, "batch_samples": round(16_000 * seconds), **settings}
    return AudioSettings(workers=0, **chosen)  # pyright: ignore[reportArgumentType]


def take(stream: ClipStream, count: int) -> list[ClipBatch]:
    return list(itertools.islice(stream, count))


def frequency(waveform: torch.Tensor) -> float:
    """Frequency of the strongest component in Hz."""
    spectrum = torch.fft.rfft(waveform).abs()
    return float(spectrum.argmax()) * 16_000 / len(waveform)


def test_a_folder_tree_is_searched_measured_and_hidden_files_left_out(tmp_path):
    write(tmp_path / "a" / "one.wav", 1.5)
    write(tmp_path / "b" / "c" / "two.FLAC", 45.0, rate=8_000)
    write(tmp_path / "short.wav", 0.2)
    write(tmp_path / ".hidden" / "three.wav", 2.0)
    (tmp_path / "._one.wav").write_bytes(b"litter")
    (tmp_path / "notes.txt").write_text("no audio")
    (tmp_path / "broken.wav").write_bytes(b"RIFF of nothing")
    found = find_recordings(str(tmp_path), min_seconds=0.5, max_seconds=20)
    clips = [(Path(c.path).name, c.offset, c.seconds) for c in found.clips]
    assert clips == [
        ("one.wav", 0.0, 1.5),
        ("two.FLAC", 0.0, 15.0),
        ("two.FLAC", 15.0, 15.0),
        ("two.FLAC", 30.0, 15.0),
    ]
    assert list(found.broken) == [str(tmp_path / "broken.wav")]
    assert found.num_short == 1
    lines = list(describe([found]))
    assert lines[0] == f"{tmp_path}: 4 clips, 0.01 hours, 1 too short"
    assert lines[1] == "  passed over: 1 .txt"
    assert "broken.wav: does not decode" in lines[2]


def test_one_file_and_linked_folders_are_sources(tmp_path):
    write(tmp_path / "elsewhere" / "one.wav", 1.5)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "folder" / "link" / "circle").symlink_to(tmp_path / "folder")
    found = [
        find_recordings(str(tmp_path / place), min_seconds=0.5, max_seconds=20).clips
        for place in ("elsewhere/one.wav", "folder")
    ]
    paths = [[clip.path for clip in clips] for clips in found]
    assert paths == [
        [str(tmp_path / "elsewhere" / "one.wav")],
        [str(tmp_path / "folder" / "link" / "one.wav")],
    ]


def test_a_corpus_of_the_suite_is_read_with_its_offsets(tmp_path):
    write(tmp_path / "dialogue.wav", 10.0)
    table = "utterance_id,audio,offset,duration\na,dialogue.wav,1.5,2.0\nb,dialogue.wav,8.0,5.0\n"
    (tmp_path / "manifest.csv").write_text(table + "c,,,\n")
    found = find_recordings(f"manifest={tmp_path}", min_seconds=0.5, max_seconds=20)
    assert [(c.offset, c.seconds) for c in found.clips] == [(1.5, 2.0), (8.0, 2.0)]
    assert len(find_recordings("demo=", min_seconds=0.1, max_seconds=20).clips) > 1_000


@pytest.mark.parametrize(
    ("source", "message"),
    [("nowhere", "nowhere: no such folder; pass a folder of audio"), (".", "no audio found")],
)
def test_a_source_without_audio_is_refused(source, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=message):
        find_recordings(source, min_seconds=0.5, max_seconds=20)


def test_the_length_of_a_file_is_what_decoding_it_gives(tmp_path):
    write(tmp_path / "a.wav", 1.25, rate=44_100)
    assert measure_seconds(tmp_path / "a.wav") == pytest.approx(1.25, abs=1e-4)
    with pytest.raises(AudioError, match="does not exist"):
        measure_seconds(tmp_path / "b.wav")


def test_clips_of_a_batch_have_one_length_and_fill_its_seconds(tmp_path):
    for number in range(40):
        write(tmp_path / f"{number}.wav", 0.5 + 0.05 * number)
    source = find_recordings(str(tmp_path), min_seconds=0.1, max_seconds=20)
    stream = ClipStream([source], batches_of(6.0))
    num_clips, read = 0, 0.0
    while stream.epoch == 0 and num_clips < 40:
        batch = next(iter(stream))
        assert batch.waveforms.shape[0] * batch.waveforms.shape[1] <= 6.0 * 16_000
        num_clips += len(batch.waveforms)
        read += batch.waveforms.numel() / 16_000
    whole = sum(clip.seconds for clip in source.clips)
    assert num_clips == 40
    assert 0.8 * whole < read <= whole


def test_clips_are_cropped_to_a_length_of_their_own_and_short_ones_repeated(tmp_path):
    seconds = [0.5, 0.75, 1.0, 2.0, 3.0, 3.0]
    for number, length in enumerate(seconds):
        samples = np.arange(round(length * 16_000)) % 8_192 / 8_192
        soundfile.write(tmp_path / f"{number}.wav", samples, 16_000, subtype="FLOAT")
    source = find_recordings(str(tmp_path), min_seconds=0.1, max_seconds=20)
    settings = batches_of(2.0, crop_seconds=1.0)
    batches = take(ClipStream([source], settings), 3)
    read = torch.cat([batch.waveforms for batch in batches])
    assert [tuple(batch.waveforms.shape) for batch in batches] == [(2, 16_000)] * 3
    assert len({float(clip[0]) for clip in read}) > 3  # at random places
    for lag in (8_000, 12_000):  # the clips of 0.5 and 0.75 s alone recur after their own length
        assert sum(torch.equal(clip[lag:], clip[:-lag]) for clip in read) == 1
    sound = {round(float(value) * 8_192) % 8_192 for value in read.flatten()}
    assert sound == set(range(8_192))  # no silence put in, nothing but the clips


def test_the_order_depends_on_the_seed_and_epoch_and_can_be_taken_up_anywhere(tmp_path):
    for number in range(12):
        write(tmp_path / f"{number}.wav", 0.5 + 0.1 * number, level=0.1 + 0.01 * number)
    source = find_recordings(str(tmp_path), min_seconds=0.1, max_seconds=20)
    settings = batches_of(2.0, noise=0.5, speed=0.5)
    expected = take(ClipStream([source], settings), 20)
    stream = ClipStream([source], settings)
    begun = take(stream, 13)
    resumed = ClipStream([source], settings)
    resumed.epoch, resumed.position = stream.epoch, stream.position
    continued = begun + take(resumed, 7)
    for one, other in zip(expected, continued, strict=True):
        assert torch.equal(one.waveforms, other.waveforms)
        assert one.seed == other.seed
    changed = take(ClipStream([source], settings, seed=1), 1)
    assert not torch.equal(changed[0].waveforms, expected[0].waveforms)
    assert resumed.epoch > 0


def test_processes_share_the_clips_of_an_epoch(tmp_path):
    source = make_source("clip", [1.0 + 0.1 * number for number in range(61)])
    plans = [
        ClipStream([source], batches_of(8.0), rank=rank, world_size=2)._plan_epoch()
        for rank in (0, 1)
    ]
    assert len(plans[0]) == len(plans[1])
    read = [{clip.path for batch in plan for clip in batch} for plan in plans]
    assert read[0] | read[1] == {clip.path for clip in source.clips}
    assert len(read[0] & read[1]) <= 8  # only what fills the last batches twice


def test_sources_are_mixed_by_weight():
    sources = [make_source("large", [1.0] * 900), make_source("small", [1.0] * 100)]
    chosen = choose_clips(sources, (1.0, 1.0), seed=0, epoch=3)
    names = [clip.path for clip in chosen]
    assert sum(name.startswith("small") for name in names) == 500
    counts = [names.count(f"small{number}") for number in range(100)]
    assert counts == [5] * 100
    assert len({name for name in names if name.startswith("large")}) == 500
    assert choose_clips(sources, (1.0, 1.0), seed=0, epoch=4) != chosen
    assert len(choose_clips(sources, (), seed=0, epoch=0)) == 1_000


def test_streams_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="no clips to train on"):
        ClipStream([make_source("none", [])], AudioSettings())
    with pytest.raises(ValueError, match="1 weights for 2 sources"):
        ClipStream([make_source("a", [1.0]), make_source("b", [1.0])], AudioSettings(weights=(1,)))


def test_a_batch_of_broken_clips_alone_is_empty_and_names_them():
    stream = ClipStream([make_source("missing", [1.0])], AudioSettings(workers=0))
    batch = next(iter(stream))
    assert batch.waveforms.shape[0] == 0
    assert batch.broken["missing0"].startswith("missing0: does not exist")


def test_whatever_a_library_raises_on_one_clip_is_noted(tmp_path, monkeypatch):
    def fail(*_: object) -> None:
        raise RuntimeError("no pitch")

    write(tmp_path / "a.wav", 1.0)
    found = find_recordings(str(tmp_path), min_seconds=0.5, max_seconds=20)
    monkeypatch.setattr("conversation_emotion.pretraining.batches.augment", fail)
    batch = next(iter(ClipStream([found], AudioSettings(workers=0))))
    assert batch.broken == {
        str(tmp_path / "a.wav"): f"{tmp_path / 'a.wav'}: RuntimeError: no pitch"
    }


def test_speed_changes_length_and_pitch_alike():
    for seed in range(6):
        changed = augment(TONE, AudioSettings(speed=1.0), np.random.default_rng(seed))
        ratio = len(TONE) / len(changed)
        assert 0.08 < abs(ratio - 1) < 0.15
        assert frequency(changed[2_000:-2_000]) == pytest.approx(400 * ratio, rel=0.01)


def test_pitch_changes_alone():
    for seed in range(6):
        changed = augment(TONE, AudioSettings(pitch=1.0), np.random.default_rng(seed))
        assert len(changed) == pytest.approx(len(TONE), rel=0.01)
        shift = frequency(changed[2_000:-2_000]) / 400
        assert 0.08 < abs(shift - 1) < 0.15


def test_noise_lies_5_to_30_db_below_the_speech():
    levels = []
    for seed in range(40):
        noise = augment(TONE, AudioSettings(noise=1.0), np.random.default_rng(seed)) - TONE
        levels.append(20 * float(torch.log10(TONE.std() / noise.std())))
    assert 4.9 < min(levels) < 10
    assert 25 < max(levels) < 30.1


def test_gain_glides_within_6_db():
    changed = augment(torch.ones(1_000), AudioSettings(gain=1.0), np.random.default_rng(3))
    decibels = 20 * torch.log10(changed)
    assert decibels.abs().max() <= 6
    torch.testing.assert_close(
        decibels.diff(), decibels.diff().mean().expand(999), atol=1e-3, rtol=0
    )
    assert decibels.diff().abs().mean() > 1e-4


def test_chances_are_those_that_were_asked_for():
    rng = np.random.default_rng(0)
    kept = sum(augment(TONE, AudioSettings(gain=0.25), rng) is TONE for _ in range(400))
    assert kept == pytest.approx(300, abs=35)
    with pytest.raises(ValueError, match=r"--pitch must lie in \[0, 1\], got 1.5"):
        AudioSettings(pitch=1.5)
