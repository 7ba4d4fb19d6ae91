"""How modalities become one vector: gates by hand, attention that never looks ahead."""

import pytest
import torch

from conversation_emotion.datasets.windows import PADDING
from conversation_emotion.models.fusion import (
    JOINS,
    CrossAttention,
    GatedFusion,
    partition_modalities,
)

PLACES = torch.tensor([[0, 1, 2], [3, PADDING, PADDING]])
"""Two windows, of three utterances and of one."""

MASK = PLACES != PADDING


def states_of(*sizes: int) -> list[torch.Tensor]:
    torch.manual_seed(0)
    return [torch.randn(int(MASK.sum()), size) for size in sizes]


def test_only_late_fusion_keeps_modalities_apart():
    for fusion in JOINS:
        met = partition_modalities(("speech", "text"), fusion)  # type: ignore[arg-type]
        assert met == ([("speech",), ("text",)] if fusion == "late" else [("speech", "text")])


@torch.inference_mode()
def test_gates_weigh_the_modalities_unit_by_unit():
    fusion = GatedFusion((3, 2), size=2, dropout=0.0)
    fusion.gates.weight.zero_()
    # Speech alone in the first unit, three parts of text to one of speech in the second.
    fusion.gates.bias.copy_(torch.tensor([100.0, 0.0, 0.0, torch.tensor(3.0).log()]))
    speech, text = states_of(3, 2)
    one, other = fusion.projections[0](speech), fusion.projections[1](text)
    fused = fusion([speech, text], PLACES)[MASK]
    torch.testing.assert_close(fused[:, 0], one[:, 0])
    torch.testing.assert_close(fused[:, 1], 0.25 * one[:, 1] + 0.75 * other[:, 1])


@torch.inference_mode()
def test_attention_across_modalities_never_looks_ahead_nor_into_another_window():
    torch.manual_seed(0)
    fusion = CrossAttention((3, 2), size=8, dropout=0.0).eval()
    speech, text = states_of(3, 2)
    before = fusion([speech, text], PLACES)[MASK]
    changed = text.clone()
    changed[1] += 5.0  # the second of the three utterances of the first window
    differs = (fusion([speech, changed], PLACES)[MASK] - before).abs().amax(dim=-1) > 1e-6
    assert differs.tolist() == [False, True, True, False]


@torch.inference_mode()
def test_attention_across_modalities_asks_every_other_modality_and_not_itself():
    torch.manual_seed(0)
    fusion = CrossAttention((3, 2), size=8, dropout=0.0).eval()
    fusion.register_module("projection", torch.nn.Identity())
    speech, text = states_of(3, 2)
    # What became of speech and of text, where the values of both attentions are switched off.
    values = {
        name: fusion.get_parameter(f"attentions.{name}.in_proj_weight")[16:]
        for name in ("0_to_1", "1_to_0")
    }
    for weights in values.values():
        weights.zero_()
    own = fusion([speech, text], PLACES)[MASK]
    values["0_to_1"].fill_(0.1)
    given = fusion([speech, text], PLACES)[MASK]
    louder = fusion([speech, text + 1], PLACES)[MASK]
    assert not torch.allclose(given[:, :8], own[:, :8])  # speech was given text
    assert not torch.allclose(louder[:, :8], given[:, :8])
    torch.testing.assert_close(given[:, 8:], own[:, 8:])  # and text nothing
    assert list(CrossAttention((3, 2, 4), 8, 0.0).attentions) == [
        f"{query}_to_{key}" for query in range(3) for key in range(3) if query != key
    ]


@pytest.mark.parametrize("fusion", ["early", "gated", "cross-attention"])
@torch.inference_mode()
def test_every_modality_is_used(fusion):
    torch.manual_seed(0)
    join = JOINS[fusion]((3, 2), 8, 0.0).eval()
    speech, text = states_of(3, 2)
    before = join([speech, text], PLACES)
    for other in ([speech + 1, text], [speech, text + 1]):
        assert not torch.allclose(join(other, PLACES), before)


@pytest.mark.parametrize("size", [6, 7, 8])
def test_attention_takes_any_size(size):
    join = CrossAttention((3,), size, 0.0)
    assert join(states_of(3), PLACES).shape == (2, 3, size)


@pytest.mark.parametrize("fusion", ["early", "gated", "cross-attention"])
def test_windows_may_share_an_utterance_and_padding_stays_zero(fusion):
    torch.manual_seed(0)
    join = JOINS[fusion]((3, 2), 8, 0.0).eval()
    speech, text = states_of(3, 2)
    shared = torch.tensor([[0, 1, 2], [0, PADDING, PADDING]])
    placed = join([speech, text], shared)
    copied = join([one[[0, 1, 2, 0]] for one in (speech, text)], PLACES)
    torch.testing.assert_close(placed, copied)
    assert (placed[1, 1:] == 0).all()
    placed.sum().backward()
    gradients = [weights.grad for weights in join.parameters()]
    join.zero_grad()
    join([one[[0, 1, 2, 0]] for one in (speech, text)], PLACES).sum().backward()
    for one, weights in zip(gradients, join.parameters(), strict=True):
        torch.testing.assert_close(one, weights.grad)
