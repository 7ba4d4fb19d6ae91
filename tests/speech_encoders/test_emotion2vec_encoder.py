"""emotion2vec as a speech encoder, and the feature extractor of its folders."""

import functools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoFeatureExtractor

from speech_encoders import load_speech_encoder
from speech_encoders.emotion2vec import Emotion2vecFeatureExtractor, iterate_windows
from speech_encoders.emotion2vec import encoder as encoder_module
from speech_encoders.emotion2vec.convert import convert
from speech_encoders.emotion2vec.encoder import Emotion2vecEncoder
from tests.emotion2vec_models import STORED, make_model, normalise


def make_clips(*sizes: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Noise around 0.3, with NaN as padding: (B, S), (B,)."""
    generator = torch.Generator().manual_seed(1)
    clips = 0.3 + 0.1 * torch.randn(len(sizes), max(sizes), generator=generator)
    lengths = torch.tensor(sizes)
    return clips.masked_fill(torch.arange(max(sizes)) >= lengths[:, None], torch.nan), lengths


@pytest.fixture
def folder(tmp_path) -> Path:
    convert(STORED / "released.pt", tmp_path / "converted")
    return tmp_path / "converted"


def test_a_released_file_and_its_folder_are_the_same_encoder(folder):
    clips = make_clips(4_000, 2_000)
    released = load_speech_encoder(str(STORED / "released.pt"))
    states, num_frames = released(*clips)
    for name in (f"emotion2vec:{STORED / 'released.pt'}", str(folder), f"emotion2vec:{folder}"):
        encoder = load_speech_encoder(name)
        assert encoder.identity == released.identity
        again, counts = encoder(*clips)
        torch.testing.assert_close(again, states)
        assert counts.tolist() == num_frames.tolist() == [12, 6]


def test_other_weights_or_another_norm_make_another_identity(folder):
    identity = load_speech_encoder(str(folder)).identity
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "layer_norm_eps": 1e-6}))
    other_norm = load_speech_encoder(str(folder)).identity
    (folder / "config.json").write_text(json.dumps(config))
    weights = load_file(folder / "model.safetensors")
    weights["emotion2vec.encoder.norm.bias"][0] += 1e-3
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    other_weight = load_speech_encoder(str(folder)).identity
    assert len({identity, other_norm, other_weight}) == 3


def test_states_are_those_of_the_model_on_the_normalised_clip(folder):
    clips, lengths = make_clips(4_000)
    encoder = load_speech_encoder(str(folder))
    assert isinstance(encoder, Emotion2vecEncoder)
    states, _ = encoder(clips, lengths)
    with torch.no_grad():
        output = encoder.model(normalise(clips[0])[None], output_hidden_states=True)
    # One block of the context encoder, two after it, and what goes into the first.
    assert (encoder.num_layers, encoder.hidden_size) == (4, 32)
    assert (encoder.frame_rate, encoder.min_samples) == (50.0, 400)
    torch.testing.assert_close(states[0], torch.cat(output.hidden_states), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("max_padding", [0.0, 0.25, 9.0])
def test_neither_padding_nor_batch_mates_change_a_clip(folder, max_padding):
    encoder = load_speech_encoder(str(folder))
    assert isinstance(encoder, Emotion2vecEncoder)
    encoder.max_padding = max_padding
    clips, lengths = make_clips(8_000, 400, 7_000, 8_000, 1_039)
    together, num_frames = encoder(clips, lengths)
    # floor((length - 400) / 320) + 1
    assert num_frames.tolist() == [24, 1, 21, 24, 2]
    for row, (length, count) in enumerate(zip(lengths, num_frames, strict=True)):
        alone, _ = encoder(clips[row : row + 1, :length], lengths[row : row + 1])
        torch.testing.assert_close(together[row, :, :count], alone[0], atol=1e-4, rtol=1e-4)
        assert not together[row, :, count:].any()


def test_a_recording_in_a_batch_is_read_in_windows(monkeypatch):
    monkeypatch.setattr(encoder_module, "WINDOW_FRAMES", 40)
    few_frames = {"window_frames": 40, "context_frames": 10}
    monkeypatch.setattr(
        encoder_module, "iterate_windows", functools.partial(iterate_windows, **few_frames)
    )
    model = make_model()
    clips, lengths = make_clips(4_000, 400 + 320 * 59, 400 + 320 * 39)
    states, _ = Emotion2vecEncoder(model)(clips, lengths)
    windows = list(iterate_windows(model, normalise(clips[1]), all_layers=True, **few_frames))
    assert len(windows) == 2
    expected = torch.cat([window.states for window in windows], dim=1)
    torch.testing.assert_close(states[1], expected, atol=1e-5, rtol=1e-4)
    with torch.no_grad():  # 40 frames are one window still
        whole = model(normalise(clips[2, : lengths[2]])[None]).last_hidden_state[0]
    torch.testing.assert_close(states[2, -1, :40], whole, atol=1e-5, rtol=1e-4)


def test_an_encoder_without_weights_names_where_to_get_them(tmp_path):
    with pytest.raises(FileNotFoundError, match="names no weights; pass emotion2vec-mini"):
        load_speech_encoder("emotion2vec")
    with pytest.raises(FileNotFoundError, match="gone.pt: no such file; pass a released"):
        load_speech_encoder(str(tmp_path / "gone.pt"))
    with pytest.raises(FileNotFoundError, match="lacks config.json or weights"):
        load_speech_encoder(f"emotion2vec:{tmp_path}")


def test_a_folder_that_lacks_weights_is_refused(folder):
    weights = load_file(folder / "model.safetensors")
    del weights["emotion2vec.positional.convolutions.0.bias"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(
        ValueError,
        match="lacks 1 weights of Emotion2vecModel, first 'posit",
    ):
        load_speech_encoder(str(folder))


def test_a_folder_of_another_model_is_refused(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "wav2vec2"}))
    with pytest.raises(ValueError, match="model type 'wav2vec2' is not emotion2vec"):
        load_speech_encoder(f"emotion2vec:{folder}")


def test_a_clip_that_is_too_short_is_refused(folder):
    with pytest.raises(ValueError, match="clip 1 has 399 samples, expected 400 to 800"):
        load_speech_encoder(str(folder))(*make_clips(800, 399))


def test_the_extractor_normalises_each_clip_and_pads(tmp_path):
    Emotion2vecFeatureExtractor().save_pretrained(tmp_path)
    make_model().save_pretrained(tmp_path)
    extractor = AutoFeatureExtractor.from_pretrained(tmp_path)
    quiet = 0.01 * np.sin(np.arange(500)) + 0.2
    batch = extractor([np.zeros(400), quiet], sampling_rate=16_000, return_tensors="pt")
    deviation = np.sqrt(np.mean((quiet - quiet.mean()) ** 2) + 1e-5)
    assert batch["attention_mask"].sum(1).tolist() == [400, 500]
    assert not batch["input_values"][0].any()
    np.testing.assert_allclose(
        batch["input_values"][1], (quiet - quiet.mean()) / deviation, rtol=1e-4, atol=1e-6
    )
    assert extractor(quiet, sampling_rate=16_000)["input_values"][0].shape == (500,)


@pytest.mark.parametrize(
    ("clip", "rate", "message"),
    [
        (np.zeros(800), 8_000, "clips have 8000 Hz, expected 16000 Hz; resample them"),
        (np.zeros((2, 800)), 16_000, None),
        ([np.zeros((800, 2))], 16_000, r"clip 0 has shape \(800, 2\) and type float64"),
        ([np.zeros(800, np.int16)], 16_000, "clip 0 has shape .800,. and type int16"),
        ([np.zeros(800), np.zeros(399)], 16_000, "clip 1 has 399 samples, expected 400 or more"),
        ([np.full(800, np.nan)], 16_000, "clip 0 holds samples that are not finite"),
    ],
)
def test_the_extractor_refuses_what_would_be_misread(clip, rate, message):
    extractor = Emotion2vecFeatureExtractor()
    if message is None:  # rows of an array are clips
        assert len(extractor(clip, sampling_rate=rate)["input_values"]) == 2
        return
    with pytest.raises(ValueError, match=message):
        extractor(clip, sampling_rate=rate)
