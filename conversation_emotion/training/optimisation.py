"""Optimizers: step sizes over the training and over the layers, and which weights decay."""

import inspect
import math
import re
from collections.abc import Callable
from functools import partial
from typing import Literal, TypedDict

import torch
from torch import nn
from torch.optim import lr_scheduler

from conversation_emotion.settings.training import (
    FineTuningSettings,
    FitSettings,
    OptimizerName,
    Precision,
    RunSettings,
)

_BLOCK = re.compile(r"\.(?:layers?|blocks)\.(\d+)\.")


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


def eager(kind: type[torch.optim.Optimizer]) -> Callable[..., torch.optim.Optimizer]:
    """Returns a kind of optimizer that computes the same, and cannot be compiled.

    PyTorch's own import TorchDynamo at their first step, for as long as PyTorch itself takes.
    """
    names = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")
    methods = {name: inspect.unwrap(getattr(kind, name)) for name in names}
    methods["step"] = torch.no_grad()(inspect.unwrap(kind.step))
    return type(kind.__name__, (kind,), methods)


OPTIMIZERS: dict[OptimizerName, Callable[..., torch.optim.Optimizer]] = {
    "adamw": partial(eager(torch.optim.AdamW), fused=True),
    "adam": partial(eager(torch.optim.Adam), fused=True),
    "rmsprop": partial(eager(torch.optim.RMSprop), momentum=0.9),
}
"""Optimizers by name, made from parameters, ``lr`` and ``weight_decay``."""


class EpochSchedule:
    """One step size for all weights, which changes from epoch to epoch."""

    def __init__(self, model: nn.Module, settings: FitSettings) -> None:
        self.optimizer = OPTIMIZERS[settings.optimizer](
            model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        self._scheduler = _make_scheduler(self.optimizer, settings)

    def begin_update(self, number: int) -> None:
        """Leaves the step size as it is."""

    def end_epoch(self) -> None:
        """Moves on to the step size of the next epoch."""
        self._scheduler.step()


def _make_scheduler(
    optimizer: torch.optim.Optimizer, settings: FitSettings
) -> lr_scheduler.LRScheduler:
    if settings.schedule == "cyclic":
        low = settings.learning_rate
        has_momentum = "momentum" in optimizer.defaults
        return lr_scheduler.CyclicLR(
            optimizer, low, 2 * low, step_size_up=10, cycle_momentum=has_momentum
        )
    if settings.schedule == "cosine":
        return lr_scheduler.CosineAnnealingLR(optimizer, settings.num_rounds)
    return lr_scheduler.LambdaLR(optimizer, lambda epoch: 1.0)


class LayeredWarmup:
    """AdamW with a peak for each of L blocks of an encoder, over the updates of a training.

    Step sizes rise, then fall as a cosine. The model has the encoder by the name ``encoder``.
    """

    def __init__(
        self, model: nn.Module, num_blocks: int, settings: FineTuningSettings, num_updates: int
    ) -> None:
        groups = layered_groups(model, num_blocks, settings)
        self.optimizer: torch.optim.Optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98))
        self._num_updates, self._warmup = num_updates, settings.warmup

    def begin_update(self, number: int) -> None:
        """Sets every group to its share of its peak."""
        share = schedule(number, self._num_updates, self._warmup)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * share

    def end_epoch(self) -> None:
        """Does nothing: the step size changes with every update."""


def make_optimisation(
    model: nn.Module, settings: RunSettings, num_batches: int
) -> EpochSchedule | LayeredWarmup:
    """Makes the optimizer that the settings ask for; ``num_batches`` are those of an epoch."""
    if isinstance(settings, FineTuningSettings):
        updates = settings.epochs * math.ceil(num_batches / settings.accumulate)
        return LayeredWarmup(model, model.encoder.num_blocks, settings, updates)  # type: ignore[union-attr, arg-type]
    assert isinstance(settings, FitSettings)
    return EpochSchedule(model, settings)


def block_number(name: str) -> int:
    """Returns from the name of a weight the number of its block: 1, 2, ...; 0 before the first.

    What follows the last block, such as a final norm, counts as before the first.
    """
    found = _BLOCK.search(f".{name}")
    return int(found.group(1)) + 1 if found else 0


def layered_groups(
    model: nn.Module, num_blocks: int, settings: FineTuningSettings
) -> list[dict[str, object]]:
    """Divides the trained weights of an ``encoder`` and its heads into groups with own step sizes.

    Block b of L has the learning rate times layer_decay^(L - b), and what precedes the blocks
    layer_decay^L; biases and norms have no weight decay.
    """
    trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    rates: dict[float, nn.ParameterDict] = {}
    for name, parameter in trained:
        depth = num_blocks - min(block_number(name), num_blocks)
        rate = settings.learning_rate * settings.layer_decay**depth
        rate = rate if name.startswith("encoder.") else settings.head_learning_rate
        rates.setdefault(rate, nn.ParameterDict())[name.replace(".", "/")] = parameter
    return [
        {**group, "lr": rate, "peak": rate}
        for rate, parameters in sorted(rates.items(), key=lambda pair: pair[0])
        for group in parameter_groups(parameters, settings.weight_decay)
        if group["params"]
    ]


def choose_precision(precision: Precision) -> Literal["no", "bf16"]:
    """Returns accelerate's name of a precision; auto is bf16 on devices built for it."""
    if precision == "auto":
        precision = "bf16" if _is_built_for_bf16() else "fp32"
    return "bf16" if precision == "bf16" else "no"


def _is_built_for_bf16() -> bool:
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported()
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
