"""How a model is trained, selected and scored: declared once, for every task."""

from dataclasses import dataclass
from typing import Literal

from conversation_emotion.settings.flags import (
    check_at_least,
    check_share,
    check_unique,
    refuse_given,
)

Metric = Literal[
    "auto", "uar", "wa", "macro_f1", "weighted_f1", "ccc_mean", "ccc_arousal", "ccc_valence",
    "ccc_dominance", "ccc", "pearson", "mae", "jsd",
]  # fmt: skip
"""Metrics that can select; each task allows its own, and ``auto`` is the first of them."""

OptimizerName = Literal["adamw", "adam", "rmsprop"]
Schedule = Literal["constant", "cyclic", "cosine"]
ClassWeights = Literal["balanced", "none"]
Precision = Literal["auto", "fp32", "bf16"]
LossName = Literal["cross-entropy", "focal", "logit-adjusted"]
Sampling = Literal["natural", "balanced"]


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
    auto is uar for classes, ccc or ccc_mean for numbers; jsd is the divergence from the votes that
    --targets learns, of ser and epc."""

    average_best: int = 3
    """Average the weights of this many best epochs by the valid score; 0 keeps the last epoch."""

    seeds: int = 1
    """How many times each fold is trained, with the seeds 0, 1, 2, ..."""

    max_folds: int | None = None
    """Only the first folds of the protocol; the table says so."""

    workers: int | None = None
    """Trainings at once, each a process of one thread, with the same numbers; none takes one for
    each core, and a single one on a GPU or to tune an encoder."""

    by: tuple[str, ...] = ()
    """Also score groups of targets by these columns of the utterance table, such as gender age
    language speaker, and test whether they differ, in a further table."""

    certainty: bool = False
    """Also score how far the probabilities of classes can be trusted: calibration, prediction sets,
    the mean of the seeds, and risk against coverage, in a further table and a figure."""

    def __post_init__(self) -> None:
        check_unique("--by", self.by)
        check_share(self, "learning_rate", within="(0, 1)")
        check_share(self, "weight_decay")
        check_at_least(self, 0, "average_best")
        check_at_least(self, 1, "epochs", "patience", "seeds", "max_folds", "workers")


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
        check_at_least(self, 1, "batch_size", "updates", "evaluate_every")
        if self.updates is None:
            refuse_given(self, "counts --updates, which are not given", "evaluate_every")

    @property
    def num_rounds(self) -> int:
        """Evaluations on valid at most."""
        if self.updates is None:
            return self.epochs
        return -(-self.updates // self.evaluate_every)


@dataclass(frozen=True, kw_only=True)
class LearningSettings:
    """How the classes of train are learned."""

    class_weights: ClassWeights = "balanced"
    """Let each class count alike in the loss, or each utterance."""

    reweight_groups: tuple[str, ...] = ()
    """Let groups by these columns of the utterance table, such as gender, count alike in the loss,
    within each class."""

    loss: LossName = "cross-entropy"
    """Cross-entropy; or focal, in which what is right already counts less (Lin et al., 2017); or
    cross-entropy with logits adjusted by how frequent a class is in train, so that without weights
    each counts alike in predictions (Menon et al., 2021)."""

    sampling: Sampling = "natural"
    """Train sees each utterance once in an epoch; or as many of each class (balanced), of which
    those of rare classes return."""

    mixup: float = 0.0
    """Learn from pairs of utterances, the features of which are mixed before the last linear map,
    and their classes by the same share, drawn from Beta(MIXUP, MIXUP); 0 mixes none (Zhang et al.,
    2018; Verma et al., 2019)."""

    def check_learning(self) -> None:
        """Raises a `ValueError` where the frequency of classes would be made up for twice."""
        check_unique("--reweight-groups", self.reweight_groups)
        check_at_least(self, 0, "mixup")
        ways = {
            "--class-weights balanced": self.class_weights == "balanced",
            "--sampling balanced": self.sampling == "balanced",
            "--loss logit-adjusted": self.loss == "logit-adjusted",
        }
        if len(used := [name for name, is_used in ways.items() if is_used]) > 1:
            raise ValueError(
                f"{' and '.join(used)} each make rare classes count more; keep one of them, and "
                "give --class-weights none for another"
            )


@dataclass(frozen=True, kw_only=True)
class TrainingSettings(FitSettings, LearningSettings):
    """How a classifier on frozen features is trained."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_learning()


@dataclass(frozen=True, kw_only=True)
class FineTuningSettings(RunSettings, LearningSettings):
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

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_learning()
        check_share(self, "head_learning_rate", within="(0, 1)")
        check_share(self, "layer_decay", within="(0, 1]")
        check_share(self, "warmup", "dropout")
        if self.batch_seconds <= 0:
            raise ValueError(f"--batch-seconds must be above 0, got {self.batch_seconds}")
        check_at_least(self, 1, "batch_size", "accumulate", "average_best")
