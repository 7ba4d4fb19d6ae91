"""What the pre-training loop asks of an objective, what it is told, and what it tells."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from torch import Tensor


class ObjectiveOutput(Protocol):
    """What an objective makes of a batch."""

    @property
    def loss(self) -> Tensor:
        """What to minimise."""
        ...

    @property
    def metrics(self) -> Mapping[str, Tensor]:
        """What to tell and to watch, by name, the loss among it."""
        ...


class Objective(Protocol):
    """A module that learns from clips without labels."""

    def __call__(self, waveforms: Tensor, seed: int) -> ObjectiveOutput:
        """Answers clips of one length (B, S) with a loss; ``seed`` decides what chance would."""
        ...

    def after_step(self, progress: float) -> None:
        """Is called after each update with the share of the training that is done."""
        ...


@dataclass(frozen=True, kw_only=True)
class PretrainingSettings:
    """How an objective is trained.

    Attributes:
        learning_rate: Highest step size of Adam.
        weight_decay: Decay, not of biases, norms and what ``no_decay`` names.
        no_decay: Last names of further weights that do not decay.
        betas: Of Adam.
        warmup: Share of the updates in which the step size rises; behind it falls as a cosine.
        accumulate: Batches of each update.
        max_gradient_norm: Longer gradients are shortened to this.
        steps: Updates in all; None takes as many as fit into ``minutes``.
        minutes: Most minutes of training; it ends then in any case.
        checkpoint_minutes: Minutes from one checkpoint to the next.
        max_broken: Share of the clips that may turn out broken before training stops.
        seed: Of dropout.
        is_compiled: Whether torch.compile makes the objective faster; clips of every length count
            as one shape.
    """

    learning_rate: float = 7.5e-5
    weight_decay: float = 1e-2
    no_decay: tuple[str, ...] = ()
    betas: tuple[float, float] = (0.9, 0.98)
    warmup: float = 0.05
    accumulate: int = 1
    max_gradient_norm: float = 10.0
    steps: int | None = None
    minutes: float | None = None
    checkpoint_minutes: float = 1.0
    max_broken: float = 0.01
    seed: int = 0
    is_compiled: bool = False

    def __post_init__(self) -> None:
        if self.steps is None and self.minutes is None:
            raise ValueError("pass the steps or the minutes of the training")


@dataclass
class Progress:
    """How far a training has come; all of it is kept in the checkpoint.

    Attributes:
        step: Updates done.
        num_steps: Updates in all.
        seconds: Seconds of training.
        audio_seconds: Seconds of audio heard, by all processes.
        flops_per_audio_second: Operations for a second of audio, forward and backward.
    """

    step: int = 0
    num_steps: int = 0
    seconds: float = 0.0
    audio_seconds: float = 0.0
    flops_per_audio_second: float = 0.0

    @property
    def share(self) -> float:
        """Share of the updates done."""
        return self.step / self.num_steps


class StepReport(NamedTuple):
    """What is told after an update.

    Attributes:
        progress: How far the training has come.
        metrics: Losses and what else the objective measures, step size and gradient norm.
        audio_per_second: Seconds of audio heard in a second, by all processes.
    """

    progress: Progress
    metrics: dict[str, float]
    audio_per_second: float
