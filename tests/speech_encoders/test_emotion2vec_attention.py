"""emotion2vec's attention: ALiBi by hand, positions of frames, and the two ways to compute it."""

import pytest
import torch
from torch.nn.attention.flex_attention import flex_attention

from speech_encoders.emotion2vec import Emotion2vecModel, blocks
from speech_encoders.emotion2vec.blocks import Alibi, alibi_slopes, choose_attention
from tests.emotion2vec_models import make_model

SLOPES = torch.tensor([0.5, 0.1, -1.0, 0.02])


@pytest.fixture
def model() -> Emotion2vecModel:
    return make_model()


@pytest.mark.parametrize(
    ("num_heads", "exponents"),
    [
        (4, [2, 4, 6, 8]),
        (12, [1, 2, 3, 4, 5, 6, 7, 8, 0.5, 1.5, 2.5, 3.5]),
        (16, [0.5 * head for head in range(1, 17)]),
    ],
)
def test_slopes_are_the_published_series(num_heads, exponents):
    assert alibi_slopes(num_heads).tolist() == pytest.approx([2.0**-e for e in exponents])


def test_the_bias_falls_with_distance_and_spares_the_tokens():
    mask = torch.tensor([[True, True, False]])
    alibi = Alibi(torch.tensor([[0, 3, 4]]), torch.tensor([0.5, -1.0]), 1, mask)
    bias = alibi.tensor(torch.float32)
    no = -torch.inf
    expected = [[0, 0, 0, no], [0, 0, -1.5, no], [0, -1.5, 0, no], [0, -2, -0.5, no]]
    assert bias[0, 0].tolist() == expected
    assert bias[0, 1, :, :3].abs().sum() == 0  # a slope below 0 counts as 0
    assert bias.shape == (1, 2, 4, 4)


@torch.no_grad()
def test_frames_are_encoded_by_the_positions_they_are_given(model):
    frames = torch.randn(1, 6, 32)
    close = model.encode(frames).last
    shifted = model.encode(frames, positions=torch.arange(100, 106)).last
    spread = model.encode(frames, positions=7 * torch.arange(6)[None]).last
    torch.testing.assert_close(close, shifted)  # only distances count
    assert not torch.allclose(close, spread, atol=1e-3)


def make_alibi(positions: torch.Tensor, lengths: list[int] | None) -> Alibi:
    mask = None
    if lengths is not None:
        mask = torch.arange(positions.size(1)) < torch.tensor(lengths)[:, None]
    return Alibi(positions, SLOPES, num_extra_tokens=2, mask=mask)


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("lengths", [None, [5, 2]])
@pytest.mark.parametrize("positions", [[[0, 1, 4, 5, 9]], [[0, 1, 4, 5, 9], [2, 3, 4, 7, 8]]])
def test_flex_attention_computes_what_the_bias_tensor_holds(monkeypatch, positions, lengths):
    monkeypatch.setattr(blocks, "_compiled_flex_attention", lambda: flex_attention)
    torch.manual_seed(0)
    query, key, value = torch.randn(3, 2, 4, 7, 16)
    alibi = make_alibi(torch.tensor(positions), lengths)
    with torch.inference_mode():
        flexible, by_bias = (
            choose_attention(alibi, torch.float32, use_flex=use_flex, training=False)
            for use_flex in (True, False)
        )
        assert flexible.bias is None
        actual = flexible(query, key, value, dropout=0.0)
        expected = by_bias(query, key, value, dropout=0.0)
    torch.testing.assert_close(actual, expected, atol=1e-6, rtol=1e-5)


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@torch.no_grad()
def test_a_model_with_flex_attention_gives_the_same_frames(model, monkeypatch):
    monkeypatch.setattr(blocks, "_compiled_flex_attention", lambda: flex_attention)
    clips, mask = torch.randn(2, 4_000), torch.arange(4_000) < torch.tensor([[4_000], [2_500]])
    expected = model(clips, mask)
    model.config._attn_implementation = "flex_attention"
    with monkeypatch.context() as without_bias:
        without_bias.delattr(Alibi, "tensor")
        actual = model(clips, mask)
    for row, count in enumerate(mask.sum(1).sub(80).div(320, rounding_mode="floor")):
        torch.testing.assert_close(
            actual.last_hidden_state[row, :count],
            expected.last_hidden_state[row, :count],
            atol=1e-5,
            rtol=1e-4,
        )


@pytest.mark.parametrize(("training", "gradients"), [(True, False), (False, True), (True, True)])
def test_dropout_and_gradients_stay_with_the_bias_tensor(training, gradients):
    alibi = make_alibi(torch.arange(3)[None], None)
    with torch.set_grad_enabled(gradients):
        attend = choose_attention(alibi, torch.float32, use_flex=True, training=training)
    assert attend.score_mod is None
    assert attend.bias is not None


@torch.no_grad()
def test_all_blocks_read_one_bias_tensor_that_a_batch_shares(model, monkeypatch):
    biases = []
    original = torch.nn.functional.scaled_dot_product_attention

    def record(*args: torch.Tensor, attn_mask: torch.Tensor, **kwargs: float) -> torch.Tensor:
        biases.append(attn_mask)
        return original(*args, attn_mask=attn_mask, **kwargs)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", record)
    for context in (torch.no_grad(), torch.autocast("cpu", torch.bfloat16)):
        biases.clear()
        with context:
            model(torch.randn(3, 3_280))
        # Ten frames after ten tokens, four heads; one tensor for three blocks and three clips.
        assert [bias.shape for bias in biases] == 3 * [(1, 4, 20, 20)]
        assert len({bias.data_ptr() for bias in biases}) == 1


@torch.no_grad()
def test_half_precision_still_separates_far_positions(model):
    # 1,500 and 1,501 are one number in bfloat16.
    frames, positions = torch.randn(1, 2, 32), torch.tensor([1_500, 1_501])
    near = model.encode(frames, positions=positions - 1_500).last
    far = model.bfloat16().encode(frames.bfloat16(), positions=positions).last
    near_in_half = model.encode(frames.bfloat16(), positions=positions - 1_500).last
    torch.testing.assert_close(far, near_in_half, atol=0, rtol=0)
    torch.testing.assert_close(far.float(), near, atol=0.1, rtol=0.1)
