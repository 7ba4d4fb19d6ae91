"""eGeMAPS as a speech encoder: what it measures, and what padding must not change."""

import math
import sys
from importlib.metadata import version

import pytest
import torch
from torch.nn.functional import pad

from speech_encoders import load_speech_encoder

pytest.importorskip("opensmile")

PITCH = 0
"""Place of F0semitoneFrom27.5Hz_sma3nz_amean among the functionals."""

LOUDNESS = 10
"""Place of loudness_sma3_amean."""


@pytest.fixture(scope="module")
def encoder():
    return load_speech_encoder("egemaps")


def buzz(hertz: float, seconds: float = 1.0, loudness: float = 0.1) -> torch.Tensor:
    """A sum of ten harmonics, as a voice has: (S,)."""
    times = 2 * math.pi * hertz * torch.arange(int(16_000 * seconds)) / 16_000
    return loudness * sum(torch.sin(times * number) / number for number in range(1, 11))  # type: ignore[return-value]


def encode(encoder, *clips: torch.Tensor, filling: float = 0.0):
    size = max(map(len, clips))
    padded = torch.stack([pad(clip, (0, size - len(clip)), value=filling) for clip in clips])
    return encoder(padded, torch.tensor([len(clip) for clip in clips]))


def test_a_clip_has_one_frame_of_the_88_functionals(encoder):
    states, num_frames = encode(encoder, buzz(200), buzz(100, 0.5))
    assert states.shape == (2, 1, 1, 88)
    assert states.dtype == torch.float32
    assert num_frames.tolist() == [1, 1]
    assert (encoder.num_layers, encoder.hidden_size) == (1, 88)


@pytest.mark.parametrize("hertz", [110, 220])
def test_pitch_is_in_semitones_from_27_5_hertz(encoder, hertz):
    states, _ = encode(encoder, buzz(hertz))
    assert states[0, 0, 0, PITCH].item() == pytest.approx(12 * math.log2(hertz / 27.5), abs=0.1)


def test_loudness_grows_with_the_amplitude(encoder):
    states, _ = encode(encoder, buzz(200, loudness=0.02), buzz(200, loudness=0.2))
    quiet, loud = states[:, 0, 0, LOUDNESS].tolist()
    assert loud > 2 * quiet


@pytest.mark.parametrize("filling", [0.0, 0.9, float("nan")])
def test_padding_and_batch_mates_change_nothing(encoder, filling):
    clips = [buzz(150, 0.4), buzz(300, 1.5), 0.1 * torch.randn(960)]
    together, _ = encode(encoder, *clips, filling=filling)
    for clip, states in zip(clips, together, strict=True):
        alone, _ = encode(encoder, clip)
        assert torch.equal(alone[0], states)
        assert states.isfinite().all()


def test_a_clip_without_a_whole_window_is_an_error(encoder):
    with pytest.raises(ValueError, match="clip 0 has 959 samples, expected 960 to 959"):
        encode(encoder, torch.randn(959))


def test_silence_has_finite_functionals(encoder):
    states, _ = encode(encoder, torch.zeros(16_000))
    assert states.isfinite().all()


def test_the_identity_names_the_version_of_opensmile(encoder):
    assert f"opensmile={version('opensmile')}" in encoder.identity
    assert "eGeMAPSv02" in encoder.identity


def test_without_opensmile_the_error_names_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "opensmile", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'conversation-emotion\[egemaps\]'"):
        load_speech_encoder("egemaps")
