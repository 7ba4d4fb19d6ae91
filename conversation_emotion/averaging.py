"""Checkpoint averaging: one set of weights from several."""

from collections.abc import Sequence

import torch
from torch import Tensor

Weights = dict[str, Tensor]


def average_weights(checkpoints: Sequence[Weights]) -> Weights:
    """Averages checkpoints name by name, in double precision.

    Integer buffers, such as counters, cannot be averaged; they are taken from the first.

    Raises:
        ValueError: There are none, or they differ in their names.
    """
    if not checkpoints:
        raise ValueError("nothing to average: no checkpoint was given")
    first = checkpoints[0]
    for number, other in enumerate(checkpoints[1:], start=1):
        if strange := sorted(first.keys() ^ other.keys()):
            raise ValueError(f"checkpoints 0 and {number} differ in {strange}")
    return {
        name: torch.stack([weights[name].double() for weights in checkpoints])
        .mean(dim=0)
        .to(tensor.dtype)
        if tensor.is_floating_point()
        else tensor.clone()
        for name, tensor in first.items()
    }
