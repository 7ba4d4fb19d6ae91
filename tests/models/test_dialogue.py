"""Dialogue models: causal, indifferent to padding and batch-mates, faithful to roles."""

import pytest
import torch

from conversation_emotion.datasets.windows import INTERLOCUTOR, PADDING, SPEAKER, SPECTATOR
from conversation_emotion.models.dialogue import (
    DIALOGUE_MODELS,
    RoleReader,
    last_state,
    read,
)
from conversation_emotion.models.packed_gru import pack, read_packed


@pytest.fixture(params=sorted(DIALOGUE_MODELS))
def dialogue(request):
    torch.manual_seed(0)
    return DIALOGUE_MODELS[request.param](5, 8, 2, 0.5).eval()


def roles_of(letters: str) -> torch.Tensor:
    known = {"S": SPEAKER, "I": INTERLOCUTOR, "x": SPECTATOR, "-": PADDING}
    return torch.tensor([[known[letter] for letter in letters]])


def test_state_ignores_later_utterances(dialogue):
    utterances, mask = torch.randn(1, 4, 5), torch.ones(1, 4, dtype=torch.bool)
    changed = utterances.clone()
    changed[:, 2:] += 10.0

    before = dialogue(utterances, mask, roles_of("SISI")).utterances
    after = dialogue(changed, mask, roles_of("SISI")).utterances

    torch.testing.assert_close(after[:, :2], before[:, :2])
    assert not torch.allclose(after[:, 2:], before[:, 2:])


def test_padding_and_batch_mates_change_nothing(dialogue):
    short, long = torch.randn(1, 2, 5), torch.randn(1, 6, 5)
    padded = torch.nn.functional.pad(short, (0, 0, 0, 4), value=99.0)
    mask = torch.tensor([[True] * 2 + [False] * 4, [True] * 6])
    roles = torch.cat([roles_of("SI----"), roles_of("SIxSIS")])

    together = dialogue(torch.cat([padded, long]), mask, roles)
    alone = dialogue(short, mask[:1, :2], roles_of("SI"))

    torch.testing.assert_close(together.summary[:1], alone.summary)
    torch.testing.assert_close(together.utterances[:1, :2], alone.utterances)
    assert (together.utterances[0, 2:] == 0).all()


def test_the_summary_depends_on_the_latest_utterance(dialogue):
    utterances, mask = torch.randn(1, 3, 5), torch.ones(1, 3, dtype=torch.bool)
    changed = utterances.clone()
    changed[:, -1] += 1.0
    before, after = (dialogue(x, mask, roles_of("SIS")).summary for x in (utterances, changed))
    assert not torch.allclose(before, after)


def test_a_role_that_never_spoke_leaves_no_trace_and_no_nan(dialogue):
    utterances, mask = torch.randn(1, 2, 5), torch.ones(1, 2, dtype=torch.bool)
    summary = dialogue(utterances, mask, roles_of("II")).summary
    assert summary.isfinite().all()
    summary.sum().backward()
    gradients = [p.grad for p in dialogue.parameters() if p.grad is not None]
    assert all(gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize("name", ["hierarchical", "two-role"])
def test_swapping_the_roles_changes_the_summary(name):
    torch.manual_seed(0)
    model = DIALOGUE_MODELS[name](5, 8).eval()
    utterances, mask = torch.randn(1, 4, 5), torch.ones(1, 4, dtype=torch.bool)
    one, other = (model(utterances, mask, roles_of(r)).summary for r in ("SISI", "ISIS"))
    assert not torch.allclose(one, other)


def test_a_spectator_is_an_interlocutor_to_two_roles_only():
    torch.manual_seed(0)
    utterances, mask = torch.randn(1, 3, 5), torch.ones(1, 3, dtype=torch.bool)
    for name, alike in (("two-role", True), ("hierarchical", False)):
        model = DIALOGUE_MODELS[name](5, 8).eval()
        one, other = (model(utterances, mask, roles_of(r)).summary for r in ("SIx", "SII"))
        assert torch.allclose(one, other) == alike


def test_chosen_utterances_are_packed_step_by_step_the_longest_window_first():
    chosen = torch.tensor([[False, False, True, False], [False, True, False, True]])
    rows, sizes, places = pack(chosen)
    assert rows.tolist() == [5, 2, 7]  # of the eight utterances: step one of both, then step two
    assert list(sizes) == [2, 1]
    assert places.tolist() == [[1, PADDING], [0, 2]]


def test_a_role_is_the_mean_of_self_attention_over_its_states():
    torch.manual_seed(0)
    reader, states = RoleReader(4, 1, 0.0, attends=True), torch.randn(1, 3, 4)
    assert reader.attention is not None
    chosen = reader.gru(states[:, [0, 2]])[0]
    attended = torch.nn.functional.scaled_dot_product_attention(
        *reader.attention(chosen).chunk(3, dim=-1)
    )
    found = reader(states, torch.tensor([[True, False, True]]))
    torch.testing.assert_close(found, attended.mean(dim=1))


def test_dropout_between_layers_is_that_of_pytorch():
    gru = torch.nn.GRU(3, 4, num_layers=2, dropout=0.5, batch_first=True)
    states, chosen = torch.randn(3, 2, 3), torch.ones(3, 2, dtype=torch.bool)
    packed = torch.nn.utils.rnn.PackedSequence(
        states.transpose(0, 1).flatten(0, 1), torch.tensor([3, 3])
    )
    torch.manual_seed(0)
    expected = gru(packed)[0].data
    torch.manual_seed(0)
    packing = pack(chosen)
    assert packing.rows.tolist() == [0, 2, 4, 1, 3, 5]
    assert torch.equal(read_packed(gru, states, packing), expected)


def test_last_state_is_that_of_the_last_real_utterance():
    states = torch.arange(6.0).reshape(2, 3, 1)
    mask = torch.tensor([[True, True, False], [False, False, False]])
    assert last_state(states, mask).tolist() == [[1.0], [0.0]]


def test_packed_windows_are_read_as_padded_ones_with_the_same_gradients():
    torch.manual_seed(0)
    gru = torch.nn.GRU(3, 4, num_layers=2, batch_first=True).double()
    mask = torch.arange(5) < torch.tensor([3, 0, 5, 1, 5])[:, None]  # the second window is empty
    utterances = torch.randn(5, 5, 3, dtype=torch.double, requires_grad=True)
    inputs = [utterances, *gru.parameters()]
    packed, padded = read(gru, utterances, mask), gru(utterances)[0] * mask.unsqueeze(-1)
    torch.testing.assert_close(packed, padded)
    found, expected = (torch.autograd.grad(x.square().sum(), inputs) for x in (packed, padded))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)
    assert read(gru, utterances, torch.zeros_like(mask)).tolist() == torch.zeros(5, 5, 4).tolist()
