"""emotion2vec against FunASR's implementation of it, stage by stage, with the same seeded weights.

Needs ``pip install funasr``; skipped without it. Run as a script, this writes the small reference
that the other tests of emotion2vec read everywhere else:

    python -m tests.test_emotion2vec_funasr
"""

import importlib.util
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from speech_encoders.emotion2vec.pretraining import Emotion2vecForPreTraining
from speech_encoders.emotion2vec.released import Released, read_released
from tests.emotion2vec_models import STORED
from tests.funasr_emotion2vec import SMALL, Shape, build_funasr, make_waveform

pytestmark = [
    pytest.mark.skipif(
        importlib.util.find_spec("funasr") is None, reason="funasr is not installed"
    ),
    pytest.mark.filterwarnings("ignore"),  # of FunASR and what it imports
]

TOLERANCE = 1e-4


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
    encoded = model.extract_features(clip, padding_mask=None)
    with_tokens = model.extract_features(clip, padding_mask=None, remove_extra_tokens=False)
    stages = {
        "convolved": convolved.transpose(1, 2)[0],
        "projected": projected[0],
        "positional": audio.relative_positional_encoder(projected)[0],
        "frames": encoded["x"][0],
        "utterance": encoded["x"][0].mean(0),
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
    output = encoder(clip)
    encoded = encoder.encode(projected + encoder.positional(projected), with_feed_forward=True)
    stages = {
        "convolved": encoder.front_end.extract(clip)[0],
        "projected": projected[0],
        "positional": encoder.positional(projected)[0],
        "frames": output.last_hidden_state[0],
        "utterance": output.last_hidden_state[0].mean(0),
        "tokens": output.extra_tokens[0],
    }
    num_tokens = encoder.config.num_extra_tokens
    layers = [layer[0, num_tokens:] for layer in encoded.feed_forward[-num_main:]]
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
    STORED.mkdir(parents=True, exist_ok=True)
    save_released(model, STORED / "released.pt", num_classes=0)
    waveform = make_waveform(0, seconds=1.0)
    stages = funasr_stages(model.double(), waveform)
    stages["waveform"] = waveform
    torch.save(
        {stage: tensor.float().clone() for stage, tensor in stages.items()}, STORED / "stages.pt"
    )


if __name__ == "__main__":
    write_reference()
