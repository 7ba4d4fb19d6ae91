"""Warm starts of emotion2vec's pre-training: data2vec, released files, our own folders."""

import pytest
import torch
from transformers import Data2VecAudioConfig, Data2VecAudioModel, Wav2Vec2Config, Wav2Vec2Model

from speech_encoders.emotion2vec import Emotion2vecForPreTraining, Emotion2vecModel
from speech_encoders.emotion2vec.released import read_released
from speech_encoders.emotion2vec.warm_start import start_from
from tests.emotion2vec_models import STORED, make_config

ANEW = ("decoder.", "emotion2vec.alibi_scale", "emotion2vec.extra_tokens")


def make_student(**settings: object) -> Emotion2vecForPreTraining:
    torch.manual_seed(1)
    return Emotion2vecForPreTraining(make_config(**settings)).eval()


def save_data2vec(folder: str) -> Data2VecAudioModel:
    torch.manual_seed(2)
    config = Data2VecAudioConfig(
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=64,
        conv_dim=(16,) * 7,
        mask_time_prob=0.0,
    )
    model = Data2VecAudioModel(config).eval()
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    model.save_pretrained(folder)
    return model


@torch.no_grad()
def test_data2vec_computes_the_same_in_emotion2vecs_shape(tmp_path):
    data2vec = save_data2vec(str(tmp_path))
    student = make_student(num_extra_tokens=0)
    initial = start_from(student, str(tmp_path))
    student.emotion2vec.alibi_scale.zero_()
    clip = torch.randn(2, 8_000)
    encoded = student.emotion2vec(clip).last_hidden_state
    torch.testing.assert_close(encoded, data2vec(clip).last_hidden_state, atol=1e-4, rtol=1e-4)
    assert {name for name in initial if not name.startswith("decoder.")} == {
        "emotion2vec.alibi_scale",
        "emotion2vec.extra_tokens",
    }


def test_a_released_file_gives_all_but_what_does_not_fit():
    released = read_released(STORED / "released.pt").model
    config = released.config
    config.num_extra_tokens += 1
    student = Emotion2vecForPreTraining(config)
    assert start_from(student, str(STORED / "released.pt")) == ["emotion2vec.extra_tokens"]
    for name, tensor in released.state_dict().items():
        if name != "emotion2vec.extra_tokens":
            torch.testing.assert_close(student.state_dict()[name], tensor)


def test_our_own_folders_with_or_without_a_decoder_are_taken(tmp_path):
    teacher = make_student()
    teacher.save_pretrained(tmp_path / "whole")
    Emotion2vecModel.from_pretrained(tmp_path / "whole").save_pretrained(tmp_path / "encoder")
    for name in ("whole", "encoder"):
        torch.manual_seed(5)
        student = Emotion2vecForPreTraining(make_config())
        initial = start_from(student, str(tmp_path / name))
        assert all(key.startswith("decoder.") for key in initial)
        assert (initial == []) == (name == "whole")
        torch.testing.assert_close(
            student.emotion2vec.encoder.norm.weight, teacher.emotion2vec.encoder.norm.weight
        )
        convolution = "front_end.convolutions.3.weight"
        torch.testing.assert_close(
            student.emotion2vec.get_parameter(convolution),
            teacher.emotion2vec.get_parameter(convolution),
        )


def test_checkpoints_of_another_size_or_family_are_refused(tmp_path):
    save_data2vec(str(tmp_path / "data2vec"))
    with pytest.raises(ValueError, match=r"has shape .*, the model's has .*same --size"):
        start_from(make_student(hidden_size=64), str(tmp_path / "data2vec"))
    with pytest.raises(ValueError, match=r"lacks \d+ weights of such a model, first 'emotion2vec"):
        start_from(make_student(num_hidden_layers=4), str(tmp_path / "data2vec"))
    Wav2Vec2Model(
        Wav2Vec2Config(
            hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
        )
    ).save_pretrained(tmp_path / "other")
    with pytest.raises(
        ValueError, match="is a wav2vec2 model, expected one of emotion2vec, data2vec"
    ):
        start_from(make_student(), str(tmp_path / "other"))
    with pytest.raises(FileNotFoundError, match=r"nothing\.pt"):
        start_from(make_student(), str(tmp_path / "nothing.pt"))
