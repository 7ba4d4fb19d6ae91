"""emotion2vec as a speech encoder: from a saved folder to hidden states, alone and in a batch."""

import torch

from speech_encoders import load_speech_encoder
from speech_encoders.emotion2vec import Emotion2vecConfig, Emotion2vecModel


def test_a_saved_model_encodes_a_clip_alike_alone_and_in_a_padded_batch(tmp_path):
    torch.manual_seed(0)
    Emotion2vecModel(Emotion2vecConfig.of_size("mini")).save_pretrained(tmp_path)
    encoder = load_speech_encoder(str(tmp_path))
    short, long = torch.randn(1, 8_000), torch.randn(1, 16_000)
    batch = torch.cat([torch.nn.functional.pad(short, (0, 8_000), value=9.0), long])
    together, counts = encoder(batch, torch.tensor([8_000, 16_000]))
    alone, _ = encoder(short, torch.tensor([8_000]))
    # Receptive field 400, hop 320: floor((8000 - 400) / 320) + 1 and the same of 16000.
    assert counts.tolist() == [24, 49]
    assert together.shape[1] == encoder.num_layers
    torch.testing.assert_close(together[0, :, :24], alone[0], atol=1e-4, rtol=1e-4)
