"""How fast a training is, compared with a large matrix product on its device."""

from collections.abc import Callable

import torch
from torch.utils.benchmark import Timer
from torch.utils.flop_counter import FlopCounterMode

_SECONDS = 0.3


def count_flops(compute: Callable[[], object]) -> int:
    """Counts the floating-point operations of matrix products, convolutions and attention.

    A multiplication with its addition counts as two; element-wise work is not counted.
    """
    with FlopCounterMode(display=False) as counter:
        compute()
    return int(counter.get_total_flops())


def measure_peak(device: torch.device, dtype: torch.dtype) -> float:
    """Measures the operations per second of a large matrix product on a device."""
    size = 8192 if device.type == "cuda" else 1024
    left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    operands, threads = {"left": left, "right": right}, torch.get_num_threads()
    timer = Timer("left @ right", globals=operands, num_threads=threads)
    return 2 * size**3 / min(timer.blocked_autorange(min_run_time=_SECONDS).times)
