from dataclasses import replace

import numpy as np
import pytest
import soundfile

from conversation_emotion.inference.turns import speakers
from conversation_emotion.inference.turns.speakers import cluster_speakers, name_speakers
from conversation_emotion.inference.turns.turn import Turn
from conversation_emotion.settings.turns import TurnSettings

ORDER = [2, 0, 0, 1, 2, 1, 0, 2, 1, 1]
"""Who speaks the turns of `voices`."""

EXPECTED = [0, 1, 1, 2, 0, 2, 1, 0, 2, 2]
"""The same, numbered by who speaks first."""


def voices(spread: float = 0.02) -> np.ndarray:
    """Turns of three speakers, whose vectors are at right angles but for some noise: (10, 8)."""
    noise = np.random.default_rng(0).normal(scale=spread, size=(len(ORDER), 8))
    return 3 * np.eye(8)[ORDER] + noise


@pytest.fixture
def no_voices(monkeypatch):
    """Lets no encoder of voices be had."""

    def refuse(modality, name, device=None):
        raise FileNotFoundError(name)

    monkeypatch.setattr(speakers, "load_encoder", refuse)


@pytest.mark.parametrize(
    "settings",
    [
        {"num_speakers": 3},
        {"distance": 0.5},
        {"num_speakers": 3, "standardise": True},
    ],
)
def test_turns_of_one_voice_are_one_cluster_numbered_by_who_speaks_first(settings):
    assert cluster_speakers(voices(), **settings).tolist() == EXPECTED


def test_a_loud_voice_is_the_same_voice():
    scaled = voices() * np.linspace(0.1, 10, len(ORDER))[:, None]
    assert cluster_speakers(scaled, distance=0.5).tolist() == EXPECTED


def test_turns_without_an_embedding_have_no_speaker_and_change_no_other():
    vectors = np.insert(voices(), [0, 4], np.nan, axis=0)
    vectors[5] = 0.0  # the second of them
    assert cluster_speakers(vectors, num_speakers=3).tolist() == [
        -1,
        *EXPECTED[:4],
        -1,
        *EXPECTED[4:],
    ]


@pytest.mark.parametrize(
    ("num_turns", "settings", "expected"),
    [
        (0, {}, []),
        (1, {}, [0]),
        (1, {"num_speakers": 5}, [0]),
        (2, {"num_speakers": 5}, [0, 1]),
        (4, {"num_speakers": 1}, [0, 0, 0, 0]),
        (2, {"distance": 1.9}, [0, 0]),
    ],
)
def test_few_turns_are_no_more_speakers_than_turns(num_turns, settings, expected):
    assert cluster_speakers(voices()[:num_turns], **settings).tolist() == expected


def test_turns_beyond_what_memory_holds_join_the_nearest_voice(monkeypatch):
    monkeypatch.setattr(speakers, "_MOST", 5)
    vectors = np.tile(voices(), (3, 1))
    assert cluster_speakers(vectors, num_speakers=3).tolist() == EXPECTED * 3


def test_two_voices_of_each_recording_are_told_apart(tmp_path, monkeypatch):
    monkeypatch.setenv("CONVERSATION_EMOTION_CACHE", str(tmp_path / "cache"))
    turns = []
    for name, hums in (("a.wav", "LHHLHL"), ("b.wav", "HLLH")):
        times = np.arange(8_000) / 16_000
        tones = [np.sin(2 * np.pi * {"L": 150, "H": 1_200}[hum] * times) for hum in hums]
        noise = 0.01 * np.random.default_rng(0).normal(size=8_000 * len(hums))
        soundfile.write(tmp_path / name, 0.3 * np.concatenate(tones) + noise, 16_000)
        turns += [
            Turn(recording=str(tmp_path / name), start=0.5 * n, end=0.5 * n + 0.5)
            for n in range(len(hums))
        ]
    short = Turn(recording=turns[0].recording, start=0.0, end=0.01)
    settings = TurnSettings(num_speakers=2, speaker_encoder="mfcc")
    *named, last = name_speakers([*turns, short], settings, device="cpu")
    expected = [1, 2, 2, 1, 2, 1, 1, 2, 2, 1]
    assert [turn.speaker for turn in named] == [f"speaker_{number}" for number in expected]
    assert [replace(turn, speaker=None) for turn in named] == turns
    assert last == short


def test_speakers_that_are_known_are_kept(no_voices):
    turns = [
        Turn(recording="a.wav", start=0.0, end=1.0, speaker="anna"),
        Turn(text="words alone"),
        Turn(recording="a.wav", start=2.0, end=1.0, problem="ends before it starts"),
    ]
    assert name_speakers(turns, TurnSettings(num_speakers=2)) == turns
    assert name_speakers([], TurnSettings()) == []


def test_without_an_encoder_of_voices_speakers_are_unknown_and_that_is_said(no_voices, capsys):
    turns = [Turn(recording="a.wav", start=0.0, end=1.0)]
    assert name_speakers(turns, TurnSettings()) == turns
    assert capsys.readouterr().out.startswith("note: speakers are unknown; give --num-speakers")
    with pytest.raises(ValueError, match="--speakers clusters: no encoder of voices can be had"):
        name_speakers(turns, TurnSettings(speakers="clusters"))


def test_an_encoder_that_does_not_know_voices_has_to_be_told_how_many_there_are():
    turns = [Turn(recording="a.wav", start=0.0, end=1.0)]
    with pytest.raises(ValueError, match="--speaker-encoder mfcc was not trained to tell voices"):
        name_speakers(turns, TurnSettings(speaker_encoder="mfcc"), device="cpu")


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"num_speakers": 0}, "--num-speakers must be 1 or more, got 0"),
        ({"speaker_distance": 2.5}, "--speaker-distance must lie between 0 and 2, got 2.5"),
        ({"num_speakers": 2, "speaker_distance": 0.5}, "--speaker-distance has no effect with --n"),
        ({"num_speakers": 2, "speakers": "channels"}, "--num-speakers has no effect with --speak"),
    ],
)
def test_settings_of_speakers_that_contradict_each_other_are_refused(settings, problem):
    with pytest.raises(ValueError, match=problem):
        TurnSettings(**settings)
