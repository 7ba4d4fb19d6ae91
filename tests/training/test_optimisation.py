"""Step sizes over the epochs, and over the layers of an encoder."""

import pytest
import torch
from torch import nn

from conversation_emotion.models.fine_tuned import EncoderModel
from conversation_emotion.settings.training import FineTuningSettings, FitSettings
from conversation_emotion.training.optimisation import OPTIMIZERS, EpochSchedule, layered_groups
from tests.small_tasks import TwoBlocks


def step_sizes(settings: FitSettings) -> list[float]:
    """Step size of each of 21 epochs."""
    sizes: list[float] = []
    schedule = EpochSchedule(nn.Linear(1, 2), settings)
    for _ in range(21):
        sizes.append(schedule.optimizer.param_groups[0]["lr"])
        schedule.optimizer.step()
        schedule.end_epoch()
    return sizes


@pytest.mark.parametrize("optimizer", ["adamw", "rmsprop"])
def test_the_cyclic_step_size_rises_to_twice_and_falls_again_in_ten_epochs_each(optimizer):
    sizes = step_sizes(
        FitSettings(epochs=21, learning_rate=0.5, schedule="cyclic", optimizer=optimizer)
    )
    assert (sizes[0], sizes[5], sizes[10], sizes[20]) == pytest.approx((0.5, 0.75, 1.0, 0.5))


@pytest.mark.parametrize("length", [{"epochs": 21}, {"updates": 61, "evaluate_every": 3}])
def test_the_cosine_step_size_falls_to_nothing_over_the_whole_training(length):
    sizes = step_sizes(FitSettings(**length, learning_rate=0.5, schedule="cosine"))
    assert sizes[0] == 0.5
    assert sizes == sorted(sizes, reverse=True)
    assert (sizes[7], sizes[20]) == pytest.approx((0.375, 0.0028), abs=1e-4)


def test_a_constant_step_size_stays():
    assert set(step_sizes(FitSettings(learning_rate=0.5))) == {0.5}


def test_step_sizes_fall_from_the_heads_to_the_front():
    model = EncoderModel(TwoBlocks(), 2)
    settings = FineTuningSettings(
        learning_rate=0.1, head_learning_rate=0.5, layer_decay=0.5, weight_decay=0.01
    )
    groups = layered_groups(model, 2, settings)
    rates = {
        id(parameter): group["lr"]
        for group in groups
        for parameter in group["params"]  # type: ignore[attr-defined]
    }
    by_name = {name: rates[id(parameter)] for name, parameter in model.named_parameters()}
    assert by_name["head.weight"] == by_name["head.bias"] == 0.5
    assert by_name["encoder.blocks.1.up.weight"] == 0.1
    assert by_name["encoder.blocks.0.up.weight"] == 0.05
    assert by_name["encoder.front.bias"] == 0.025
    assert {group["weight_decay"] for group in groups if group["lr"] == 0.5} == {0.0, 0.01}


@pytest.mark.parametrize(
    ("name", "kind", "options"),
    [
        ("adamw", torch.optim.AdamW, {}),
        ("adam", torch.optim.Adam, {}),
        ("rmsprop", torch.optim.RMSprop, {"momentum": 0.9}),
    ],
)
def test_an_optimizer_without_dynamo_takes_the_steps_of_pytorch(name, kind, options):
    weights = [nn.Parameter(torch.arange(1.0, 4.0)) for _ in range(2)]
    for one, make in zip(weights, (OPTIMIZERS[name], kind), strict=True):
        own = options if make is kind else {}
        optimizer = make([one], lr=0.1, weight_decay=0.5, **own)
        optimizer.load_state_dict(optimizer.state_dict())
        for _ in range(3):
            optimizer.zero_grad()
            one.square().sum().backward()
            optimizer.step()
    torch.testing.assert_close(weights[0], weights[1])
