"""CPC's encoder: causality, padding, initial weights, folders, and as a speech encoder."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoFeatureExtractor, AutoModel, AutoModelForPreTraining

from speech_encoders import load_speech_encoder
from speech_encoders.cpc import (
    ContrastivePrediction,
    CpcConfig,
    CpcForPreTraining,
    CpcModel,
    frame_times,
)
from speech_encoders.cpc import modeling as modeling_module
from speech_encoders.settings import ContrastSettings

SMALL = {"conv_dim": 8, "hidden_size": 12, "num_steps": 3}


def make_model(**settings: object) -> CpcForPreTraining:
    torch.manual_seed(0)
    return CpcForPreTraining(CpcConfig.from_dict({**SMALL, **settings})).eval()


@pytest.fixture
def folder(tmp_path) -> Path:
    ContrastivePrediction(make_model(), ContrastSettings()).save(tmp_path)
    return tmp_path


def make_clips(*sizes: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Noise, with NaN as padding: (B, S), (B,)."""
    clips = 0.1 * torch.randn(len(sizes), max(sizes), generator=torch.Generator().manual_seed(1))
    lengths = torch.tensor(sizes)
    return clips.masked_fill(torch.arange(max(sizes)) >= lengths[:, None], torch.nan), lengths


def test_the_model_has_the_parameters_of_the_paper():
    with torch.device("meta"):
        model = CpcForPreTraining(CpcConfig(has_norms=False))
    # Convolutions 1,408; 131,200 twice; 65,664. GRU 3 * 256 * (128 + 256 + 2). Twelve maps.
    assert sum(p.numel() for p in model.cpc.convolutions.parameters()) == 329_472
    assert sum(p.numel() for p in model.cpc.gru.parameters()) == 296_448
    assert sum(p.numel() for p in model.predictors.parameters()) == 12 * 256 * 128


@pytest.mark.parametrize("has_norms", [False, True])
@torch.no_grad()
def test_no_sample_behind_a_frames_field_reaches_its_context(has_norms):
    model = make_model(has_norms=has_norms).cpc
    clip, changed = torch.randn(1, 4_000), torch.randn(1, 4_000)
    frame = 9  # depends on 9 * 160 + 425 = 1,865 samples
    changed[:, :1_865] = clip[:, :1_865]
    before, after = (model(waveform).last_hidden_state[0] for waveform in (clip, changed))
    torch.testing.assert_close(after[: frame + 1], before[: frame + 1])
    assert (after[frame + 1] - before[frame + 1]).abs().max() > 1e-4
    # Its own last sample counts, and so does the first of the clip.
    for sample in (0, 1_864):
        touched = clip.clone()
        touched[0, sample] += 10
        moved = model(touched).last_hidden_state[0, frame] - before[frame]
        assert moved.abs().max() > 1e-6


@torch.no_grad()
def test_latents_are_the_published_stack_of_convolutions():
    model = make_model(has_norms=False).cpc
    clip = torch.randn(1, 2_000)
    frames = 10 * clip[:, None]
    for layer, (kernel, stride) in enumerate(((10, 5), (8, 4), (8, 4), (4, 2))):
        weight = model.get_parameter(f"convolutions.{layer}.weight")
        bias = model.get_parameter(f"convolutions.{layer}.bias")
        assert weight.size(2) == kernel
        windows = frames.unfold(2, kernel, stride)  # (1, C, T, kernel)
        frames = torch.einsum("bctk,ock->bot", windows, weight) + bias[:, None]
        frames = frames.clamp(min=0)
    # floor((2,000 - 425) / 160) + 1
    assert frames.size(2) == 10
    torch.testing.assert_close(model(clip).latents, frames.transpose(1, 2), atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_a_long_recording_is_read_in_pieces_without_a_trace(monkeypatch):
    model = make_model().cpc
    clips = torch.randn(2, 20_000)
    whole = model.encode(clips)
    monkeypatch.setattr(modeling_module, "_CHUNK_FRAMES", 7)
    torch.testing.assert_close(model.encode(clips), whole)
    with torch.enable_grad():
        torch.testing.assert_close(model.encode(clips), whole)


def test_fresh_weights_are_what_they_are_meant_to_be():
    torch.manual_seed(0)
    model = CpcForPreTraining(CpcConfig())
    deviations = {
        # Kaiming for a ReLU: the root of 2 / (channels * kernel).
        "cpc.convolutions.0.weight": (2 / 10) ** 0.5,
        "cpc.convolutions.1.weight": (2 / 1_024) ** 0.5,
        "cpc.convolutions.3.weight": (2 / 512) ** 0.5,
        # Not zero, or a norm would make loud and soft alike.
        "cpc.convolutions.0.bias": (1 / 3 / 10) ** 0.5,
        # PyTorch's own: uniform between -1 and 1 over the root of 256 units or inputs.
        "cpc.gru.weight_ih_l0": (1 / 3 / 256) ** 0.5,
        "cpc.gru.bias_hh_l0": (1 / 3 / 256) ** 0.5,
        "predictors.weight": (1 / 3 / 256) ** 0.5,
    }
    for name, deviation in deviations.items():
        assert model.get_parameter(name).std().item() == pytest.approx(deviation, rel=0.08), name


def test_weights_that_a_folder_lacks_begin_as_in_a_fresh_model(folder):
    weights = load_file(folder / "model.safetensors")
    kept = {name: w for name, w in weights.items() if "gru" not in name and "predict" not in name}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    model = CpcForPreTraining.from_pretrained(folder)
    torch.testing.assert_close(
        model.cpc.convolutions[0].weight.data, weights["cpc.convolutions.0.weight"]
    )
    for name in ("cpc.gru.weight_hh_l0", "predictors.weight"):
        limit = 12**-0.5
        assert 0.5 * limit < model.get_parameter(name).abs().max() <= limit, name


def test_a_folder_comes_back_through_the_librarys_own_classes(folder):
    clip = torch.randn(1, 3_000)
    assert isinstance(AutoConfig.from_pretrained(folder), CpcConfig)
    model = AutoModel.from_pretrained(folder)
    assert isinstance(model, CpcModel)
    assert isinstance(AutoModelForPreTraining.from_pretrained(folder), CpcForPreTraining)
    torch.testing.assert_close(
        model(clip).last_hidden_state, make_model().cpc(clip).last_hidden_state
    )
    extractor = AutoFeatureExtractor.from_pretrained(folder)
    clips = [np.full(500, 0.25, np.float32), np.full(700, 0.5, np.float32)]
    batch = extractor(clips, sampling_rate=16_000, padding=True, return_tensors="pt")
    assert batch["input_values"][0, :500].unique().tolist() == [0.25]
    assert batch["attention_mask"].sum(1).tolist() == [500, 700]


def test_neither_padding_nor_batch_mates_change_a_clip(folder):
    encoder = load_speech_encoder(str(folder))
    clips, lengths = make_clips(8_000, 425, 7_001, 1_064)
    together, num_frames = encoder(clips, lengths)
    assert num_frames.tolist() == [48, 1, 42, 4]  # floor((length - 425) / 160) + 1
    assert together.shape == (4, encoder.num_layers, 48, encoder.hidden_size) == (4, 1, 48, 12)
    for row, (length, count) in enumerate(zip(lengths, num_frames, strict=True)):
        alone, _ = encoder(clips[row : row + 1, :length], lengths[row : row + 1])
        torch.testing.assert_close(together[row, :, :count], alone[0], atol=1e-5, rtol=1e-4)
        assert not together[row, :, count:].any()


def test_the_encoder_gives_the_contexts_of_the_model(folder):
    clips, lengths = make_clips(3_000)
    encoder = load_speech_encoder(f"cpc:{folder}")
    assert (encoder.frame_rate, encoder.min_samples) == (100.0, 425)
    states, _ = encoder(clips, lengths)
    torch.testing.assert_close(states[:, 0], make_model().cpc(clips).last_hidden_state)


def test_loud_speech_is_not_made_equal_to_soft_speech(folder):
    clips, lengths = make_clips(3_000)
    encoder = load_speech_encoder(str(folder))
    assert (encoder(2 * clips, lengths)[0] - encoder(clips, lengths)[0]).abs().max() > 1e-2


def test_other_weights_or_another_gain_make_another_identity(folder):
    identity = load_speech_encoder(str(folder)).identity
    assert load_speech_encoder(str(folder)).identity == identity
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "input_gain": 9.0}))
    other_gain = load_speech_encoder(str(folder)).identity
    weights = load_file(folder / "model.safetensors")
    weights["cpc.gru.bias_ih_l0"][0] += 1e-3
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    other_weight = load_speech_encoder(str(folder)).identity
    assert len({identity, other_gain, other_weight}) == 3


def test_a_frame_ends_where_its_field_does():
    # 425 samples, and 160 more for each frame, at 16 kHz.
    assert frame_times(3).tolist() == pytest.approx([0.0265625, 0.0365625, 0.0465625])


def test_clips_that_cannot_be_encoded_are_refused(folder):
    model = make_model().cpc
    with pytest.raises(ValueError, match="a clip has 424 samples, expected 425 or more"):
        model(torch.zeros(1, 424))
    mask = torch.arange(800) < torch.tensor([[800], [424]])
    with pytest.raises(ValueError, match="a clip has 424 samples, expected 425 or more"):
        model(torch.zeros(2, 800), mask)
    with pytest.raises(ValueError, match="padding before real samples; pad clips on the right"):
        model(torch.zeros(1, 800), torch.arange(800)[None] >= 100)
    with pytest.raises(ValueError, match="clip 1 has 424 samples, expected 425 to 800"):
        load_speech_encoder(str(folder))(*make_clips(800, 424))


def test_a_folder_that_lacks_weights_or_is_of_another_model_is_refused(folder):
    weights = load_file(folder / "model.safetensors")
    del weights["cpc.gru.bias_ih_l0"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match="lacks 1 weights of CpcModel, first 'gru.bias_ih_l0'"):
        load_speech_encoder(str(folder))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "wav2vec2"}))
    with pytest.raises(ValueError, match="model type 'wav2vec2' is not cpc"):
        load_speech_encoder(f"cpc:{folder}")


def test_sizes_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="num_steps must be above 0, got 0"):
        CpcConfig(num_steps=0)
