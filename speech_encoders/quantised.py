"""Weights in 8 bits: whole numbers and a scale for each output of a map, in a safetensors file."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

_SCALE = ".scale"
_MOST = 127


def write_quantised(weights: Mapping[str, Tensor], file: Path) -> None:
    """Writes matrices and kernels in 8 bits, vectors in half precision.

    The weights are rounded to half precision first, so that a checkpoint gives the same bytes in
    either precision.
    """
    stored: dict[str, Tensor] = {}
    for name, weight in weights.items():
        half = weight.detach().half().contiguous()
        if half.ndim < 2:
            stored[name] = half
            continue
        rows = half.double()
        scale = (rows.abs().amax(dim=tuple(range(1, rows.ndim)), keepdim=True) / _MOST).float()
        scale = scale.clamp(min=torch.finfo(torch.float32).tiny)
        stored[name] = (rows / scale.double()).round().to(torch.int8)
        stored[name + _SCALE] = scale
    save_file(stored, file, {"format": "pt"})  # more entries would stand in random order


def read_quantised(file: Path) -> dict[str, Tensor]:
    """Reads what `write_quantised` wrote, in single precision."""
    stored = load_file(file)
    return {
        name: weight.float() * stored.get(name + _SCALE, 1.0)
        for name, weight in stored.items()
        if not name.endswith(_SCALE)
    }
