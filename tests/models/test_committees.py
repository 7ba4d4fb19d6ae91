"""Committees: mean and disagreement by hand, and networks that no batch changes."""

import math

import pytest
import torch
from torch import Tensor, nn

from conversation_emotion.models.committees import (
    DeepEnsemble,
    ThinnedNetworks,
    measure_disagreement,
)
from conversation_emotion.models.conversation import Outputs
from conversation_emotion.models.dropout import BitDropout


class Linear(nn.Module):
    """Dropout and a linear map in place of a model; a batch is a tensor (B, D)."""

    def __init__(self, share: float = 0.5) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.dropout, self.head = BitDropout(share), nn.Linear(8, 3)

    def forward(self, batch: Tensor) -> Outputs:
        return Outputs(self.head(self.dropout(batch)), None, None)


class Fixed(nn.Module):
    """Predicts given probabilities."""

    def __init__(self, *probabilities: float) -> None:
        super().__init__()
        self.logits = torch.tensor([probabilities]).clamp(min=1e-30).log()

    def forward(self, batch: Tensor) -> Outputs:
        return Outputs(self.logits.expand(len(batch), -1), None, None)


def test_the_mean_of_the_members_is_predicted_and_what_they_differ_in_is_measured():
    found = DeepEnsemble([Fixed(1.0, 0.0), Fixed(0.0, 1.0)])(torch.zeros(2, 1))
    torch.testing.assert_close(found.logits.softmax(-1), torch.full((2, 2), 0.5))
    torch.testing.assert_close(measure_disagreement(found.members), torch.ones(2))
    unsure = DeepEnsemble([Fixed(0.5, 0.5), Fixed(0.5, 0.5)])(torch.zeros(1, 1))
    assert float(measure_disagreement(unsure.members)) == pytest.approx(0.0, abs=1e-6)
    half = DeepEnsemble([Fixed(1.0, 0.0), Fixed(0.5, 0.5)])(torch.zeros(1, 1))
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    expected = (entropy - math.log(2) / 2) / math.log(2)
    assert float(measure_disagreement(half.members)) == pytest.approx(expected)


def test_thinned_networks_lack_units_and_neither_batch_nor_order_changes_them():
    model, batch = Linear().eval(), torch.randn(6, 8)
    thinned = ThinnedNetworks(model, 5).eval()
    whole, alone = thinned(batch), torch.cat([thinned(one[None]).members for one in batch], dim=1)
    torch.testing.assert_close(whole.members, alone)
    assert len({tuple(one[0].tolist()) for one in whole.members}) == 5
    generator = torch.Generator().manual_seed(2_000)  # of the third member and the first dropout
    kept = (torch.rand(8, generator=generator) >= 0.5) * 2.0
    torch.testing.assert_close(whole.members[2], model.head(batch * kept).softmax(-1))
    torch.testing.assert_close(model(batch).logits, model.head(batch))  # as it was


def test_a_model_without_dropout_has_no_thinned_networks():
    with pytest.raises(
        ValueError, match="--mc-dropout needs a model that was trained with dropout"
    ):
        ThinnedNetworks(Linear(0.0), 5)
