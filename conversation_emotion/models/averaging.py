"""Checkpoint averaging: one set of weights from several."""

from collections.abc import Callable, Sequence

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
        if different := sorted(first.keys() ^ other.keys()):
            raise ValueError(f"checkpoints 0 and {number} differ in {different}")
    return {
        name: torch.stack([weights[name].double() for weights in checkpoints])
        .mean(dim=0)
        .to(tensor.dtype)
        if tensor.is_floating_point()
        else tensor.clone()
        for name, tensor in first.items()
    }


def greedy_soup(checkpoints: Sequence[Weights], score: Callable[[Weights], float]) -> Weights:
    """Averages those checkpoints that do not lower a score on valid (Wortsman et al., 2022).

    Checkpoints come from the best, which is always in, to the worst; a larger score is better.

    Raises:
        ValueError: There are none, or they differ in their names.
    """
    chosen = list(checkpoints[:1])
    best = average_weights(chosen)
    best_score = score(best)
    for checkpoint in checkpoints[1:]:
        weights = average_weights([*chosen, checkpoint])
        if (reached := score(weights)) >= best_score:
            chosen, best, best_score = [*chosen, checkpoint], weights, reached
    return best
