"""FunASR's emotion2vec as the released model is set up, with seeded weights, and a clip for it.

Needs ``pip install funasr`` where a model is built.
"""

import importlib
from typing import NamedTuple

import torch
from torch import Tensor, nn

DECODER = {
    "decoder_kernel": 7,
    "decoder_layers": 4,
    "decoder_groups": 16,
    "decoder_residual": True,
    "input_dropout": 0.1,
    "add_positions_masked": False,
    "add_positions_all": False,
    "projection_layers": 1,
    "projection_ratio": 2.0,
}
MASKING = {
    "mask_noise_std": 0.0,
    "mask_prob": 0.5,
    "mask_prob_adjust": 0.05,
    "mask_prob_min": None,
    "mask_length": 5,
    "mask_dropout": 0.0,
    "mask_channel_prob": 0.0,
    "mask_channel_length": 64,
    "inverse_mask": False,
    "keep_masked_pct": 0.0,
    "add_masks": False,
    "remove_masks": False,
    "encoder_zero_mask": True,
}
AUDIO = {
    **MASKING,
    "type": "AUDIO",
    "extractor_mode": "layer_norm",
    "conv_pos_width": 95,
    "conv_pos_groups": 16,
    "conv_pos_depth": 5,
    "conv_pos_pre_ln": False,
    "num_extra_tokens": 10,
    "init_extra_token_zero": True,
    "prenet_layerdrop": 0.05,
    "prenet_dropout": 0.1,
    "start_drop_path_rate": 0.0,
    "end_drop_path_rate": 0.0,
    "ema_local_encoder": False,
    "local_grad_mult": 1.0,
    "use_alibi_encoder": True,
    "alibi_scale": 1.0,
    "alibi_max_pos": None,
    "learned_alibi": False,
    "learned_alibi_scale": True,
    "learned_alibi_scale_per_head": True,
    "learned_alibi_scale_per_layer": False,
}
MODEL = {
    "supported_modality": "AUDIO",
    "norm_eps": 1e-5,
    "norm_affine": True,
    "mlp_ratio": 4.0,
    "layer_norm_first": False,
    "layerdrop": 0.05,
    "encoder_dropout": 0.1,
    "attention_dropout": 0.1,
    "post_mlp_drop": 0.1,
    "activation_dropout": 0.0,
    "dropout_input": 0.0,
    "start_drop_path_rate": 0.0,
    "end_drop_path_rate": 0.0,
    "end_of_block_targets": False,
    "shared_decoder": None,
    "mae_init": False,
    "skip_ema": True,
    "cls_loss": 0.0,
    "recon_loss": 0.0,
    "d2v_loss": 1.0,
    "loss_beta": 0.0,
    "loss_scale": None,
    "adversarial_training": False,
    "seed": 1,
}


class Shape(NamedTuple):
    """Sizes of a model, by default of ``base``."""

    hidden_size: int = 768
    num_heads: int = 12
    conv_dim: int = 512
    num_prenet: int = 4
    num_main: int = 8
    decoder_dim: int = 384


SMALL = Shape(32, 4, 32, 1, 2, 16)


def funasr_settings(shape: Shape) -> dict[str, object]:
    """The settings of the released model in FunASR's words, with other sizes."""
    size = shape.conv_dim
    audio = {
        **AUDIO,
        "prenet_depth": shape.num_prenet,
        "model_depth": shape.num_main,
        "num_alibi_heads": shape.num_heads,
        "feature_encoder_spec": f"[({size}, 10, 5)] + [({size}, 3, 2)] * 4 + [({size}, 2, 2)] * 2",
        "decoder": {**DECODER, "decoder_dim": shape.decoder_dim},
    }
    return {
        **MODEL,
        "depth": shape.num_main,
        "num_heads": shape.num_heads,
        "embed_dim": shape.hidden_size,
        "average_top_k_layers": shape.num_main,
        "modalities": {"audio": audio},
    }


def build_funasr(shape: Shape, seed: int, num_classes: int = 0) -> nn.Module:
    """FunASR's model with weights at which nothing is neutral: norms, scales and tokens differ."""
    module = importlib.import_module("funasr.models.emotion2vec.model")
    torch.manual_seed(seed)
    head = {"vocab_size": num_classes} if num_classes else {}
    model = module.Emotion2vec(model_conf=funasr_settings(shape), **head)
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if name.endswith("alibi_scale"):
            parameter.data = 1 + 0.5 * noise
            parameter.data.view(-1)[1] = -0.3  # counts as 0
        elif name.endswith("extra_tokens"):
            parameter.data = noise
        elif parameter.ndim == 1:
            parameter.data += 0.1 * noise
    return model.eval()


def make_waveform(seed: int, seconds: float) -> Tensor:
    """A gliding tone that swells, around an offset, in noise: (S,)."""
    generator = torch.Generator().manual_seed(seed)
    times = torch.arange(int(seconds * 16_000)) / 16_000
    tone = torch.sin(2 * torch.pi * (150 + 40 * times) * times) * torch.sin(5 * times)
    return 0.3 * tone + 0.03 + 0.05 * torch.randn(len(times), generator=generator)
