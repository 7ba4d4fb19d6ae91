"""How a model is trained, selected and scored: declared once, for every task."""

from dataclasses import dataclass
from typing import Literal

Metric = Literal[
    "auto",
    "uar",
    "wa",
    "macro_f1",
    "weighted_f1",
    "ccc_mean",
    "ccc_arousal",
    "ccc_valence",
    "ccc_dominance",
    "ccc",
    "pearson",
    "mae",
]
"""Metrics that can select; each task allows its own, and ``auto`` is the first of them."""

OptimizerName = Literal["adamw", "adam", "rmsprop"]
Schedule = Literal["constant", "cyclic", "cosine"]
ClassWeights = Literal["balanced", "none"]
Precision = Literal["auto", "fp32", "bf16"]


def check_at_least_one(settings: object, *names: str) -> None:
    """Raises a `ValueError` that names the flag of the first number below 1; None passes."""
    for name in names:
        number = getattr(settings, name)
        if number is not None and number < 1:
            raise ValueError(f"--{name.replace('_', '-')} must be 1 or more, got {number}")


def check_share(settings: object, *names: str) -> None:
    """Raises a `ValueError` that names the flag of the first number outside of [0, 1)."""
    for name in names:
        if not 0 <= (number := getattr(settings, name)) < 1:
            raise ValueError(f"--{name.replace('_', '-')} must lie in [0, 1), got {number}")


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """What every training has: a step size, an end, a selection, repetitions."""

    learning_rate: float = 1e-3
    """Step size; of fine-tuning, the peak of the encoder's last block."""

    weight_decay: float = 1e-2
    """Weight decay of the optimizer."""

    epochs: int = 50
    """Passes over train at most."""

    patience: int = 5
    """Epochs without a better valid score after which training stops."""

    select_by: Metric = "auto"
    """Metric on valid that selects the weights, the best training and the best setting of a sweep;
    auto is uar for classes, ccc or ccc_mean for numbers."""

    average_best: int = 3
    """Average the weights of this many best epochs by the valid score; 0 keeps the last epoch."""

    seeds: int = 1
    """How many times each fold is trained, with the seeds 0, 1, 2, ..."""

    max_folds: int | None = None
    """Only the first folds of the protocol; the table says so."""

    resamples: int = 2000
    """Bootstrap resamples behind each 95 % interval."""

    def __post_init__(self) -> None:
        if not 0 < self.learning_rate < 1:
            raise ValueError(f"--learning-rate must lie in (0, 1), got {self.learning_rate}")
        check_share(self, "weight_decay")
        if self.average_best < 0:
            raise ValueError(f"--average-best must be 0 or more, got {self.average_best}")
        check_at_least_one(self, "epochs", "patience", "seeds", "max_folds", "resamples")


@dataclass(frozen=True, kw_only=True)
class FitSettings(RunSettings):
    """How a model on frozen features is trained."""

    optimizer: OptimizerName = "adamw"
    """What takes the steps; rmsprop with a momentum of 0.9."""

    schedule: Schedule = "constant"
    """Step size over the epochs: constant; to twice as much and back, ten epochs each way; or down
    to zero along half a cosine."""

    batch_size: int | None = None
    """Windows in a batch; none takes 1/32 of the training windows, 64 to 256."""

    updates: int | None = None
    """Updates at most in place of --epochs; an epoch is then --evaluate-every of them."""

    evaluate_every: int = 1000
    """Updates between two evaluations on valid, where --updates is given."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least_one(self, "batch_size", "updates", "evaluate_every")
        if self.updates is None and self.evaluate_every != FitSettings.evaluate_every:
            raise ValueError("--evaluate-every counts --updates, which are not given")

    @property
    def num_rounds(self) -> int:
        """Evaluations on valid at most."""
        if self.updates is None:
            return self.epochs
        return -(-self.updates // self.evaluate_every)


@dataclass(frozen=True, kw_only=True)
class TrainingSettings(FitSettings):
    """How a classifier on frozen features is trained."""

    class_weights: ClassWeights = "balanced"
    """Let each class count alike in the loss, or each utterance."""


@dataclass(frozen=True, kw_only=True)
class FineTuningSettings(RunSettings):
    """How an encoder is trained together with its heads."""

    learning_rate: float = 3e-4
    """Peak step size of the encoder's last block; 1e-5 to 5e-5 suit large checkpoints."""

    epochs: int = 8
    """Passes over train at most."""

    patience: int = 8
    """Epochs without a better valid score after which training stops."""

    select_by: Metric = "wa"
    """Metric on valid that ranks the checkpoints; the lower valid loss decides where it ties."""

    average_best: int = 5
    """Checkpoints to keep and average, the best on valid; there is one after every epoch."""

    average: Literal["best", "greedy"] = "best"
    """Average all that are kept, or, from the best on, those that do not lower the valid score
    (greedy soup; Wortsman et al., 2022)."""

    head_learning_rate: float = 1e-3
    """Peak step size of the heads."""

    layer_decay: float = 1.0
    """Factor from the step size of a block to that of the block below it; 1 is the same for all."""

    warmup: float = 0.1
    """Share of the updates in which the step size rises; then it falls as a cosine."""

    dropout: float = 0.1
    """On the frames, before the heads."""

    batch_size: int = 16
    """Clips of a batch at most."""

    batch_seconds: float = 60.0
    """Audio of a batch at most, padding included."""

    accumulate: int = 1
    """Batches of an update."""

    class_weights: ClassWeights = "balanced"
    """Let each class count alike in the loss, or each utterance."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.head_learning_rate < 1:
            raise ValueError(
                f"--head-learning-rate must lie in (0, 1), got {self.head_learning_rate}"
            )
        if not 0 < self.layer_decay <= 1:
            raise ValueError(f"--layer-decay must lie in (0, 1], got {self.layer_decay}")
        check_share(self, "warmup", "dropout")
        if self.batch_seconds <= 0:
            raise ValueError(f"--batch-seconds must be above 0, got {self.batch_seconds}")
        check_at_least_one(self, "batch_size", "accumulate", "average_best")
