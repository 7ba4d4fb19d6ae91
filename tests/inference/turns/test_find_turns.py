import tracemalloc
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from conversation_emotion.features.voice_activity import SpeechDetector, find_model
from conversation_emotion.inference.turns.find import TurnFinder, find_turns, have_own_voices
from conversation_emotion.inference.turns.turn import tabulate_turns
from conversation_emotion.settings.turns import TurnSettings
from conversation_emotion.utterances.audio import AudioError, measure_seconds, read_audio
from tests.spoken import RECORDING, read_truth, write_channels


@pytest.fixture(scope="module")
def spoken():
    """Fifteen seconds of two voices in turn: (S,)."""
    return read_audio(RECORDING, duration=15.0)


def overlaps(turns, truth) -> np.ndarray:
    """Seconds that each turn (N) shares with each of the truth (M): (N, M)."""
    starts, ends = spans(turns).T[:, :, None]
    shared = np.minimum(ends, truth["end"].to_numpy()) - np.maximum(
        starts, truth["start"].to_numpy()
    )
    return np.clip(shared, 0, None)


def spans(turns) -> np.ndarray:
    """Start and end of each turn: (N, 2)."""
    return np.array([(turn.start, turn.end) for turn in turns], dtype=float)


def total(turns) -> float:
    """Seconds of all turns."""
    return float(np.diff(spans(turns)).sum())


def test_probabilities_are_those_of_the_package_whatever_the_pieces(spoken):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = torch.jit.load(str(find_model()))
    samples = spoken[:40_000]
    frames = np.pad(samples, (0, -len(samples) % 512)).reshape(-1, 1, 512)
    with torch.no_grad():
        expected = [theirs(torch.from_numpy(frame), 16_000).item() for frame in frames]
    detector = SpeechDetector(1)
    pieces = [detector.push(piece[None]) for piece in np.split(samples, [1, 700, 701, 12_345])]
    found = np.concatenate([piece[0] for piece in (*pieces, detector.finish())], axis=1)
    np.testing.assert_allclose(found[0], expected, atol=1e-5)


def test_loading_the_detector_leaves_the_threads_alone():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    SpeechDetector(1)
    assert torch.get_num_threads() == 2
    torch.set_num_threads(before)


def test_turns_lie_where_the_conversation_was_spoken():
    done: list[float] = []
    settings = TurnSettings(min_pause=0.2, padding=0.0)
    turns = list(find_turns(RECORDING, settings, advance=done.append))
    assert sum(done) == pytest.approx(measure_seconds(RECORDING), abs=1e-3)
    truth = read_truth()
    shared = overlaps(turns, truth)
    assert shared.sum() > 0.95 * (truth["end"] - truth["start"]).sum()
    assert shared.sum() > 0.95 * total(turns)
    assert (np.diff(spans(turns)[:, 0]) > 0).all()
    assert {(turn.recording, turn.speaker, turn.channel) for turn in turns} == {
        (str(RECORDING), None, None)
    }


def test_pieces_of_any_size_give_the_same_turns_and_each_soon(spoken):
    def find(size):
        finder, found = TurnFinder(TurnSettings()), []
        for first in range(0, len(spoken), size):
            new = finder.push(spoken[None, first : first + size])
            found += [(turn, (first + size) / 16_000 - turn.end) for turn in new]
        return found + [(turn, 0.0) for turn in finder.finish()]

    in_20_ms = find(320)
    assert [turn for turn, _ in in_20_ms] == [turn for turn, _ in find(len(spoken))]
    # The pause that ends it, in whole frames, less its padding, its last frame, and a piece.
    most = 13 * 0.032 - 0.1 + 0.032 + 0.02
    assert max(delay for _, delay in in_20_ms) <= most + 1e-3


def test_each_channel_is_a_speaker_and_what_leaks_into_the_other_is_ignored(tmp_path):
    path, truth = write_channels(tmp_path / "call.wav", leak=0.1)
    turns = list(find_turns(path))
    owners = truth["channel"].to_numpy()[overlaps(turns, truth).argmax(axis=1)]
    assert [turn.channel for turn in turns] == owners.tolist()
    assert {(turn.channel, turn.speaker) for turn in turns} == {(0, "speaker_1"), (1, "speaker_2")}
    without = list(find_turns(path, TurnSettings(crosstalk=100)))
    assert total(without) > 1.7 * total(turns)


@pytest.mark.parametrize("right", ["same", "nothing"])
def test_channels_of_one_voice_are_no_speakers(tmp_path, spoken, right):
    other = spoken if right == "same" else np.zeros_like(spoken)
    soundfile.write(tmp_path / "call.wav", np.stack([spoken, other], axis=1), 16_000)
    assert not have_own_voices(tmp_path / "call.wav")
    assert {turn.speaker for turn in find_turns(tmp_path / "call.wav")} == {None}


def test_one_channel_cannot_be_the_channels_of_speakers():
    with pytest.raises(AudioError, match=r"Ses01_00\.ogg: has one channel, --speakers channels"):
        list(find_turns(RECORDING, TurnSettings(speakers="channels")))


@pytest.mark.parametrize("kind", ["silence", "noise", "chord"])
def test_nobody_speaks_in_silence_noise_or_music(tmp_path, kind):
    time = np.arange(4 * 16_000) / 16_000
    notes = sum(np.sin(2 * np.pi * f * time) * np.exp(-(time % 0.5)) for f in (262, 330, 392))
    sound = {
        "silence": np.zeros_like(time),
        "noise": 0.1 * np.random.default_rng(0).normal(size=len(time)),
        "chord": 0.2 * notes,
    }[kind]
    soundfile.write(tmp_path / "clip.wav", sound, 16_000)
    turns = list(find_turns(tmp_path / "clip.wav"))
    assert turns == []
    assert tabulate_turns(turns).empty


@pytest.mark.parametrize("content", [b"", b"no sound, only words\n" * 40])
def test_bytes_that_are_no_sound_are_a_sentence(tmp_path, content):
    (tmp_path / "clip.wav").write_bytes(content)
    with pytest.raises(AudioError, match=rf"clip\.wav: does not decode .*{len(content)} bytes"):
        list(find_turns(tmp_path / "clip.wav"))


def test_the_turns_before_a_fault_come_before_it(tmp_path, spoken):
    soundfile.write(tmp_path / "clip.wav", spoken, 16_000)
    whole = list(find_turns(tmp_path / "clip.wav"))
    content = (tmp_path / "clip.wav").read_bytes()
    (tmp_path / "clip.wav").write_bytes(content[: 44 + 2 * 16_000 * 9])
    found = []
    with pytest.raises(AudioError, match=r"breaks off after 9\.00 s, expected 15\.00 s"):
        found.extend(find_turns(tmp_path / "clip.wav"))
    assert found[:-1] == whole[: len(found) - 1]
    assert len(found) > 2
    assert found[-1].end <= 9.0


def test_memory_does_not_grow_with_the_length_of_a_recording(tmp_path, spoken):
    soundfile.write(tmp_path / "clip.wav", np.tile(spoken, 20), 16_000)
    list(find_turns(RECORDING))  # what is loaded once
    tracemalloc.start()
    num_turns = sum(1 for _ in find_turns(tmp_path / "clip.wav"))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert num_turns > 80
    assert most < 6e6  # the five minutes have 19 MB


def test_turns_are_the_rows_that_a_predictor_takes():
    turns = list(find_turns(RECORDING))[:3]
    other = replace(turns[0], recording="b.wav", start=None, end=2.0)
    table = tabulate_turns([turns[1], turns[0], other])
    assert table["order"].tolist() == [1, 0, 0]
    assert table["dialogue_id"].tolist() == [str(RECORDING), str(RECORDING), "b.wav"]
    assert table["duration"].iloc[0] == pytest.approx(total(turns[1:2]))
    assert pd.isna(table["offset"].iloc[2])
    assert table["duration"].iloc[2] == 2.0
