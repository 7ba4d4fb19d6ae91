"""Encoders that multiply in 8 bits, against the same encoders in single precision."""

import pytest
import torch
from torch import nn

from speech_encoders import identify, load_speech_encoder
from speech_encoders.int8 import Int8Linear
from speech_encoders.tuning import load_tunable
from tests.speech_encoders.test_pretrained_speech import make_clips, stack
from tests.speech_encoders.test_whisper import save_whisper


@pytest.fixture
def folder(tmp_path):
    save_whisper(tmp_path)
    return str(tmp_path)


def test_a_map_in_8_bits_is_off_by_the_steps_of_weights_and_inputs():
    linear = nn.Linear(2, 2)
    linear.weight.data = torch.tensor([[1.27, 0.64], [-254.0, 2.0]])
    linear.bias.data = torch.tensor([0.5, 0.0])
    inputs = torch.tensor([[1.27, 0.0], [0.0, 0.1]])
    # Seven bits for inputs from 0 to 1.27: steps of 0.01. Weights: steps of 0.01 and 2.
    expected = torch.tensor([[1.27 * 1.27 + 0.5, -254 * 1.27], [0.064 + 0.5, 0.2]])
    torch.testing.assert_close(Int8Linear(linear)(inputs), expected, atol=1e-3, rtol=1e-4)


def test_states_are_near_those_of_single_precision_and_not_the_same(folder):
    waveforms, lengths = stack(make_clips(8_000, 3_000))
    whole, num_frames = load_speech_encoder(folder)(waveforms, lengths)
    states, count = load_speech_encoder(f"int8:{folder}")(waveforms, lengths)
    assert count.tolist() == num_frames.tolist() == [25, 10]
    assert states.shape == whole.shape
    error = (states - whole).square().mean().sqrt() / whole.square().mean().sqrt()
    assert 1e-5 < error < 0.05


def test_a_clip_is_the_same_alone_and_in_a_batch(folder):
    encoder = load_speech_encoder(f"int8:{folder}")
    clips = [20 * clip for clip in make_clips(4_000)] + make_clips(8_000, 3_000)
    together, num_frames = encoder(*stack(clips, filling=float("nan")))
    for clip, states, count in zip(clips, together, num_frames, strict=True):
        torch.testing.assert_close(states[:, :count], encoder(*stack([clip]))[0][0])
        assert not states[:, count:].any()


def test_features_in_8_bits_have_an_identity_of_their_own(folder):
    identities = {name: load_speech_encoder(name).identity for name in (folder, f"int8:{folder}")}
    assert len(set(identities.values())) == 2
    assert {name: identify(name) for name in identities} == identities


def test_what_has_no_maps_or_is_to_be_trained_is_refused(folder):
    with pytest.raises(ValueError, match="int8:fbank: has no linear maps to compute in 8 bits"):
        load_speech_encoder("int8:fbank")
    with pytest.raises(ValueError, match=f"int8:{folder}: Int8Encoder cannot be trained"):
        load_tunable(f"int8:{folder}")
