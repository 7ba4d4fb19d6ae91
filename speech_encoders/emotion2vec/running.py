"""Running mean and deviation over clips, for batches of any size."""

import torch
from torch import Tensor, nn

_SLOWEST = 0.01
_EPS = 1e-5


class RunningStandard(nn.Module):
    """Standardises vectors by the running mean and deviation of those seen so far.

    The first batches count alike, later ones 1/100 each, so that the statistics follow a drift.

    Args:
        size: Features of a vector (D).
    """

    mean: Tensor
    variance: Tensor
    num_batches: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("variance", torch.ones(size))
        self.register_buffer("num_batches", torch.zeros(()))

    @torch.no_grad()
    def forward(self, vectors: Tensor, *, follows: bool) -> Tensor:
        """Standardises (B, D); ``follows`` updates the statistics with the batch first.

        The batch's variance is taken around the running mean, so that a batch of one clip has one.
        """
        if follows:
            self.num_batches += 1
            rate = max(1.0 / float(self.num_batches), _SLOWEST)
            self.mean.lerp_(vectors.mean(dim=0), rate)
            self.variance.lerp_((vectors - self.mean).square().mean(dim=0), rate)
        return (vectors - self.mean) / (self.variance + _EPS**2).sqrt()
