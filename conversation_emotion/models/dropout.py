"""Dropout whose chance costs little on a processor."""

import torch
from torch import Tensor, nn


class BitDropout(nn.Dropout):
    """Dropout whose chance is drawn 16 bits a number, four numbers at once.

    PyTorch draws on a processor from one number after the other, which takes longer than the linear
    map that follows. The share that is dropped is rounded to 1/65536.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Drops numbers in training: (...) -> (...)."""
        num_dropped = round(self.p * 2**16)
        if not self.training or not num_dropped:
            return input
        draws = torch.empty(-(-input.numel() // 4), dtype=torch.int64, device=input.device)
        bits = draws.random_(-(2**63), None).view(torch.int16)[: input.numel()]
        kept = bits.view(input.shape) > num_dropped - 2**15 - 1
        # Numbers by numbers: with truth values a product takes four times as long, twice.
        return (input * kept.to(input.dtype)).mul_(2**16 / max(1, 2**16 - num_dropped))
