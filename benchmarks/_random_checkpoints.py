"""Checkpoints with random weights of the published shapes, and the transformers library's own call.

What an encoder costs does not depend on its weights, so that nothing has to be downloaded.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

FAMILIES = {
    "wav2vec 2.0": ("Wav2Vec2Config", "Wav2Vec2Model"),
    "HuBERT": ("HubertConfig", "HubertModel"),
    "WavLM": ("WavLMConfig", "WavLMModel"),
    "Whisper": ("WhisperConfig", "WhisperModel"),
}
"""Configuration and model of each family in transformers; their defaults are the base sizes."""

WHISPER_BASE: dict[str, Any] = {
    "d_model": 512,
    "encoder_attention_heads": 8,
    "encoder_ffn_dim": 2048,
    "decoder_layers": 1,  # never run
    "decoder_attention_heads": 8,
    "decoder_ffn_dim": 512,
}


def write_checkpoint(family: str, num_layers: int, folder: Path) -> Path:
    """Writes a checkpoint of the base width and so many layers, and returns its folder."""
    import transformers

    config_name, model_name = FAMILIES[family]
    shape = {"num_hidden_layers": num_layers}
    prepare = transformers.Wav2Vec2FeatureExtractor(return_attention_mask=False)
    if family == "Whisper":
        shape = {"encoder_layers": num_layers, **WHISPER_BASE}
        prepare = transformers.WhisperFeatureExtractor()
    torch.manual_seed(0)
    model = getattr(transformers, model_name)(getattr(transformers, config_name)(**shape))
    model.save_pretrained(folder)
    prepare.save_pretrained(folder)
    return folder


def load_with_transformers(folder: Path) -> Callable[[list[Tensor]], object]:
    """Loads a checkpoint as its model card says: clips padded together, all hidden states out.

    Whisper's are padded to 30 s; the attention is the library's choice.
    """
    import transformers

    prepare = transformers.AutoFeatureExtractor.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    encoder = model.get_encoder() if model.config.model_type == "whisper" else model

    @torch.inference_mode()
    def run(clips: list[Tensor]) -> object:
        arrays = [clip.numpy() for clip in clips]
        inputs = prepare(arrays, sampling_rate=16_000, padding=True, return_tensors="pt")
        if model.config.model_type == "whisper":
            inputs = prepare(arrays, sampling_rate=16_000, return_tensors="pt")
        return encoder(**inputs, output_hidden_states=True)

    return run
