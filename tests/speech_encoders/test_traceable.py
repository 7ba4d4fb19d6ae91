"""Encoders in the form that is exported: the same frames, whatever pads a clip."""

import pytest
import torch

from speech_encoders import load_speech_encoder
from speech_encoders.traceable import make_traceable
from tests.emotion2vec_models import make_model
from tests.speech_encoders.test_pretrained_speech import VARIANTS, make_clips, save_model, stack
from tests.speech_encoders.test_whisper import save_whisper

NAMED = ("emotion2vec", "fbank", "mfcc", "whisper")
EXPORTED = (*NAMED, *(name for name in VARIANTS if name.startswith(("wav2vec2", "hubert-"))))


def load(folder, name):
    """Loads an encoder with small random weights."""
    if name == "whisper":
        save_whisper(folder)
    elif name == "emotion2vec":
        make_model(num_hidden_layers=2).save_pretrained(folder)
    elif name in VARIANTS:
        save_model(folder, *VARIANTS[name])
    else:
        return load_speech_encoder(name)
    return load_speech_encoder(str(folder))


@pytest.mark.parametrize("name", [name for name in EXPORTED if "batch" not in name])
def test_an_encoder_to_export_gives_what_the_encoder_gives_of_each_clip_alone(tmp_path, name):
    encoder = load(tmp_path, name)
    traceable = make_traceable(encoder)
    clips = make_clips(6400, 5121, 3999)
    with torch.inference_mode():
        states, num_frames = traceable(*stack(clips, filling=torch.nan))
    for clip, found, count in zip(clips, states, num_frames.tolist(), strict=True):
        (expected,), (size,) = encoder(clip[None], torch.tensor([len(clip)]))
        assert count == size
        torch.testing.assert_close(found[:, :count], expected, rtol=1e-4, atol=2e-5)


def test_the_longest_clip_of_whisper_to_export_needs_no_mirror_at_its_end(tmp_path):
    encoder = load(tmp_path, "whisper")
    traceable = make_traceable(encoder)
    assert traceable.max_samples == 49 * 320  # of 50 frames
    (clip,) = make_clips(49 * 320)
    expected, _ = encoder(clip[None], torch.tensor([len(clip)]))
    with torch.inference_mode():
        found, _ = traceable(clip[None], torch.tensor([len(clip)]))
    torch.testing.assert_close(found[:, :, :49], expected, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("wavlm-layer", "model type wavlm is not exported; expected wav2vec2"),
        ("data2vec-audio", "model type data2vec-audio is not exported"),
        ("hubert-batch-norm", "model type hubert with a batch norm is not exported"),
        ("samples", "of the kind samples is not exported; expected whisper"),
    ],
)
def test_an_encoder_of_another_kind_is_refused(tmp_path, name, message):
    with pytest.raises(ValueError, match=message):
        make_traceable(load(tmp_path, name))


def test_whisper_on_whole_windows_is_refused(tmp_path):
    save_whisper(tmp_path)
    with pytest.raises(ValueError, match="windows of 30 s, padded:, is not exported"):
        make_traceable(load_speech_encoder(f"padded:{tmp_path}"))
