"""Converting what our own pre-training wrote: the encoder alone, at half the size."""

import torch

from speech_encoders import load_speech_encoder
from speech_encoders.emotion2vec import Emotion2vecFeatureExtractor, Emotion2vecForPreTraining
from speech_encoders.emotion2vec.convert import main
from tests.emotion2vec_models import make_config


def test_a_pretrained_folder_becomes_an_encoder_of_half_the_size(tmp_path, capsys):
    torch.manual_seed(0)
    Emotion2vecForPreTraining(make_config()).save_pretrained(tmp_path / "trained")
    Emotion2vecFeatureExtractor().save_pretrained(tmp_path / "trained")
    for name, flags in (("whole", []), ("half", ["--half-precision"])):
        main([str(tmp_path / "trained"), "--output", str(tmp_path / name), *flags])
    assert f"{tmp_path / 'half'}: Emotion2vecModel" in capsys.readouterr().out
    sizes = {
        name: (tmp_path / name / "model.safetensors").stat().st_size
        for name in ("trained", "whole", "half")
    }
    assert sizes["half"] < 0.6 * sizes["whole"] < 0.6 * sizes["trained"]
    clip, length = 0.1 * torch.randn(1, 8_000), torch.tensor([8_000])
    trained, whole, half = (
        load_speech_encoder(str(tmp_path / name))(clip, length)[0]
        for name in ("trained", "whole", "half")
    )
    torch.testing.assert_close(whole, trained)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, trained, atol=0.02, rtol=0.02)
    assert not torch.equal(half, trained)
