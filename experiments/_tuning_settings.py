"""Settings that the experiments share which train encoders."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class TunableSettings:
    """Which encoder learns, and how much of it."""

    encoder: str = "emotion2vec-mini"
    """Encoder to tune: emotion2vec-mini, or a checkpoint of wav2vec 2.0, HuBERT, WavLM, data2vec or
    emotion2vec, by hub id or folder; for text of BERT or another model of its shape."""

    freeze: Literal["front-end", "nothing"] = "front-end"
    """What stays as it is: the convolutional front end (the embeddings, for text), whose output is
    then computed once and stored; or nothing."""

    blocks: int | None = None
    """Keep only this many of the encoder's Transformer blocks, the lowest; none keeps all."""

    lora_rank: int | None = None
    """Learn low-rank changes of the linear maps (Hu et al., 2022) of this rank, not all weights."""

    gradient_checkpointing: bool = False
    """Compute activations twice instead of keeping them: less memory, more time."""

    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Of the products in training; auto is bf16 on devices built for it."""

    def __post_init__(self) -> None:
        for flag, number in (("--lora-rank", self.lora_rank), ("--blocks", self.blocks)):
            if number is not None and number < 1:
                raise ValueError(f"{flag} must be 1 or more, got {number}")


@dataclass(frozen=True, kw_only=True)
class TuningTraining:
    """How encoders are trained, and how often."""

    epochs: int = 8
    """Passes over train at most."""

    patience: int = 8
    """Epochs without a better valid score after which training stops."""

    learning_rate: float = 3e-4
    """Peak step size of the encoder's last block; 1e-5 to 5e-5 suit large checkpoints."""

    head_learning_rate: float = 1e-3
    """Peak step size of the heads."""

    layer_decay: float = 1.0
    """Factor from the step size of a block to that of the block below it; 1 is the same for all."""

    weight_decay: float = 1e-2
    """Weight decay of AdamW."""

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

    class_weights: Literal["balanced", "none"] = "balanced"
    """Whether rare classes weigh more in the loss, by their counts in train."""

    select_by: Literal["accuracy", "uar"] = "accuracy"
    """What ranks the checkpoints on valid; the lower valid loss decides where it ties."""

    average_best: int = 5
    """Checkpoints to keep and average, the best on valid; there is one after every epoch."""

    average: Literal["best", "greedy"] = "best"
    """Average all that are kept, or, from the best on, those that do not lower the valid score
    (greedy soup; Wortsman et al., 2022)."""

    seeds: int = 1
    """How many times each fold is trained, with the seeds 0, 1, 2, ..."""

    max_folds: int | None = None
    """Only the first folds of the protocol; the table says so."""

    resamples: int = 2000
    """Bootstrap resamples behind each 95 % interval."""

    def __post_init__(self) -> None:
        for name in ("learning_rate", "head_learning_rate"):
            if not 0 < (rate := getattr(self, name)) < 1:
                raise ValueError(f"--{name.replace('_', '-')} must lie in (0, 1), got {rate}")
        if not 0 < self.layer_decay <= 1:
            raise ValueError(f"--layer-decay must lie in (0, 1], got {self.layer_decay}")
        for name in ("weight_decay", "warmup", "dropout"):
            if not 0 <= (share := getattr(self, name)) < 1:
                raise ValueError(f"--{name.replace('_', '-')} must lie in [0, 1), got {share}")
        if self.batch_seconds <= 0:
            raise ValueError(f"--batch-seconds must be above 0, got {self.batch_seconds}")
        counts = ("epochs", "patience", "batch_size", "accumulate", "average_best", "seeds")
        for name in (*counts, "max_folds", "resamples"):
            if (number := getattr(self, name)) is not None and number < 1:
                raise ValueError(f"--{name.replace('_', '-')} must be 1 or more, got {number}")
