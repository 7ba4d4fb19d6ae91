"""Encoders with random weights: the same whenever they are named, and unlike the trained."""

import json

import pytest
import torch

from speech_encoders import load_speech_encoder
from speech_encoders.emotion2vec import Emotion2vecConfig, Emotion2vecModel


@pytest.fixture
def trained(tmp_path):
    torch.manual_seed(5)
    Emotion2vecModel(Emotion2vecConfig.of_size("mini", num_hidden_layers=3)).save_pretrained(
        tmp_path
    )
    return tmp_path


def test_a_folder_gives_its_shape_but_not_its_weights(trained):
    one = load_speech_encoder(f"untrained:{trained}")
    assert (one.num_layers, one.hidden_size) == (4, 256)
    assert one.identity != load_speech_encoder(str(trained)).identity


def test_the_same_name_is_the_same_encoder_whatever_was_drawn_before(trained):
    torch.manual_seed(1)
    one = load_speech_encoder(f"untrained:{trained}")
    torch.manual_seed(2)
    other = load_speech_encoder(f"untrained:{trained}")
    assert one.identity == other.identity
    waveforms, lengths = torch.randn(1, 4_000), torch.tensor([4_000])
    assert torch.equal(one(waveforms, lengths)[0], other(waveforms, lengths)[0])


def test_the_random_state_of_the_caller_is_left_alone(trained):
    torch.manual_seed(3)
    expected = torch.randn(2)
    torch.manual_seed(3)
    load_speech_encoder(f"untrained:{trained}")
    assert torch.equal(torch.randn(2), expected)


def test_a_size_gives_the_shape_of_that_size():
    encoder = load_speech_encoder("untrained:mini")
    assert (encoder.num_layers, encoder.hidden_size) == (9, 256)


def test_neither_size_nor_folder_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"untrained:.*/nowhere: no config.json in .*mini"):
        load_speech_encoder(f"untrained:{tmp_path}/nowhere")


def test_another_model_is_an_error(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "hubert"}))
    with pytest.raises(ValueError, match=f"untrained:{tmp_path}: model type 'hubert' is not"):
        load_speech_encoder(f"untrained:{tmp_path}")
