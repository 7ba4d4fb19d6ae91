"""emotion2vec's encoder: FunASR's numbers, sizes, padding, front end, states, training."""

import pytest
import torch

from speech_encoders.emotion2vec import (
    Emotion2vecConfig,
    Emotion2vecForPreTraining,
    Emotion2vecModel,
    frame_times,
)
from speech_encoders.emotion2vec import front_end as front_end_module
from speech_encoders.emotion2vec.modeling import mean_frames
from speech_encoders.emotion2vec.released import read_released
from tests.emotion2vec_models import STORED, make_model, normalise


@pytest.fixture
def model() -> Emotion2vecModel:
    return make_model()


@torch.no_grad()
def test_every_stage_of_the_stored_model_is_that_of_funasr():
    stages = torch.load(STORED / "stages.pt", weights_only=True)
    released = read_released(STORED / "released.pt")
    encoder, waveform = released.encoder, stages["waveform"]
    clip = normalise(waveform)[None]
    projected = encoder.front_end(clip)
    output = encoder(clip)
    encoded = encoder.encode(projected + encoder.positional(projected), with_feed_forward=True)
    layers = [layer[0, encoder.config.num_extra_tokens :] for layer in encoded.feed_forward]
    actual = {
        "convolved": encoder.front_end.extract(clip)[0],
        "projected": projected[0],
        "positional": encoder.positional(projected)[0],
        "frames": output.last_hidden_state[0],
        "utterance": mean_frames(output.last_hidden_state, output.frame_mask)[0],
        "tokens": output.extra_tokens[0],
        "feed_forward_0": layers[1],  # after the one prenet block
        "feed_forward_1": layers[2],
    }
    assert stages.keys() - actual.keys() == {"waveform", "targets", "predictions"}
    for stage, tensor in actual.items():
        torch.testing.assert_close(tensor, stages[stage], atol=1e-4, rtol=0, msg=stage)


@pytest.mark.parametrize(
    ("size", "encoder", "decoder"),
    [
        # As published without and with the decoder: 93,171,212 and 93,790,988.
        ("base", 93_171_212, 619_776),
        # Summed by hand: front end 4,206,592 and 526,336; positions 6,231,040; norm 2,048; blocks
        # 12 * 12,596,224; tokens and scale 10,256. Decoder 172,416, 3 * 64,896 and 394,240.
        ("large", 162_130_960, 761_344),
        # 1,054,720 and 66,304; 390,400; 512; 8 * 789,760; 2,564. 14,464, 3 * 7,296 and 33,024.
        ("mini", 7_832_580, 69_376),
    ],
)
def test_the_sizes_have_the_parameters_they_are_known_for(size, encoder, decoder):
    with torch.device("meta"):
        model = Emotion2vecForPreTraining(Emotion2vecConfig.of_size(size))
    count = {
        name: sum(p.numel() for p in part.parameters()) for name, part in model.named_children()
    }
    assert count == {"emotion2vec": encoder, "decoder": decoder}


def test_an_unknown_size_is_refused():
    with pytest.raises(ValueError, match="no size 'huge'; choose one of mini, base, large"):
        Emotion2vecConfig.of_size("huge")  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_attention_heads": 7}, "num_attention_heads must divide hidden_size 768, got 7"),
        ({"conv_pos_groups": 5}, "conv_pos_groups must divide hidden_size 768, got 5"),
        ({"decoder_groups": 9}, "decoder_groups must divide decoder_dim 384, got 9"),
        ({"conv_pos_kernel": 18}, "conv_pos_kernel must be odd, got 18"),
        ({"decoder_kernel": 4}, "decoder_kernel must be odd, got 4"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Emotion2vecConfig(**settings)


@torch.no_grad()
def test_a_clip_is_the_same_alone_and_in_a_padded_batch(model):
    lengths = [16_000, 9_001, 400, 12_345]
    clips = torch.randn(4, 16_000)
    mask = torch.arange(16_000) < torch.tensor(lengths)[:, None]
    together = model(clips.masked_fill(~mask, torch.nan), mask.long(), output_hidden_states=True)
    for row, length in enumerate(lengths):
        alone = model(clips[row : row + 1, :length], output_hidden_states=True)
        count = (length - 400) // 320 + 1
        assert together.frame_mask[row].sum() == count == alone.frame_mask.sum()
        for batched, single in zip(together.hidden_states, alone.hidden_states, strict=True):
            torch.testing.assert_close(batched[row, :count], single[0], atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_frames_come_with_their_mask(model):
    mask = torch.arange(1_400) < torch.tensor([[1_400], [1_039]])
    output = model(torch.randn(2, 1_400), mask)
    # Of 1,400 samples the frames begin at 0, 320, 640, 960; the last of 1,039 needs 1,040.
    assert output.frame_mask.tolist() == [[True, True, True, True], [True, True, False, False]]


def test_the_time_of_a_frame_is_that_of_its_middle():
    # Frames begin every 320 samples at 16 kHz; their middles are 200 samples later.
    assert frame_times(4).tolist() == pytest.approx([0.0125, 0.0325, 0.0525, 0.0725])


@torch.no_grad()
def test_the_front_end_reads_a_long_clip_in_pieces_without_a_trace(model, monkeypatch):
    clips = torch.randn(2, 20_000)
    whole = model.front_end(clips)
    monkeypatch.setattr(front_end_module, "_CHUNK_FRAMES", 7)
    torch.testing.assert_close(model.front_end(clips), whole, atol=1e-5, rtol=1e-5)


def test_the_front_end_is_the_published_stack_of_convolutions(model):
    waveform = torch.randn(1, 5_000)
    frames = waveform[:, None]
    kernels, strides = (10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2)
    front_end = model.front_end
    for layer, (kernel, stride) in enumerate(zip(kernels, strides, strict=True)):
        weight = front_end.convolutions[layer].weight.unflatten(1, (kernel, -1)).transpose(1, 2)
        frames = torch.nn.functional.conv1d(frames, weight, stride=stride)
        frames = front_end.norms[layer](frames.transpose(1, 2)).transpose(1, 2)
        frames = torch.nn.functional.gelu(frames)
    torch.testing.assert_close(front_end.extract(waveform), frames.transpose(1, 2))


def test_the_front_end_learns_through_the_same_function(model):
    clips = torch.randn(2, 2_000)
    with torch.no_grad():
        inferred = model.front_end(clips)
    torch.testing.assert_close(model.front_end(clips), inferred)


def test_a_clip_without_a_frame_is_refused(model):
    with pytest.raises(ValueError, match="a clip has 399 samples, expected 400 or more"):
        model(torch.zeros(1, 399))
    mask = torch.arange(800) < torch.tensor([[800], [399]])
    with pytest.raises(ValueError, match="a clip has 399 samples, expected 400 or more"):
        model(torch.zeros(2, 800), mask)


def test_padding_on_the_left_is_refused():
    with pytest.raises(ValueError, match="padding before real samples; pad clips on the right"):
        front_end_module.FRAMING.mask(torch.arange(800)[None] >= 100)


@torch.no_grad()
def test_states_lead_to_the_output_block_by_block(model):
    output = model(torch.randn(1, 3_200), output_hidden_states=True)
    assert len(output.hidden_states) == 4
    torch.testing.assert_close(output.hidden_states[-1], output.last_hidden_state)
    assert model(torch.randn(1, 3_200)).hidden_states is None
    assert isinstance(model(torch.randn(1, 3_200), return_dict=False), tuple)


def test_a_block_that_layerdrop_leaves_out_changes_nothing(model):
    model.encoder.layerdrop = 1.0
    model.encoder.dropout.p = 0.0
    frames, choices = torch.randn(1, 9, 32), {"with_states": True, "with_feed_forward": True}
    outputs = model.train().encode(frames, **choices)
    assert outputs.feed_forward == ()
    torch.testing.assert_close(outputs.states[0], outputs.last)
    assert len(model.eval().encode(frames, **choices).feed_forward) == 3


def test_training_is_noisy_and_reaches_every_weight(model):
    model.encoder.layerdrop = 0.0
    clip = torch.randn(2, 3_200)
    first, second = (model.train()(clip).last_hidden_state for _ in range(2))
    assert not torch.allclose(first, second)
    (first * torch.randn_like(first)).sum().backward()
    assert [name for name, p in model.named_parameters() if not p.grad.abs().sum()] == []


def test_a_fresh_model_begins_as_published():
    torch.manual_seed(0)
    model = Emotion2vecModel(Emotion2vecConfig.of_size("mini"))
    assert model.alibi_scale.tolist() == [1.0] * 4
    assert not model.extra_tokens[0].any()
    assert model.extra_tokens[1:].std().item() == pytest.approx(1.0, rel=0.1)
    assert not model.get_parameter("encoder.blocks.0.up.bias").any()
    deviations = {
        "encoder.blocks.0.up.weight": 0.02,
        # Kaiming for 256 channels and a kernel of 3.
        "front_end.convolutions.1.weight": (2 / 768) ** 0.5,
        # PyTorch's own: uniform between -1 and 1 over the root of 256 inputs.
        "front_end.projection.weight": (1 / 3 / 256) ** 0.5,
        "front_end.projection.bias": (1 / 3 / 256) ** 0.5,
    }
    for name, deviation in deviations.items():
        assert model.get_parameter(name).std().item() == pytest.approx(deviation, rel=0.1), name


def test_a_fresh_decoder_begins_as_published():
    torch.manual_seed(0)
    model = Emotion2vecForPreTraining(Emotion2vecConfig.of_size("mini"))
    deviation = (1 / 3 / 128) ** 0.5
    projection = model.decoder.projection
    assert projection.weight.std().item() == pytest.approx(deviation, rel=0.05)
    assert projection.bias.std().item() == pytest.approx(deviation, rel=0.15)
