"""Committees: networks whose mean is the prediction, and whose disagreement is its uncertainty."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import torch
from torch import Tensor, nn

from conversation_emotion.datasets.batches import Batch
from conversation_emotion.models.conversation import Outputs

_TINY = 1e-30
"""Probabilities below are rounded to 0 by a softmax, whose logarithm has no end."""


Thin: TypeAlias = Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor]
"""A hook that drops units of the output of a module."""


class Committee(nn.Module, ABC):
    """Several networks as one, with the probabilities of each as `Outputs.members`."""

    @abstractmethod
    def ask(self, batch: Batch) -> Iterator[Outputs]:
        """Yields what each member predicts of a batch."""

    def forward(self, batch: Batch) -> Outputs:
        """Predicts the mean probability of all members, as logits."""
        members = torch.stack([one.logits.float().softmax(dim=-1) for one in self.ask(batch)])
        return Outputs(members.mean(dim=0).clamp(min=_TINY).log(), None, None, members)


class DeepEnsemble(Committee):
    """Models of several trainings (Lakshminarayanan et al., 2017)."""

    def __init__(self, models: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(models)

    def ask(self, batch: Batch) -> Iterator[Outputs]:
        """Yields what each model predicts of a batch."""
        for model in self.members:
            yield model(batch)


class ThinnedNetworks(Committee):
    """One model with dropout, of which each member lacks other units (Gal and Ghahramani, 2016).

    A member lacks the same units in every batch, row and turn, so that neither a batch nor the
    order of calls changes a prediction.

    Args:
        model: The model, trained with dropout.
        num_members: Networks to draw.

    Raises:
        ValueError: The model has no dropout.
    """

    def __init__(self, model: nn.Module, num_members: int) -> None:
        super().__init__()
        self.model, self.num_members = model, num_members
        self._member: int | None = None
        found = [one for one in model.modules() if isinstance(one, nn.Dropout) and one.p > 0]
        if not found:
            raise ValueError(
                "--mc-dropout needs a model that was trained with dropout, and this one has none; "
                "train one with --dropout, or ask an ensemble (--ensemble) for its disagreement"
            )
        for number, module in enumerate(found):
            module.register_forward_hook(self._thin(number, module.p))

    def ask(self, batch: Batch) -> Iterator[Outputs]:
        """Yields what each thinned network predicts of a batch."""
        try:
            for number in range(self.num_members):
                self._member = number
                yield self.model(batch)
        finally:
            self._member = None

    def _thin(self, number: int, share: float) -> Thin:
        def thin(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            if self._member is None:
                return output
            generator = torch.Generator().manual_seed(1_000 * self._member + number)
            kept = torch.rand(output.size(-1), generator=generator) >= share
            return output * kept.to(output) / (1 - share)

        return thin


def measure_disagreement(members: Tensor) -> Tensor:
    """Returns what the members' predictions tell of who predicts: (M, B, C) -> (B,).

    The mutual information of class and member (Houlsby et al., 2011) as a share of log C: 0 where
    all predict the same, 1 at most.
    """

    def entropy(probabilities: Tensor) -> Tensor:
        return -(probabilities * probabilities.clamp(min=_TINY).log()).sum(dim=-1)

    spread = entropy(members.mean(dim=0)) - entropy(members).mean(dim=0)
    return spread.clamp(min=0.0) / math.log(members.size(-1))
