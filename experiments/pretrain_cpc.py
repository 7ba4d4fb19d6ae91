"""Contrastive predictive coding: an encoder that knows what comes next in unlabelled speech.

    python -m experiments.pretrain_cpc --root recordings --max-minutes 5 --accumulate 1
    python -m experiments.pretrain_cpc --root LibriSpeech/train-clean-100 --max-seconds 36
    accelerate launch --multi_gpu -m experiments.pretrain_cpc --root recordings --accumulate 1

From what was heard so far, a GRU tells each of the next twelve frames from fifty others (van den
Oord et al., 2018, in the set-up of Li et al., 2021): 10 s of each clip, shorter ones repeated, 64
clips an update. The step size follows the schedule of this suite. Prints throughput and how often
each horizon was told right, chance being 1 in 51, keeps curves in mlruns/, and ends with a folder
that every experiment takes as --speech-encoder. A killed command goes on where it was.
"""

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from experiments import commandline as _cli
from experiments.pretraining.settings import AudioSettings, LoopSettings, ProbeSettings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import optuna

    from conversation_emotion.evaluation.metrics import Interval
    from conversation_emotion.tracker import Memory, Validation


@dataclass(frozen=True, kw_only=True)
class CpcSettings:
    """Settings of the model and of what it learns."""

    negatives: int = 50
    """Frames that each coming frame is told from."""

    negatives_from: Literal["same", "other"] = "same"
    """Where they come from: the same clip, or the other clips of the batch."""

    temperature: float = 1.0
    """Divides the inner products of predictions and frames."""

    norms: bool = True
    """Normalise the channels of each convolution; Li et al. tell of no norms, but without them
    training is slow to begin."""

    def __post_init__(self) -> None:
        if self.negatives < 1:
            raise ValueError(f"--negatives must be 1 or more, got {self.negatives}")
        if self.temperature <= 0:
            raise ValueError(f"--temperature must be above 0, got {self.temperature:g}")


@dataclass(frozen=True, kw_only=True)
class PretrainConfig:
    """Settings of one pre-training."""

    audio: AudioSettings = field(
        default_factory=lambda: AudioSettings(crop_seconds=10.0, batch_samples=1_280_000)
    )

    training: LoopSettings = field(
        default_factory=lambda: LoopSettings(weight_decay=1e-5, accumulate=8)
    )

    probe: ProbeSettings = field(default_factory=ProbeSettings)

    model: CpcSettings = field(default_factory=CpcSettings)


def search_space(trial: "optuna.trial.BaseTrial", config: PretrainConfig) -> PretrainConfig:
    """Proposes the settings of one trial; everything else stays as configured."""
    return dataclasses.replace(
        config,
        model=dataclasses.replace(
            config.model,
            negatives=trial.suggest_categorical("negatives", [20, 50, 100]),
            negatives_from=trial.suggest_categorical("negatives_from", ["same", "other"]),
            temperature=trial.suggest_float("temperature", 0.1, 2.0, log=True),
        ),
        training=dataclasses.replace(
            config.training,
            learning_rate=trial.suggest_float("learning_rate", 5e-5, 5e-3, log=True),
            weight_decay=trial.suggest_float("weight_decay", 1e-6, 1e-1, log=True),
        ),
    )


def prepare(config: PretrainConfig) -> str:
    """Finds what a sweep learns from, and returns a digest of it."""
    from experiments.pretraining import probing as _probing

    return _probing.prepare(config)


def validate(config: PretrainConfig, memory: "Memory") -> "Iterator[Validation]":
    """Pre-trains and yields how a linear probe of the encoder does on valid, for a sweep."""
    from experiments.pretraining import probing as _probing

    return _probing.validate(run, config, memory)


def test(config: PretrainConfig) -> "dict[str, Interval]":
    """Scores a linear probe of the encoder on test, once a sweep has chosen the setting."""
    from experiments.pretraining import probing as _probing

    return _probing.test(run, config)


def run(config: PretrainConfig) -> "Path":
    """Builds encoder and predictors, trains them, and keeps the encoder."""
    from experiments.pretraining import command as _pretraining
    from experiments.pretraining import objectives as _objectives

    learner = _objectives.build_cpc(config.model, config.training.seed)
    return _pretraining.pretrain_and_track("pretrain_cpc", config, learner)


def main() -> None:
    """Runs the experiment from the command line."""
    _cli.launch(run, PretrainConfig)


if __name__ == "__main__":
    main()
