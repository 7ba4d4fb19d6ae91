"""Averaging weights against the average worked out by hand."""

import pytest
import torch

from conversation_emotion.training.checkpoints import average_weights, greedy_soup


def test_floats_are_averaged_and_integers_taken_from_the_first():
    first = {"w": torch.tensor([1.0, 4.0]), "steps": torch.tensor(7)}
    second = {"w": torch.tensor([2.0, 0.0]), "steps": torch.tensor(9)}
    third = {"w": torch.tensor([6.0, 2.0]), "steps": torch.tensor(1)}
    averaged = average_weights([first, second, third])
    assert averaged["w"].tolist() == [3.0, 2.0]
    assert averaged["w"].dtype == torch.float32
    assert averaged["steps"].item() == 7


def test_half_precision_is_summed_in_double():
    # 2049 is no float16: a sum in half precision would lose the 1.
    big = {"w": torch.tensor([2048.0], dtype=torch.float16)}
    one = {"w": torch.tensor([2.0], dtype=torch.float16)}
    assert average_weights([big, one])["w"].item() == 1025.0


def test_checkpoints_of_different_models_do_not_mix():
    with pytest.raises(ValueError, match=r"checkpoints 0 and 1 differ in \['a', 'b'\]"):
        average_weights([{"a": torch.zeros(1)}, {"b": torch.zeros(1)}])


def test_nothing_cannot_be_averaged():
    with pytest.raises(ValueError, match="nothing to average"):
        average_weights([])


def test_a_greedy_soup_leaves_out_what_lowers_the_score():
    checkpoints = [{"w": torch.tensor([value])} for value in (1.0, 9.0, 3.0)]
    soup = greedy_soup(checkpoints, lambda weights: -abs(float(weights["w"]) - 2.0))
    assert soup["w"].item() == 2.0  # the mean of the first and the last


def test_a_greedy_soup_takes_a_checkpoint_that_changes_nothing():
    checkpoints = [{"w": torch.tensor([value])} for value in (1.0, 3.0)]
    assert greedy_soup(checkpoints, lambda weights: 0.5)["w"].item() == 2.0
