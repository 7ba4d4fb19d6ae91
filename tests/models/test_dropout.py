"""Dropout: its share, its scale, and nothing of it outside training."""

import pytest
import torch

from conversation_emotion.models.dropout import BitDropout


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_share_is_dropped_and_the_mean_stays(share):
    torch.manual_seed(0)
    ones = torch.ones(301, 333, requires_grad=True)
    dropped = BitDropout(share)(ones)
    assert float((dropped == 0).float().mean()) == pytest.approx(share, abs=0.005)
    assert float(dropped.detach().max()) == pytest.approx(1 / (1 - share), rel=1e-3)
    (gradient,) = torch.autograd.grad(dropped.sum(), ones)
    assert torch.equal(gradient, dropped)
    assert not torch.equal(BitDropout(share)(ones), dropped)


def test_nothing_is_dropped_in_evaluation_and_all_at_a_share_of_one():
    numbers = torch.ones(5)
    assert torch.equal(BitDropout(0.5).eval()(numbers), numbers)
    assert torch.equal(BitDropout(0.0)(numbers), numbers)
    assert torch.equal(BitDropout(1.0)(numbers), torch.zeros(5))
