"""Adaptation of a model: by hand, folded into weights, and for every kind of network."""

import copy
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from conversation_emotion.datasets.batches import ModalityArrays, WindowLoader
from conversation_emotion.datasets.windows import build_windows
from conversation_emotion.models.adaptation import (
    adapt_classes,
    adapt_low_rank,
    adapt_weights,
    fit_classes,
)
from conversation_emotion.models.committees import DeepEnsemble
from conversation_emotion.models.conversation import Outputs
from tests.conversations import SIZE, make_dialogues, make_features, make_model
from tests.models.test_committees import Linear


class Turns(NamedTuple):
    """Inputs (N, 8) with their targets (N,), in place of a batch."""

    inputs: Tensor
    targets: Tensor


class Reader(nn.Module):
    """A linear map of the inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.head = Linear().head

    def forward(self, batch: Turns) -> Outputs:
        return Outputs(self.head(batch.inputs), None, None)


def adapt(model: nn.Module, turns: Turns, how: Callable[..., dict[str, Tensor]], **given: Any):
    return how(model, cast(Any, [turns]), **given)


def make_turns(shift: float) -> Turns:
    """Turns that `Reader` would tell apart, but for a shift of its first class."""
    inputs = torch.randn(40, 8, generator=torch.Generator().manual_seed(1))
    logits = Linear().eval()(inputs).logits.detach()
    return Turns(inputs, (logits + torch.tensor([shift, 0.0, 0.0])).argmax(-1))


def predict(model: nn.Module, weights: dict[str, Tensor], turns: Turns) -> Tensor:
    moved = copy.deepcopy(model)
    moved.load_state_dict(weights)
    return moved(turns).logits.detach()


def share_right(logits: Tensor, turns: Turns) -> float:
    return float((logits.argmax(-1) == turns.targets).float().mean())


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_biases_are_where_the_turns_and_the_prior_pull_alike(temperature):
    # Two turns of each of two classes, of which the model prefers the second by 1: the likelihood
    # pulls by 2 - 4 p at p = sigmoid(2 b - 1), the prior by 2 b.
    scale, biases = fit_classes(
        temperature * torch.tensor([[[0.0, 1.0]] * 4], dtype=torch.float64),
        torch.tensor([0, 1, 0, 1]),
        temperature,
        bias_prior=2.0,
        scale_prior=1e6,
    )
    assert scale == pytest.approx(1.0, abs=1e-4)
    assert biases[0] == pytest.approx(-biases[1])
    assert 2 - 4 / (1 + np.exp(1 - 2 * biases[0])) == pytest.approx(2 * biases[0], abs=1e-4)


def test_how_often_a_class_occurs_and_classes_without_turns_teach_nothing():
    flat = torch.zeros(1, 5, 3, dtype=torch.float64)
    assert fit_classes(flat, torch.tensor([0, 1, 1, 1, 1]))[1] == pytest.approx(0, abs=1e-5)
    steep = torch.tensor([[[0.0, 0.0, 9.0]] * 5], dtype=torch.float64)
    assert fit_classes(steep, torch.tensor([0, 1, 1, 1, 1]))[1] == pytest.approx(0, abs=1e-5)
    assert fit_classes(steep, torch.zeros(5, dtype=torch.long))[1] == pytest.approx(0, abs=1e-5)
    model, turns = Reader().eval(), make_turns(shift=0.5)
    alone = turns._replace(targets=torch.ones(40, dtype=torch.long))
    kept = adapt(model, alone, adapt_low_rank, temperature=1.0)
    torch.testing.assert_close(kept["head.weight"], model.head.weight.detach())


def test_a_scale_grows_where_all_turns_are_right_and_stays_positive_where_all_are_wrong():
    logits = 2 * torch.eye(3, dtype=torch.float64)[None].repeat(1, 4, 1)
    right, wrong = torch.arange(12) % 3, (torch.arange(12) + 1) % 3
    fit = partial(fit_classes, logits, scale_prior=0.1, bias_prior=1e6)
    assert fit(right)[0] > 1.5
    assert fit(wrong)[0] == pytest.approx(0.05)


def test_scale_and_biases_are_folded_into_the_head_at_the_temperature():
    model, turns = Reader().eval(), make_turns(shift=0.5)
    before = model(turns).logits.detach()
    after = predict(
        model, adapt(model, turns, adapt_weights, temperature=0.5, method="classes"), turns
    )
    scale, biases = fit_classes(before[None].double(), turns.targets, 0.5)
    torch.testing.assert_close(after, (scale * before + 0.5 * torch.from_numpy(biases)).float())
    assert share_right(after, turns) > share_right(before, turns) + 0.1
    torch.testing.assert_close(model(turns).logits.detach(), before)


@pytest.mark.parametrize("method", ["classes", "lora"])
def test_all_members_of_an_ensemble_are_adapted_to_what_their_mean_predicts(method):
    model, turns = DeepEnsemble([Reader(), Reader()]).eval(), make_turns(shift=0.5)
    joint = predict(
        model, adapt(model, turns, adapt_weights, temperature=1.0, method=method), turns
    )
    assert share_right(joint, turns) > share_right(model(turns).logits, turns) + 0.1
    if method == "classes":  # the mean of two that are equal is one of them
        alone = Reader().eval()
        single = predict(
            alone, adapt(alone, turns, adapt_weights, temperature=1.0, method=method), turns
        )
        torch.testing.assert_close(joint.softmax(-1), single.softmax(-1), atol=1e-4, rtol=0)


def test_low_rank_updates_are_that_and_the_same_each_time():
    model, turns = Reader().eval(), make_turns(shift=0.5)
    first = adapt(model, turns, adapt_low_rank, temperature=1.0, rank=1, prior=0.1)
    again = adapt(model, turns, adapt_low_rank, temperature=1.0, rank=1, prior=0.1)
    torch.testing.assert_close(first, again)
    update = first["head.weight"] - model.head.weight.detach()
    assert int(torch.linalg.matrix_rank(update, rtol=1e-4)) == 1
    near = adapt(model, turns, adapt_low_rank, temperature=1.0, rank=1, prior=1e6)
    torch.testing.assert_close(near["head.weight"], model.head.weight.detach(), atol=1e-3, rtol=0)
    found, kept = (share_right(predict(model, one, turns), turns) for one in (first, near))
    assert found > kept


@pytest.mark.parametrize("how", [adapt_classes, adapt_low_rank])
@pytest.mark.parametrize("fusion", ["late", "cross-attention"])
def test_models_of_conversations_are_adapted_in_the_same_way(how, fusion):
    table, classes = make_dialogues(6, 4), np.arange(24) % 2
    generator = np.random.default_rng(0)
    arrays = {
        name: ModalityArrays(make_features(generator.normal(size=(24, SIZE))), name)
        for name in ("speech", "text")
    }
    model = make_model(arrays, np.arange(24), fusion=fusion).eval()
    windows = build_windows(table, classes, history=3, horizon=0)
    batches = list(WindowLoader(windows, arrays, classes, batch_size=8))

    def lose() -> float:
        with torch.no_grad():
            lost = [nn.functional.cross_entropy(model(b).logits, b.targets) for b in batches]
        return float(torch.stack(lost).mean())

    with torch.no_grad():  # a preference that the turns contradict
        model.head.bias.add_(torch.tensor([0.0, 2.0]))
    before = lose()
    model.load_state_dict(how(model, batches, 1.0))
    assert lose() < before - 0.1
