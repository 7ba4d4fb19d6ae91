"""Extraction and the store: right, resumable, whole or absent, and honest about broken clips."""

import hashlib
import os
import sqlite3
import threading
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from conversation_emotion.features import database as database_module
from conversation_emotion.features.clips import AudioBar
from conversation_emotion.features.extract import (
    extract_speech,
    extract_text,
    pool_frames,
    select_layers,
)
from conversation_emotion.features.key import FeatureKey, FileDigests
from conversation_emotion.features.store import FeatureStore, StoreFullError
from conversation_emotion.utterances.audio import AudioError, read_audio
from conversation_emotion.utterances.table import build_utterances

KEY = FeatureKey(encoder="fake", layers="all", pooling="mean")


class FakeSpeechEncoder:
    """Two layers: the mean of every 10 ms, and its double."""

    identity, num_layers, hidden_size, frame_rate, min_samples = "fake", 2, 1, 100.0, 400

    def __init__(self) -> None:
        self.num_clips = 0

    def __call__(self, waveforms, lengths):
        self.num_clips += len(waveforms)
        frames = waveforms[:, : waveforms.size(1) // 160 * 160].unflatten(1, (-1, 160)).mean(-1)
        return torch.stack([frames, 2 * frames], dim=1).unsqueeze(-1), lengths // 160


class FakeTextEncoder:
    """One layer, one token: the length of the text."""

    identity, num_layers, hidden_size = "fake", 1, 1

    def __init__(self) -> None:
        self.seen: list[str] = []

    def __call__(self, texts):
        self.seen += texts
        lengths = torch.tensor([float(len(text)) for text in texts])
        return lengths[:, None, None, None], torch.ones(len(texts), dtype=torch.int64)


def table_of(paths: list[Path | None]) -> pd.DataFrame:
    rows = [
        {
            "utterance_id": f"u{order}",
            "dialogue_id": "d",
            "order": order,
            "speaker": "ann",
            "audio": None if path is None else str(path),
        }
        for order, path in enumerate(paths)
    ]
    return build_utterances(rows, "toy")


def write_clip(path: Path, level: float, seconds: float = 0.5) -> Path:
    soundfile.write(path, np.full(int(16_000 * seconds), level, dtype=np.float32), 16_000, "FLOAT")
    return path


@pytest.fixture
def digests(tmp_path):
    return FileDigests(tmp_path / "digests.db")


@pytest.fixture
def clips(tmp_path):
    return [write_clip(tmp_path / f"{n}.wav", 0.1 * (n + 1), seconds=1 - 0.2 * n) for n in range(4)]


def test_each_utterance_gets_the_states_of_its_own_clip(tmp_path, clips, digests):
    features = extract_speech(
        table_of(clips), FakeSpeechEncoder(), FeatureStore(KEY, tmp_path), digests
    )
    for number, states in enumerate(features.states):
        assert states is not None
        assert states.shape == (2, 1, 1)
        np.testing.assert_allclose(
            states[:, 0, 0], [0.1 * (number + 1), 0.2 * (number + 1)], rtol=1e-4
        )


def test_a_second_extraction_encodes_nothing(tmp_path, clips, digests):
    first = extract_speech(
        table_of(clips), FakeSpeechEncoder(), FeatureStore(KEY, tmp_path), digests
    )
    encoder = FakeSpeechEncoder()
    again = extract_speech(table_of(clips), encoder, FeatureStore(KEY, tmp_path), digests)
    assert encoder.num_clips == 0
    for one, other in zip(first.states, again.states, strict=True):
        np.testing.assert_array_equal(one, other)  # type: ignore[arg-type]


def test_changed_audio_is_encoded_anew(tmp_path, clips, digests):
    extract_speech(table_of(clips), FakeSpeechEncoder(), FeatureStore(KEY, tmp_path), digests)
    write_clip(clips[1], 0.9)
    os.utime(clips[1], ns=(1, 1))
    encoder = FakeSpeechEncoder()
    features = extract_speech(
        table_of(clips),
        encoder,
        FeatureStore(KEY, tmp_path),
        FileDigests(tmp_path / "digests.db"),
    )
    assert encoder.num_clips == 1
    assert features.states[1] is not None
    assert features.states[1][0, 0, 0] == pytest.approx(0.9, rel=1e-4)


def test_slices_and_channels_of_one_recording_are_separate(tmp_path, digests):
    samples = np.zeros((16_000, 2), dtype=np.float32)
    samples[:8000], samples[8000:] = (0.1, 0.3), (0.2, 0.4)
    soundfile.write(tmp_path / "dialogue.wav", samples, 16_000, "FLOAT")
    table = table_of([tmp_path / "dialogue.wav"] * 4).assign(
        offset=[0.0, 0.5, 0.0, 0.5], duration=0.5, channel=[0.0, 0.0, 1.0, np.nan]
    )
    features = extract_speech(table, FakeSpeechEncoder(), FeatureStore(KEY, tmp_path), digests)
    levels = [states[0, 0, 0] for states in features.states if states is not None]
    np.testing.assert_allclose(levels, [0.1, 0.2, 0.3, 0.3], rtol=1e-4)


@pytest.mark.parametrize(
    "change",
    [
        {"encoder": "other"},
        {"layers": "last"},
        {"layers": 3},
        {"pooling": "frames"},
        {"half_precision": True},
    ],
)
def test_whatever_a_feature_depends_on_changes_its_place(change):
    other = FeatureKey(**{"encoder": "fake", "layers": "all", "pooling": "mean", **change})
    assert other.digest() != KEY.digest()


def test_broken_clips_are_named_and_kept_as_context(tmp_path, clips, digests):
    broken, short, nan = (tmp_path / name for name in ("broken.wav", "short.wav", "nan.wav"))
    broken.write_bytes(b"RIFF no sound at all")
    write_clip(short, 0.5, seconds=0.02)
    soundfile.write(nan, np.full(8000, np.nan, dtype=np.float32), 16_000, "FLOAT")
    table = table_of([clips[0], broken, tmp_path / "gone.wav", short, nan, None])
    features = extract_speech(table, FakeSpeechEncoder(), FeatureStore(KEY, tmp_path), digests)
    assert features.is_present().tolist() == [True] + [False] * 5
    assert sorted(features.failures) == ["u1", "u2", "u3", "u4"]
    assert "gone.wav: No such file or directory" in features.failures["u2"]
    again = extract_speech(table, FakeSpeechEncoder(), FeatureStore(KEY, tmp_path), digests)
    assert sorted(again.failures) == ["u1", "u2", "u3", "u4"]


def test_the_same_broken_sound_fails_every_utterance_that_uses_it(tmp_path, digests):
    for name in ("a.wav", "b.wav"):
        (tmp_path / name).write_bytes(b"noise")
    table = table_of([tmp_path / "a.wav", tmp_path / "b.wav"])
    features = extract_speech(table, FakeSpeechEncoder(), FeatureStore(KEY, tmp_path), digests)
    assert sorted(features.failures) == ["u0", "u1"]


def test_each_utterance_of_the_same_broken_sound_is_named_by_its_own_path(tmp_path, digests):
    paths = [tmp_path / "one.wav", tmp_path / "two.wav"]
    for path in paths:
        path.write_bytes(b"RIFF no sound at all")
    table, store = table_of([*paths]), FeatureStore(KEY, tmp_path)
    failures = extract_speech(table, FakeSpeechEncoder(), store, digests).failures
    assert [failures[name].partition(": does not")[0] for name in ("u0", "u1")] == [
        *map(str, paths)
    ]


def test_a_clip_on_which_the_encoder_fails_is_named_and_the_rest_encoded(tmp_path, clips, digests):
    class Fails(FakeSpeechEncoder):
        def __call__(self, waveforms, lengths):
            if (waveforms[:, 0] - 0.2).abs().min() < 1e-3:
                raise RuntimeError("no pitch found")
            return super().__call__(waveforms, lengths)

    features = extract_speech(table_of(clips), Fails(), FeatureStore(KEY, tmp_path), digests)
    assert features.is_present().tolist() == [True, False, True, True]
    assert list(features.failures) == ["u1"]
    assert f"{clips[1]}: the encoder fails on it (RuntimeError: no pi" in features.failures["u1"]


def test_a_text_on_which_the_encoder_fails_is_named_and_the_rest_encoded(tmp_path):
    class Fails(FakeTextEncoder):
        def __call__(self, texts):
            for text in texts:
                assert text != "two"
            return super().__call__(texts)

    table = table_of([None] * 3).assign(text=["one", "two", "three"])
    features = extract_text(table, Fails(), FeatureStore(KEY, tmp_path))
    assert features.is_present().tolist() == [True, False, True]
    assert list(features.failures) == ["u1"]
    assert "the encoder fails on it (AssertionError: " in features.failures["u1"]


def test_clips_whose_names_are_not_utf_8_are_encoded_and_remembered(tmp_path, digests):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/F\xfchrung.wav"))
    with path.open("wb") as file:
        soundfile.write(file, np.full(8_000, 0.1), 16_000, format="WAV")
    table, store = table_of([path, tmp_path / "gone\0.wav"]), FeatureStore(KEY, tmp_path)
    features = extract_speech(table, FakeSpeechEncoder(), store, digests)
    assert features.is_present().tolist() == [True, False]
    assert "null byte" in features.failures["u1"]
    assert FileDigests(tmp_path / "digests.db").digest(path) == digests.digest(path)


def test_strict_turns_a_broken_clip_into_an_error(tmp_path, clips, digests):
    with pytest.raises(AudioError, match="--strict: 1 clips fail, first 'u1': .*gone.wav"):
        extract_speech(
            table_of([clips[0], tmp_path / "gone.wav"]),
            FakeSpeechEncoder(),
            FeatureStore(KEY, tmp_path),
            digests,
            strict=True,
        )


def test_an_interrupted_extraction_keeps_what_it_encoded(tmp_path, clips, digests, monkeypatch):
    monkeypatch.setattr("conversation_emotion.features.clips.CLIPS_AT_ONCE", 1)

    class Interrupted(FakeSpeechEncoder):
        def __call__(self, waveforms, lengths):
            if self.num_clips == 2:
                raise KeyboardInterrupt
            return super().__call__(waveforms, lengths)

    with pytest.raises(KeyboardInterrupt):
        extract_speech(table_of(clips), Interrupted(), FeatureStore(KEY, tmp_path), digests)
    encoder = FakeSpeechEncoder()
    extract_speech(table_of(clips), encoder, FeatureStore(KEY, tmp_path), digests)
    assert encoder.num_clips == 2


def test_clips_are_encoded_by_length_across_files(tmp_path, digests, monkeypatch):
    monkeypatch.setattr("conversation_emotion.features.clips.CLIPS_AT_ONCE", 2)
    batches = []

    class Lists(FakeSpeechEncoder):
        def __call__(self, waveforms, lengths):
            batches.append((lengths / 16_000).tolist())
            return super().__call__(waveforms, lengths)

    seconds = [1.0, 0.25, 0.75, 0.5]
    paths = [write_clip(tmp_path / f"{n}.wav", 0.1 * n, one) for n, one in enumerate(seconds)]
    table = table_of([*paths, paths[0]])
    table.loc[4, ["offset", "duration"]] = 0.5, 0.375
    extract_speech(table, Lists(), FeatureStore(KEY, tmp_path), digests)
    assert batches == [[0.25, 0.375], [0.5, 0.75], [1.0]]


def test_what_is_decoded_at_once_is_bounded_in_seconds(tmp_path, clips, digests, monkeypatch):
    monkeypatch.setattr("conversation_emotion.features.clips.SECONDS_AT_ONCE", 1.5)
    done = []
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"RIFF no sound at all")
    store = FeatureStore(KEY, tmp_path)
    table = table_of([*clips, broken])
    extract_speech(table, FakeSpeechEncoder(), store, digests, advance=done.append)
    assert done == pytest.approx([0.4 + 0.6, 0.8, 1.0], abs=1e-3)  # the broken one is of no length


def test_the_next_clips_are_decoded_while_the_encoder_works(tmp_path, clips, digests, monkeypatch):
    monkeypatch.setattr("conversation_emotion.features.clips.CLIPS_AT_ONCE", 1)
    has_read = {path: threading.Event() for path in clips}
    encoded = []

    def announce(path, **place):
        has_read[path].set()
        return read_audio(path, **place)

    class Waits(FakeSpeechEncoder):
        def __call__(self, waveforms, lengths):
            following = clips[max(2 - len(encoded), 0)]  # the last is the shortest
            encoded.append(has_read[following].wait(timeout=5))
            return super().__call__(waveforms, lengths)

    monkeypatch.setattr("conversation_emotion.features.extract.read_audio", announce)
    extract_speech(table_of(clips), Waits(), FeatureStore(KEY, tmp_path), digests)
    assert encoded == [True] * 4


@pytest.mark.skipif("TQDM_DISABLE" in os.environ, reason="TQDM_DISABLE leaves bars out")
def test_a_bar_shows_seconds_of_audio_per_second():
    bar = AudioBar(59.7)
    bar.update(30.2)
    bar.start_t -= 10
    shown = str(bar)
    assert "| 30/60 [" in shown
    assert "3.00 s of audio/s]" in shown
    bar.start_t -= 90
    assert "0.30 s of audio/s]" in str(bar)


def test_what_cannot_fit_is_refused_before_it_starts(tmp_path, clips, digests, monkeypatch):
    monkeypatch.setattr(
        "shutil.disk_usage", lambda path: type("usage", (), {"free": 3, "total": 9, "used": 6})
    )
    encoder = FakeSpeechEncoder()
    with pytest.raises(StoreFullError, match="do not fit into the 0 MiB free"):
        extract_speech(table_of(clips), encoder, FeatureStore(KEY, tmp_path), digests)
    assert encoder.num_clips == 0


def test_texts_are_encoded_once_and_empty_ones_not_at_all(tmp_path):
    table = table_of([None] * 4).assign(text=pd.Series(["hello", " ", None, "hello"]))
    encoder = FakeTextEncoder()
    features = extract_text(table, encoder, FeatureStore(KEY, tmp_path))
    assert encoder.seen == ["hello"]
    assert features.is_present().tolist() == [True, False, False, True]
    assert features.states[3] is not None
    assert features.states[3].tolist() == [[[5.0]]]


def test_layers_are_chosen_by_name_and_number():
    states = torch.arange(5.0)[None, :, None, None].expand(2, 5, 3, 1)
    assert select_layers(states, "all").shape == (2, 5, 3, 1)
    assert select_layers(states, "last").unique().tolist() == [4.0]
    assert select_layers(states, "last-4").unique().tolist() == [2.5]
    assert select_layers(states, 1).unique().tolist() == [1.0]
    with pytest.raises(ValueError, match="layer 5 of an encoder that has layers 0 to 4"):
        select_layers(states, 5)
    with pytest.raises(ValueError, match="the last four layers of an encoder that has 2"):
        select_layers(states[:, :2], "last-4")


def test_frames_are_pooled_over_the_real_ones():
    states = torch.tensor([1.0, 3.0, 99.0]).reshape(1, 1, 3, 1)
    lengths = torch.tensor([2])
    assert pool_frames(states, lengths, "mean")[0].tolist() == [[[2.0]]]
    assert pool_frames(states, lengths, "statistics")[0].tolist() == [[[2.0, 1.0]]]
    assert pool_frames(states, lengths, "frames")[0].tolist() == [[[1.0], [3.0]]]


def test_a_damaged_cache_of_digests_is_made_anew(tmp_path, clips, capsys):
    database = tmp_path / "digests.db"
    with closing(sqlite3.connect(tmp_path / "other.db")) as other, other:
        other.execute("CREATE TABLE digests (path TEXT)")
    for content in (b"garbage" * 1000, (tmp_path / "other.db").read_bytes()):
        database.write_bytes(content)
        digests = FileDigests(database)
        expected = digests.digest(clips[0])
        digests.save()
        assert f"note: the cache of digests is made anew, {database}" in capsys.readouterr().out
        assert expected == hashlib.sha256(clips[0].read_bytes()).hexdigest()
        assert FileDigests(database)._found[str(clips[0])][1] == expected
        assert capsys.readouterr().out == ""


def test_a_cache_of_digests_that_another_process_holds_is_done_without(
    tmp_path, clips, monkeypatch, capsys
):
    monkeypatch.setattr(database_module, "_PATIENCE", 0.1)
    digests = FileDigests(tmp_path / "digests.db")
    with closing(sqlite3.connect(tmp_path / "digests.db", isolation_level=None)) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        digests.digest(clips[0])
        digests.save()
        FileDigests(tmp_path / "digests.db")
    assert capsys.readouterr().out.count("done without the cache of digests") == 2


@pytest.mark.parametrize("suffix", ["parquet", "npy"])
def test_a_damaged_shard_is_named_and_extracted_again(tmp_path, clips, digests, suffix, capsys):
    def extract(encoder: FakeSpeechEncoder) -> Sequence:
        return extract_speech(table_of(clips), encoder, FeatureStore(KEY, tmp_path), digests).states

    first = [states.copy() for states in extract(FakeSpeechEncoder())]
    (shard,) = FeatureStore(KEY, tmp_path).folder.glob(f"*.{suffix}")
    shard.write_bytes(shard.read_bytes()[: shard.stat().st_size // 2])
    encoder = FakeSpeechEncoder()
    again = extract(encoder)
    assert encoder.num_clips == len(clips)
    assert f"note: {shard.with_suffix('.npy')} is damaged" in capsys.readouterr().out
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)
    extract(FakeSpeechEncoder())
    assert "is damaged" not in capsys.readouterr().out
