"""Checkpoint averaging: one set of weights from several."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

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


class Soup(NamedTuple):
    """Weights averaged from some checkpoints.

    Attributes:
        weights: Their mean.
        chosen: Numbers of the checkpoints in it, in the order in which they were tried.
    """

    weights: Weights
    chosen: list[int]


def greedy_soup(checkpoints: Sequence[Weights], score: Callable[[Weights], float]) -> Soup:
    """Averages those checkpoints that do not lower a score on valid (Wortsman et al., 2022).

    Args:
        checkpoints: From the best to the worst; the first is always in.
        score: Scores weights on valid, the higher the better.

    Raises:
        ValueError: There are none, or they differ in their names.
    """
    best = Soup(average_weights(checkpoints[:1]), [0])
    best_score = score(best.weights)
    for number in range(1, len(checkpoints)):
        chosen = [*best.chosen, number]
        weights = average_weights([checkpoints[member] for member in chosen])
        if (reached := score(weights)) >= best_score:
            best, best_score = Soup(weights, chosen), reached
    return best
