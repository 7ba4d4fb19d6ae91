"""emotion2vec against FunASR's implementation of it, stage by stage, with the same seeded weights.

Needs ``pip install funasr``; skipped without it. Run as a script, this writes the small reference
that `tests/test_emotion2vec.py` reads everywhere else:

    python tests/test_emotion2vec_funasr.py
"""

import importlib
import importlib.util
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from speech_encoders.emotion2vec.pretraining import Emotion2vecForPreTraining
from speech_encoders.emotion2vec.released import Released, read_released

pytestmark = [
    pytest.mark.skipif(
        importlib.util.find_spec("funasr") is None, reason="funasr is not installed"
    ),
    pytest.mark.filterwarnings("ignore"),  # of FunASR and what it imports
]

FOLDER = Path(__file__).parent / "data" / "emotion2vec"
TOLERANCE = 1e-4


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


def build_funasr(shape: Shape, seed: int, num_classes: int = 0):
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


def mask_every_third(num_frames: int) -> Tensor:
    """Masks of two clips that hide equally many frames, at different places: (2, T), boolean."""
    frames = torch.arange(3 * (num_frames // 3))
    masked = torch.stack([frames % 3 == 0, frames % 3 == 1])
    return F.pad(masked, (0, num_frames - len(frames)), value=False)


@torch.no_grad()
def funasr_stages(model, waveform: Tensor) -> dict[str, Tensor]:
    """What FunASR computes on the way, for one clip."""
    audio = model.modality_encoders["AUDIO"]
    clip = F.layer_norm(waveform, waveform.shape)[None].to(next(model.parameters()).dtype)
    convolved = audio.local_encoder(clip)
    projected = audio.project_features(convolved)
    heard = model.extract_features(clip, padding_mask=None)
    with_tokens = model.extract_features(clip, padding_mask=None, remove_extra_tokens=False)
    stages = {
        "convolved": convolved.transpose(1, 2)[0],
        "projected": projected[0],
        "positional": audio.relative_positional_encoder(projected)[0],
        "frames": heard["x"][0],
        "utterance": heard["x"][0].mean(0),
        "tokens": with_tokens["x"][0, :10],
    }
    layers = [layer[0, 10:] for layer in with_tokens["layer_results"]]
    stages |= {f"feed_forward_{number}": layer for number, layer in enumerate(layers)}
    normalised = [F.instance_norm(layer.T[None])[0].T for layer in layers]
    stages["targets"] = torch.stack(normalised).mean(0)
    if hasattr(model, "proj") and model.proj is not None:
        stages["logits"] = model.proj(stages["utterance"])
    masked = mask_every_third(len(stages["frames"]))
    student = model(
        clip.repeat(2, 1),
        mask=True,
        features_only=True,
        force_remove_masked=True,
        remove_extra_tokens=False,
        precomputed_mask=masked.to(torch.uint8),
    )
    stages["predictions"] = audio.decoder(*audio.decoder_input(student["x"], student["mask"]))
    return stages


@torch.no_grad()
def our_stages(released: Released, waveform: Tensor, num_main: int) -> dict[str, Tensor]:
    """The same stages, computed here."""
    encoder, clip = released.encoder, F.layer_norm(waveform, waveform.shape)[None]
    projected = encoder.front_end(clip)
    output = encoder(clip, output_feed_forward=True)
    stages = {
        "convolved": encoder.front_end.extract(clip)[0],
        "projected": projected[0],
        "positional": encoder.positional(projected)[0],
        "frames": output.last_hidden_state[0],
        "utterance": output.last_hidden_state[0].mean(0),
        "tokens": output.extra_tokens[0],
    }
    layers = [layer[0] for layer in output.feed_forward_states[-num_main:]]
    stages |= {f"feed_forward_{number}": layer for number, layer in enumerate(layers)}
    deviations = [(layer.var(0, correction=0) + 1e-5).sqrt() for layer in layers]
    stages["targets"] = torch.stack(
        [(layer - layer.mean(0)) / by for layer, by in zip(layers, deviations, strict=True)]
    ).mean(0)
    if isinstance(released.model, Emotion2vecForPreTraining):
        masked = mask_every_third(projected.size(1))
        filling = torch.zeros(2, *projected.shape[1:])
        student = released.model(clip.repeat(2, 1), masked, filling)
        stages["predictions"] = student.predictions
    else:
        stages["logits"] = released.model(clip, masked_labels=[]).logits[0]
    return stages


def save_released(model, path: Path, num_classes: int) -> None:
    """Writes a file as released: a classifier has no decoder, and a prefix on all but its head."""
    weights = model.state_dict()
    if num_classes:
        weights = {
            name if name.startswith("proj.") else f"d2v_model.{name}": tensor
            for name, tensor in weights.items()
            if ".decoder." not in name
        }
        names = [f"X/class{number}" for number in range(num_classes)]
        path.with_name("tokens.txt").write_text("\n".join(names))
    torch.save({"model": weights}, path)


@pytest.mark.parametrize(
    ("seed", "seconds", "num_classes"), [(0, 1.0, 0), (1, 4.3, 0), (2, 12.0, 0), (3, 2.7, 9)]
)
def test_every_stage_of_base_agrees_with_funasr(tmp_path, seed, seconds, num_classes):
    theirs = build_funasr(Shape(), seed, num_classes)
    save_released(theirs, tmp_path / "model.pt", num_classes)
    waveform = make_waveform(seed, seconds)

    expected = funasr_stages(theirs, waveform)
    released = read_released(tmp_path / "model.pt")
    actual = our_stages(released, waveform, Shape().num_main)

    stages = sorted(expected.keys() - ({"predictions"} if num_classes else set()))
    assert sorted(actual) == stages
    worst = {stage: (actual[stage] - expected[stage]).abs().max().item() for stage in stages}
    print({stage: f"{difference:.1e}" for stage, difference in worst.items()})
    assert max(worst.values()) < TOLERANCE, worst


def write_reference() -> None:
    """Writes a small model's weights as FunASR names them, and what FunASR computes in float64."""
    model = build_funasr(SMALL, seed=0)
    FOLDER.mkdir(parents=True, exist_ok=True)
    save_released(model, FOLDER / "released.pt", num_classes=0)
    waveform = make_waveform(0, seconds=1.0)
    stages = funasr_stages(model.double(), waveform)
    stages["waveform"] = waveform
    torch.save(
        {stage: tensor.float().clone() for stage, tensor in stages.items()}, FOLDER / "stages.pt"
    )


if __name__ == "__main__":
    write_reference()
