"""Whisper against transformers' own, which pads every clip to its window."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForAudioClassification,
    WhisperForConditionalGeneration,
)
from transformers.models.whisper.modeling_whisper import WhisperEncoder as WhisperModel

from speech_encoders import load_speech_encoder
from speech_encoders.tuning import load_tunable
from speech_encoders.waveforms import SAMPLE_RATE
from speech_encoders.whisper.encoder import WhisperEncoder
from speech_encoders.whisper.log_mel import log_mel
from tests.speech_encoders.test_pretrained_speech import make_clips, stack

WHISPER: dict[str, Any] = {
    "d_model": 16,
    "encoder_layers": 2,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
    "vocab_size": 20,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 1,
    "max_source_positions": 50,  # windows of one second
}


PARTS = {
    "whole": WhisperForConditionalGeneration,
    "classifier": WhisperForAudioClassification,
    "encoder": WhisperModel,
}


def save_whisper(folder: Path, part: str = "encoder") -> WhisperModel:
    """Saves a small random model as transformers does, with its front end; returns its encoder."""
    torch.manual_seed(0)
    model = PARTS[part](WhisperConfig(**WHISPER)).eval()
    for parameter in model.parameters():  # norms that change their input, biases that are not 0
        parameter.data += 0.1 * torch.randn_like(parameter)
    model.save_pretrained(folder)
    WhisperFeatureExtractor(chunk_length=1).save_pretrained(folder)
    (encoder,) = (module for module in model.modules() if isinstance(module, WhisperModel))
    return encoder


def encode_as_transformers(model: WhisperModel, clip: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Encodes a clip padded to a window as the library does: (S,) -> L x (T, D)."""
    extractor = WhisperFeatureExtractor(chunk_length=1)
    features = extractor(clip.numpy(), sampling_rate=SAMPLE_RATE, return_tensors="pt")
    with torch.no_grad():
        output = model(features.input_features, output_hidden_states=True)
    return tuple(states[0] for states in (*output.hidden_states[:-1], output.last_hidden_state))


@pytest.fixture
def folder(tmp_path):
    save_whisper(tmp_path)
    return str(tmp_path)


@pytest.mark.parametrize("prefix", ["", "padded:"])
def test_a_clip_is_the_same_alone_and_in_a_batch(folder, prefix):
    whisper = load_speech_encoder(prefix + folder)
    clips = make_clips(36_000, 16_000, 15_999, 8_001, 400)
    together, num_frames = whisper(*stack(clips, filling=float("nan")))
    assert num_frames.tolist() == [113, 50, 50, 26, 2]
    for clip, states, count in zip(clips, together, num_frames, strict=True):
        alone, _ = whisper(*stack([clip]))
        torch.testing.assert_close(states[:, :count], alone[0], atol=1e-4, rtol=1e-4)
        assert not states[:, count:].any()


@pytest.mark.parametrize("prefix", ["", "padded:"])
def test_long_clips_are_read_window_by_window(folder, prefix):
    whisper = load_speech_encoder(prefix + folder)
    (clip,) = make_clips(36_000)
    states, num_frames = whisper(*stack([clip, clip[:5_000]]))
    windows = [whisper(window[None], torch.tensor([len(window)])) for window in clip.split(16_000)]
    expected = torch.cat([window[0] for window, _ in windows], dim=1)
    assert num_frames.tolist() == [50 + 50 + 13, 16]
    torch.testing.assert_close(states[0], expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("part", PARTS)
def test_a_full_window_gives_what_transformers_gives(tmp_path, part):
    model = save_whisper(tmp_path, part)
    (clip,) = make_clips(16_000)
    states, _ = load_speech_encoder(str(tmp_path))(*stack([clip]))
    for layer, expected in zip(states[0], encode_as_transformers(model, clip), strict=True):
        torch.testing.assert_close(layer, expected)


def test_padded_windows_give_what_transformers_gives(tmp_path):
    model = save_whisper(tmp_path)
    clips = make_clips(8_000, 5_001)
    together, num_frames = load_speech_encoder(f"padded:{tmp_path}")(*stack(clips))
    assert num_frames.tolist() == [25, 16]
    for clip, states, count in zip(clips, together, num_frames, strict=True):
        for layer, expected in zip(states, encode_as_transformers(model, clip), strict=True):
            torch.testing.assert_close(layer[:count], expected[:count])


def test_only_the_frames_of_the_clip_are_computed(folder):
    sizes = []
    whisper = load_speech_encoder(folder)
    assert isinstance(whisper, WhisperEncoder)
    whisper.model.layers[0].register_forward_hook(lambda _, x, y: sizes.append(x[0].size(1)))
    whisper(*stack(make_clips(4_800, 3_200)))
    assert sizes == [15]


def test_log_mel_is_that_of_the_padded_clip_before_the_silence():
    (clip,) = make_clips(8_000)
    expected = WhisperFeatureExtractor()(
        clip.numpy(), sampling_rate=SAMPLE_RATE, return_tensors="pt"
    ).input_features
    spectra = log_mel(clip[None], torch.tensor([50]), 80, 480_000)
    torch.testing.assert_close(spectra, expected[..., :50], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hop_length": 320}, "hop_length 320, the model expects 160"),
        ({"feature_size": 128}, "feature_size 128, the model expects 80"),
        ({"sampling_rate": 8_000}, "expects speech at 8000 Hz"),
    ],
)
def test_another_front_end_is_refused(folder, change, message):
    file = Path(folder) / "preprocessor_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(ValueError, match=message):
        load_speech_encoder(folder)


def test_an_encoder_alone_is_read_with_the_spectra_of_every_whisper(folder, capsys):
    waveforms, lengths = stack(make_clips(8_000))
    expected, _ = load_speech_encoder(folder)(waveforms, lengths)
    (Path(folder) / "preprocessor_config.json").unlink()
    found, _ = load_speech_encoder(folder)(waveforms, lengths)
    torch.testing.assert_close(found, expected)
    assert f"note: {folder} has no preprocessor_config.json; its spectra" in capsys.readouterr().out


def test_the_padded_encoder_has_an_identity_of_its_own_and_is_not_trained(folder):
    padded = load_speech_encoder(f"padded:{folder}")
    assert padded.identity != load_speech_encoder(folder).identity
    with pytest.raises(ValueError, match=r"cannot be trained; .*Whisper \(not padded\)"):
        load_tunable(f"padded:{folder}")
