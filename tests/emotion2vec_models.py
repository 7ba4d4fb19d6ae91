"""Small emotion2vec models, and the one whose numbers FunASR computed."""

from pathlib import Path

import torch
from torch import Tensor

from speech_encoders.emotion2vec import Emotion2vecConfig, Emotion2vecModel

STORED = Path(__file__).parent / "data" / "emotion2vec"
"""A model as released, and what FunASR computes with it; `test_emotion2vec_funasr.py` writes it."""

SETTINGS = {
    "conv_dim": 16,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "decoder_dim": 16,
}


def make_config(**settings: object) -> Emotion2vecConfig:
    """Settings of a small model, some of them changed."""
    return Emotion2vecConfig.from_dict({**SETTINGS, **settings})


def make_model(**settings: object) -> Emotion2vecModel:
    """A model at whose weights nothing is neutral: norms, biases and scales change their input."""
    torch.manual_seed(0)
    model = Emotion2vecModel(make_config(**settings)).eval()
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return model


def normalise(waveform: Tensor) -> Tensor:
    """Gives a clip mean 0 and deviation 1: (S,) -> (S,)."""
    return (waveform - waveform.mean()) / (waveform.var(correction=0) + 1e-5).sqrt()
