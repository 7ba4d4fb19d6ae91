"""Step sizes over a training, and which weights decay."""

import math
from typing import TypedDict

from torch import nn


class ParameterGroup(TypedDict):
    """Weights with one weight decay."""

    params: list[nn.Parameter]
    weight_decay: float


def schedule(step: int, num_steps: int, warmup: float) -> float:
    """Returns the share of the peak step size: a linear rise, then a fall as a cosine to 0."""
    rising = max(1, round(warmup * num_steps))
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, num_steps - rising)))


def parameter_groups(
    module: nn.Module, weight_decay: float, no_decay: tuple[str, ...] = ()
) -> list[ParameterGroup]:
    """Groups the trained weights: biases, norms and ``no_decay`` do not decay, all others do."""
    trained = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
    is_free = [p.ndim < 2 or name.split(".")[-1] in no_decay for name, p in trained]
    return [
        {
            "params": [p for (_, p), free in zip(trained, is_free, strict=True) if free == kind],
            "weight_decay": 0.0 if kind else weight_decay,
        }
        for kind in (False, True)
    ]
