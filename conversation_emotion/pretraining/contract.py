"""What the pre-training loop asks of an objective, and what it reports."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from torch import Tensor


class ObjectiveOutput(Protocol):
    """The loss of a batch and its metrics."""

    @property
    def loss(self) -> Tensor:
        """What to minimise."""
        ...

    @property
    def metrics(self) -> Mapping[str, Tensor]:
        """What to report and to watch, by name, the loss included."""
        ...


class Objective(Protocol):
    """A module that is trained on clips without labels.

    Attributes:
        learning_rate: Peak step size unless the settings give one.
        no_decay: Last names of weights that do not decay, besides biases and norms.
    """

    learning_rate: float
    no_decay: tuple[str, ...]

    @property
    def least_deviations(self) -> Mapping[str, float]:
        """Deviations below which training has collapsed, see `CollapseMonitor`."""
        ...

    def __call__(self, waveforms: Tensor, seed: int) -> ObjectiveOutput:
        """Computes the loss of clips of one length (B, S); ``seed`` decides random choices."""
        ...

    def after_step(self, progress: float) -> None:
        """Is called after each update with the share of the training that is done."""
        ...

    def save(self, folder: Path) -> None:
        """Writes the encoder as a folder that encoders are loaded from."""
        ...


@dataclass
class Progress:
    """How far a training has come; all of it is kept in the checkpoint.

    Attributes:
        step: Updates done.
        num_steps: Updates in all.
        seconds: Seconds of training.
        audio_seconds: Seconds of audio encoded, by all processes.
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
    """The report of one update.

    Attributes:
        progress: How far the training has come.
        metrics: Losses and what else the objective measures, step size and gradient norm.
        audio_per_second: Seconds of audio encoded in a second, by all processes.
    """

    progress: Progress
    metrics: dict[str, float]
    audio_per_second: float
