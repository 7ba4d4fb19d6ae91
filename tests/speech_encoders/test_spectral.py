import math

import numpy as np
import pytest
import torch
from torch.nn.functional import pad
from torchaudio.compliance import kaldi

from speech_encoders import load_speech_encoder
from speech_encoders.spectral import SpectralEncoder, fbank, mfcc


@pytest.fixture
def clips():
    """Noise of 1.2 s, 0.5 s and exactly one window."""
    generator = torch.Generator().manual_seed(0)
    return [0.1 * torch.randn(size, generator=generator) for size in (19_200, 8_000, 400)]


def stack(clips: list[torch.Tensor], filling: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Pads clips of (S,) into (B, S) and their lengths (B,)."""
    size = max(map(len, clips))
    padded = [pad(clip, (0, size - len(clip)), value=filling) for clip in clips]
    return torch.stack(padded), torch.tensor([len(clip) for clip in clips])


def regression_slopes(features: np.ndarray) -> np.ndarray:
    """Slopes over two frames to either side, by the formula: (T, D) -> (T, D)."""
    last = len(features) - 1
    slopes = np.zeros_like(features)
    for t in range(len(features)):
        for n in (1, 2):
            slopes[t] += n * (features[min(t + n, last)] - features[max(t - n, 0)]) / 10
    return slopes


def test_fbank_equals_kaldi_clip_by_clip(clips):
    states, num_frames = load_speech_encoder("fbank")(*stack(clips))
    assert num_frames.tolist() == [118, 48, 1]
    for clip, state, count in zip(clips, states, num_frames, strict=True):
        expected = kaldi.fbank(clip[None], num_mel_bins=80, dither=0.0, sample_frequency=16_000)
        torch.testing.assert_close(state[0, :count], expected, atol=1e-4, rtol=1e-4)


def test_mfcc_equals_kaldi_clip_by_clip(clips):
    states, num_frames = load_speech_encoder("mfcc")(*stack(clips))
    for clip, state, count in zip(clips, states, num_frames, strict=True):
        expected = kaldi.mfcc(
            clip[None], num_mel_bins=40, num_ceps=40, dither=0.0, sample_frequency=16_000
        )
        torch.testing.assert_close(state[0, :count], expected, atol=1e-4, rtol=1e-4)


def test_the_loudest_mel_band_of_a_tone_is_the_one_at_its_frequency():
    tone = torch.sin(2 * math.pi * 1_000 * torch.arange(16_000) / 16_000)
    states, _ = fbank()(tone[None], torch.tensor([16_000]))
    low, high, given = (1127 * math.log(1 + hertz / 700) for hertz in (20, 8_000, 1_000))
    centre = (given - low) / (high - low) * 81 - 1
    assert states[0, 0, 50].argmax().item() == pytest.approx(centre, abs=0.6)


@pytest.mark.parametrize("build", [fbank, mfcc])
@pytest.mark.parametrize("filling", [0.0, 99.0, float("nan")])
def test_padding_and_batch_mates_change_no_frame(clips, build, filling):
    encoder = build(num_deltas=2)
    together, num_frames = encoder(*stack(clips, filling))
    for clip, state, count in zip(clips, together, num_frames, strict=True):
        alone, _ = encoder(*stack([clip]))
        torch.testing.assert_close(state[:, :count], alone[0], atol=1e-5, rtol=1e-5)
        assert not state[:, count:].any()


@pytest.mark.parametrize("build", [fbank, mfcc])
def test_deltas_are_the_slopes_of_the_features_before_them(clips, build):
    plain, num_frames = build()(*stack(clips))
    states, _ = build(num_deltas=2)(*stack(clips))
    for before, after, count in zip(plain, states, num_frames, strict=True):
        features = before[0, :count].numpy()
        first = regression_slopes(features)
        expected = np.concatenate([features, first, regression_slopes(first)], axis=1)
        np.testing.assert_allclose(after[0, :count], expected, atol=1e-4)


def test_digital_silence_gives_the_floor_not_infinity():
    states, _ = fbank()(torch.zeros(1, 800), torch.tensor([800]))
    assert (states - math.log(np.finfo(np.float32).eps)).abs().max() < 1e-4


@pytest.mark.parametrize(("build", "size"), [(fbank, 80), (mfcc, 40)])
@pytest.mark.parametrize("num_deltas", [0, 1, 2])
def test_the_encoder_describes_its_states(build, size, num_deltas):
    encoder = build(num_deltas=num_deltas)
    states, _ = encoder(torch.zeros(1, encoder.min_samples), torch.tensor([encoder.min_samples]))
    assert (encoder.num_layers, encoder.hidden_size) == (1, size * (1 + num_deltas))
    assert states.shape == (1, 1, 1, encoder.hidden_size)
    assert encoder.frame_rate == 100


def test_every_setting_is_in_the_identity():
    encoders = [fbank(), fbank(num_deltas=1), mfcc(), mfcc(num_deltas=2)]
    assert len({encoder.identity for encoder in encoders}) == 4
    assert torch.__version__ in encoders[0].identity


def test_more_coefficients_than_filters_are_refused():
    with pytest.raises(ValueError, match="num_coefficients is 41, expected 1 to 40 mel bins"):
        SpectralEncoder(num_mel_bins=40, num_coefficients=41)


def test_a_third_order_of_deltas_is_refused():
    with pytest.raises(ValueError, match="num_deltas is 3, expected 0, 1 or 2"):
        fbank(num_deltas=3)


def test_a_clip_shorter_than_a_window_is_named():
    with pytest.raises(ValueError, match=r"clip 1 has 399 samples, expected 400 to 500; .* 25 ms"):
        fbank()(torch.zeros(2, 500), torch.tensor([500, 399]))


def test_a_length_beyond_the_batch_is_named():
    with pytest.raises(ValueError, match="clip 0 has 501 samples, expected 400 to 500"):
        fbank()(torch.zeros(1, 500), torch.tensor([501]))


@pytest.mark.parametrize(("shape", "num_lengths"), [((500,), 1), ((2, 500), 1), ((0, 500), 0)])
def test_shapes_that_do_not_fit_are_named(shape, num_lengths):
    message = rf"waveforms have shape \({', '.join(map(str, shape))},?\) and lengths "
    with pytest.raises(ValueError, match=message + rf"\({num_lengths},\)"):
        fbank()(torch.zeros(shape), torch.full((num_lengths,), 500))


def test_samples_of_another_type_are_refused():
    with pytest.raises(ValueError, match=r"waveforms are torch\.int16, expected torch\.float32"):
        fbank()(torch.zeros(1, 500, dtype=torch.int16), torch.tensor([500]))
