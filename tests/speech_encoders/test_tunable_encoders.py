"""Encoders to be trained against the frozen ones, which compute the same another way."""

import pytest
import torch
from torch import nn

from conversation_emotion.training.optimisation import block_number
from speech_encoders import load_speech_encoder
from speech_encoders.emotion2vec import Emotion2vecEncoder, Emotion2vecFeatureExtractor
from speech_encoders.tuning import TunableEmotion2vec, load_tunable
from tests.emotion2vec_models import make_model
from tests.speech_encoders.test_pretrained_speech import VARIANTS, make_clips, save_model, stack
from tests.speech_encoders.test_whisper import save_whisper

SIZES = (900, 1400, 650)
KINDS = [*VARIANTS, "emotion2vec", "whisper"]


@pytest.fixture
def save(tmp_path):
    """Saves a small model of a kind and returns its folder."""

    def save(kind: str) -> str:
        if kind == "emotion2vec":
            make_model().save_pretrained(tmp_path)
            Emotion2vecFeatureExtractor().save_pretrained(tmp_path)
        elif kind == "whisper":
            save_whisper(tmp_path, "whole")  # whose encoder has a prefix
        else:
            save_model(tmp_path, *VARIANTS[kind])
        return str(tmp_path)

    return save


def encode(encoder, waveforms, lengths):
    """Returns frames and their number as in training, in evaluation mode."""
    inputs, counts = encoder.reader(waveforms, lengths)
    with torch.no_grad():
        return encoder.eval()(inputs[:, 0], counts)


@pytest.mark.parametrize("trains_front_end", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_padded_clips_give_what_the_frozen_encoder_gives(kind, trains_front_end, save):
    folder = save(kind)
    waveforms, lengths = stack(make_clips(*SIZES), filling=9.0)
    expected, num_expected = load_speech_encoder(folder)(waveforms, lengths)
    tunable = load_tunable(folder, trains_front_end=trains_front_end)
    frames, num_frames = encode(tunable, waveforms, lengths)
    assert num_frames.tolist() == num_expected.tolist()
    for clip, count in enumerate(num_frames.tolist()):
        torch.testing.assert_close(
            frames[clip, :count], expected[clip, -1, :count], atol=2e-5, rtol=1e-4
        )


@pytest.mark.parametrize("kind", ["wav2vec2-group", "hubert-batch-norm", "emotion2vec", "whisper"])
def test_only_what_is_trained_has_gradients(kind, save):
    folder = save(kind)
    waveforms, lengths = stack(make_clips(*SIZES))
    for trains_front_end in (False, True):
        tunable = load_tunable(folder, trains_front_end=trains_front_end)
        assert isinstance(tunable, nn.Module)
        tunable.train()
        inputs, counts = tunable.reader(waveforms, lengths)
        frames, _ = tunable(inputs[:, 0].clone(), counts)
        frames.square().sum().backward()
        trained = {name for name, p in tunable.named_parameters() if p.grad is not None}
        convolutions = {name for name in trained if "conv" in name}
        convolutions = {name for name in convolutions if "pos" not in name}
        assert bool(convolutions) == trains_front_end
        assert any("layers.0" in name or "blocks.0" in name for name in trained)


def test_whisper_is_trained_on_clips_longer_than_its_window(save):
    folder = save("whisper")
    waveforms, lengths = stack(make_clips(36_000, 16_000, 700))
    expected, counts = load_speech_encoder(folder)(waveforms, lengths)
    tunable = load_tunable(folder)
    frames, num_frames = encode(tunable, waveforms, lengths)
    assert num_frames.tolist() == counts.tolist() == [113, 50, 3]
    for clip, count in enumerate(counts.tolist()):
        torch.testing.assert_close(
            frames[clip, :count], expected[clip, -1, :count], atol=2e-5, rtol=1e-4
        )


def test_batch_norms_keep_their_statistics_in_training(save):
    tunable = load_tunable(save("hubert-batch-norm"))
    assert isinstance(tunable, nn.Module)
    norms = [part for part in tunable.train().modules() if isinstance(part, nn.BatchNorm1d)]
    assert norms
    assert not any(norm.training for norm in norms)


@pytest.mark.parametrize("kind", ["wav2vec2-group", "wavlm-layer", "emotion2vec", "whisper"])
def test_a_saved_encoder_is_a_folder_that_gives_the_same(kind, save, tmp_path):
    tunable = load_tunable(save(kind))
    assert isinstance(tunable, nn.Module)
    with torch.no_grad():
        for parameter in tunable.parameters():
            parameter += 0.01
    waveforms, lengths = stack(make_clips(*SIZES))
    # The convolutions changed too, so their output is computed again.
    tunable.save(tmp_path / "tuned", {"tuned_on": {"corpus": "c"}})
    again = load_tunable(str(tmp_path / "tuned"))
    frozen = load_speech_encoder(str(tmp_path / "tuned"))
    frames, _ = encode(again, waveforms, lengths)
    original, _ = encode(tunable, waveforms, lengths)
    torch.testing.assert_close(frames, original)
    states, _ = frozen(waveforms, lengths)
    torch.testing.assert_close(frames[1], states[1, -1], atol=2e-5, rtol=1e-4)
    assert again.model.config.tuned_on == {"corpus": "c"}


def test_the_lowest_blocks_give_the_states_behind_them(save):
    folder = save("emotion2vec")
    waveforms, lengths = stack(make_clips(1400))
    expected, _ = load_speech_encoder(folder)(waveforms, lengths)
    tunable = load_tunable(folder)
    tunable.keep_blocks(2)
    frames, _ = encode(tunable, waveforms, lengths)
    torch.testing.assert_close(frames[0], expected[0, 2], atol=2e-5, rtol=1e-4)


def test_activations_computed_twice_give_the_same_gradients(save):
    inputs = torch.randn(2, 5, 16)
    gradients = []
    for twice in (False, True):
        model = make_model(layerdrop=0.0, hidden_dropout=0.0, attention_dropout=0.0)
        model.config.input_dropout = 0.0
        model.encoder.dropout.p = 0.0
        tunable = TunableEmotion2vec(Emotion2vecEncoder(model), trains_front_end=False).train()
        if twice:
            tunable.recompute_activations()
        frames, _ = tunable(inputs, torch.tensor([5, 3]))
        frames.square().sum().backward()
        found = model.encoder.blocks[0].get_parameter("up.weight").grad
        assert found is not None
        gradients.append(found)
    torch.testing.assert_close(gradients[0], gradients[1])


@pytest.mark.parametrize("kind", ["wav2vec2-group", "emotion2vec", "whisper"])
def test_the_identity_follows_the_weights_and_survives_a_folder(kind, save, tmp_path):
    tunable = load_tunable(save(kind))
    before = tunable.identity
    with torch.no_grad():
        next(tunable.model.parameters()).add_(1.0)
    assert tunable.identity != before
    tunable.save(tmp_path / "tuned", {})
    assert load_tunable(str(tmp_path / "tuned")).identity == tunable.identity


def test_an_encoder_without_weights_to_train_is_refused():
    with pytest.raises(ValueError, match="fbank: SpectralEncoder cannot be trained; choose"):
        load_tunable("fbank")


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("encoder.model.encoder.layers.3.attention.q_proj.weight", 4),
        ("encoder.model.encoder.layer.0.output.dense.bias", 1),
        ("encoder.model.encoder.blocks.11.up.weight", 12),
        ("encoder.model.feature_extractor.conv_layers.3.conv.weight", 0),
        ("head.weight", 0),
    ],
)
def test_the_block_of_a_weight_is_read_from_its_name(name, number):
    assert block_number(name) == number
