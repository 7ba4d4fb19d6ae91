"""Adapts a trained classifier to one speaker from a few labelled targets, and nothing else.

Both ways start from the model as it is and stay near it, by a prior whose strength is a constant:
what it is worth was found on other speakers, see `benchmarks/adaptation.py`.

* ``classes``: one scale of the logits and a bias of each class, by maximum a posteriori, as in
  Platt's scaling of several classes. What the model sees does not change, only how it decides.
* ``lora``: low-rank updates of its linear maps (Hu et al., 2022).

How often a class occurs among a few turns is chance, and is not learned: its logarithm is added to
the logits in the likelihood alone, as in logit adjustment (Menon et al., 2021). Classes without a
turn are compared with none, so that turns of one class teach nothing.

Either is folded into the weights, so that an adapted model is a model like any other.
"""

import copy
from collections.abc import Callable, Sequence
from typing import TypeAlias, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.parametrize import register_parametrization, remove_parametrizations

from conversation_emotion.datasets.batches import Batch
from conversation_emotion.models.committees import DeepEnsemble
from conversation_emotion.models.conversation import NEVER, Outputs
from conversation_emotion.models.fine_tuned import Weights
from conversation_emotion.settings.prediction import AdaptationMethod

METHODS: tuple[AdaptationMethod, ...] = get_args(AdaptationMethod)

SCALE_PRIOR, BIAS_PRIOR = 10.0, 0.3
"""Precision of the normal priors of the scale around 1, and of each bias around 0.

A bias is in logits at the temperature of the calibration, so that it is the same for all models.
The constants are the best of a few on EmoDB and RAVDESS (`benchmarks/README.md`)."""

LORA_PRIOR, LORA_RANK, LORA_STEPS = 3.0, 4, 10
"""Precision of the normal prior of the adapters' weights, their rank, and steps of L-BFGS."""

_LEAST_SCALE = 0.05
"""Turns that contradict the model throughout would else turn its order around."""

Adapt: TypeAlias = Callable[[nn.Module, Sequence[Batch], float], Weights]


def adapt_weights(
    model: nn.Module, batches: Sequence[Batch], temperature: float, method: AdaptationMethod
) -> Weights:
    """Returns the weights of a model after adaptation; the model stays as it is.

    Args:
        model: In evaluation mode; of an ensemble all members are adapted at once.
        batches: Labelled targets.
        temperature: Of its calibration, 1 without any.
        method: How.
    """
    ways: dict[AdaptationMethod, Adapt] = {"classes": adapt_classes, "lora": adapt_low_rank}
    return ways[method](model, batches, temperature)


def adapt_classes(
    model: nn.Module,
    batches: Sequence[Batch],
    temperature: float,
    *,
    scale_prior: float = SCALE_PRIOR,
    bias_prior: float = BIAS_PRIOR,
) -> Weights:
    """Folds a scale of the logits and a bias of each class into the heads."""
    networks = _list_networks(model)
    with torch.inference_mode():
        found = [
            torch.cat([_list_heads(network(batch)) for batch in batches], dim=1)
            for network in networks.values()
        ]
    shares = torch.cat([torch.full((len(one),), 1 / len(one)).double() for one in found])
    targets = torch.cat([batch.targets for batch in batches])
    scale, biases = fit_classes(
        torch.cat(found), targets, temperature, shares=shares,
        scale_prior=scale_prior, bias_prior=bias_prior,
    )  # fmt: skip
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    for prefix in networks:
        weights[f"{prefix}head.weight"] *= scale
        weights[f"{prefix}head.bias"] *= scale
        moved = temperature * torch.from_numpy(biases).float()
        weights[f"{prefix}head.bias"].view(-1, len(moved)).add_(moved)
    return weights


def fit_classes(
    logits: Tensor,
    targets: Tensor,
    temperature: float = 1.0,
    *,
    shares: Tensor | None = None,
    scale_prior: float = SCALE_PRIOR,
    bias_prior: float = BIAS_PRIOR,
) -> tuple[float, NDArray[np.float64]]:
    """Fits a scale and the biases of the classes: (M, N, C), (N,) -> (), (C,).

    The logits of M networks or heads, whose mean probability is the prediction, by their
    ``shares`` (M,) if not alike, are scaled and shifted alike. Of one the loss is convex.
    """
    from scipy.optimize import minimize  # here: most predictions adapt nothing

    num_classes = logits.size(-1)
    log_priors = log_shares(targets, num_classes)
    given_shares = torch.ones(len(logits)) if shares is None else shares
    log_weights = given_shares.double().log()[:, None, None]

    def lose(numbers: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        given = torch.from_numpy(numbers).requires_grad_()
        scale, biases = given[0], given[1:]
        moved = (scale * logits + temperature * biases).log_softmax(dim=-1) + log_weights
        mean = moved.logsumexp(dim=0) / temperature + log_priors
        loss = nn.functional.cross_entropy(mean, targets, reduction="sum")
        prior = scale_prior * (scale - 1).square() + bias_prior * biases.square().sum()
        total = loss + prior / 2
        (gradient,) = torch.autograd.grad(total, given)
        return total.item(), gradient.numpy()

    bounds = [(_LEAST_SCALE, None), *[(None, None)] * num_classes]
    found = minimize(
        lose, np.eye(1, num_classes + 1)[0], jac=True, method="L-BFGS-B", bounds=bounds
    ).x
    return float(found[0]), found[1:]


def log_shares(targets: Tensor, num_classes: int) -> Tensor:
    """Returns the logarithm of the share of each class, `NEVER` without any: (N,) -> (C,)."""
    counts = torch.bincount(targets, minlength=num_classes)
    return torch.where(counts > 0, (counts / len(targets)).log(), NEVER)


class LowRank(nn.Module):
    """Adds a product of two small matrices to a weight; the first is random, the second zero."""

    def __init__(self, weight: Tensor, rank: int, generator: torch.Generator) -> None:
        super().__init__()
        num_outputs, num_inputs = weight.shape
        down = torch.randn(rank, num_inputs, generator=generator) / num_inputs**0.5
        self.down = nn.Parameter(down)
        self.up = nn.Parameter(torch.zeros(num_outputs, rank))

    def forward(self, weight: Tensor) -> Tensor:
        """Updates: (O, I) -> (O, I)."""
        return weight + self.up @ self.down


def adapt_low_rank(
    model: nn.Module,
    batches: Sequence[Batch],
    temperature: float,
    *,
    rank: int = LORA_RANK,
    prior: float = LORA_PRIOR,
    steps: int = LORA_STEPS,
) -> Weights:
    """Merges low-rank updates of all linear maps into the weights."""
    adapted = copy.deepcopy(model).requires_grad_(False)
    generator = torch.Generator().manual_seed(0)
    maps = [module for module in adapted.modules() if isinstance(module, nn.Linear)]
    updates = []
    for module in maps:
        update = LowRank(module.weight, rank, generator)
        register_parametrization(module, "weight", update)
        updates += [update.down, update.up]
    starts = [one.detach().clone() for one in updates]
    targets = torch.cat([batch.targets for batch in batches])
    optimizer = torch.optim.LBFGS(updates, max_iter=steps, line_search_fn="strong_wolfe")

    def lose() -> float:
        optimizer.zero_grad()
        moved = zip(updates, starts, strict=True)
        total = prior / 2 * torch.stack([(one - old).square().sum() for one, old in moved]).sum()
        for batch in batches:
            logits = adapted(batch).logits.float() / temperature
            logits = logits + log_shares(targets, logits.size(-1))
            total = total + nn.functional.cross_entropy(logits, batch.targets, reduction="sum")
        total.backward()
        return total.item()

    optimizer.step(lose)
    for module in maps:
        remove_parametrizations(module, "weight")
    return adapted.state_dict()


def _list_heads(outputs: Outputs) -> Tensor:
    """Returns the logits of each head: (R, B, C), of one (1, B, C)."""
    heads = outputs.logits.unsqueeze(1) if outputs.heads is None else outputs.heads
    return heads.transpose(0, 1).double()


def _list_networks(model: nn.Module) -> dict[str, nn.Module]:
    """Returns the networks whose mean is the prediction, by the prefix of their weights."""
    if isinstance(model, DeepEnsemble):
        return {f"members.{number}.": one for number, one in enumerate(model.members)}
    return {"": model}
