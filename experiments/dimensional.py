"""Dimensional emotion: how well do contexts of CPC tell activation, valence and dominance?

    python -m experiments.dimensional --encoders mfcc emotion2vec-mini PRETRAINED_CPC --seeds 5
    python -m experiments.dimensional --encoders mfcc end-to-end mini-cpc PRETRAINED_CPC
    python -m experiments.dimensional --corpus iemocap --root IEMOCAP_full_release
        --split leave-one-session-out --stride 1 --seeds 5

The recogniser of Li et al. (2021) on frames: eight heads of attention, mean and deviation over
time, two layers, and the loss 1 - CCC. mfcc is their supervised row, end-to-end learns CPC's
encoder with the recogniser, mini-cpc first pre-trains it on the train part of each fold without
labels; PRETRAINED_CPC stands for a folder that experiments.pretrain_cpc wrote, and any other
encoder of the suite may stand there. On the demo corpus a frozen encoder takes some minutes on two
cores; end-to-end and mini-cpc want a GPU. Prints one row per encoder and writes mlruns/.
"""

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from conversation_emotion.settings.corpus import CorpusSettings
from conversation_emotion.settings.features import FeatureSettings, check_encoders
from experiments import commandline as _cli

if TYPE_CHECKING:
    from collections.abc import Iterator

    import optuna

    from conversation_emotion.evaluation.metrics import Interval
    from conversation_emotion.tracker import Memory, Validation


@dataclass(frozen=True, kw_only=True)
class RatingSettings:
    """What is heard, and how each recogniser is trained."""

    encoders: tuple[str, ...] = ("mfcc",)
    """Rows of the table: end-to-end, mini-cpc, or encoders by name, hub id or folder."""

    speech_layers: Literal["last", "last-4", "all"] | int = "last"
    """Layer to use: the last, the mean of the last four, a number, or a learned sum of all."""

    stride: int = 4
    """Frames averaged to one before the attention; 1 as published, at many times the cost."""

    dropout: float = 0.2
    """Behind each of the two layers."""

    loss_weights: tuple[float, float, float] = (1 / 3, 1 / 3, 1 / 3)
    """Weights of activation, valence and dominance in the loss; those of the paper are unknown."""

    learning_rate: float = 2e-4
    """Step size of Adam."""

    weight_decay: float = 1e-5
    """Weight decay of Adam."""

    batch_size: int = 64
    """Utterances in a batch, whose CCC the loss is of."""

    epochs: int = 50
    """Passes over train at most; the best by the CCC of valid is kept."""

    patience: int = 15
    """Epochs without a better CCC after which training stops."""

    seeds: int = 1
    """How many times each fold is trained, with the seeds 0, 1, 2, ...; 5 in the paper."""

    resamples: int = 2000
    """Bootstrap resamples behind each 95 % interval."""

    half_precision: bool = False
    """Keep features on disk in 16 instead of 32 bits."""

    def __post_init__(self) -> None:
        check_encoders(self.encoders, side_by_side=False)
        for name in ("stride", "batch_size", "epochs", "patience", "seeds", "resamples"):
            if getattr(self, name) < 1:
                flag = "--" + name.replace("_", "-")
                raise ValueError(f"{flag} must be 1 or more, got {getattr(self, name)}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"--dropout must lie in [0, 1), got {self.dropout}")
        if not 0 < self.learning_rate < 1:
            raise ValueError(f"--learning-rate must lie in (0, 1), got {self.learning_rate}")
        if min(self.loss_weights) < 0 or not sum(self.loss_weights):
            raise ValueError("--loss-weights must be 0 or more, and one of them above 0")

    def of_encoder(self, name: str) -> FeatureSettings:
        """Returns what to extract with one of the encoders."""
        return FeatureSettings(
            modality="speech",
            speech_encoder=name,
            speech_layers=self.speech_layers,
            speech_pooling="frames",
            layer_mixture="sum",
            half_precision=self.half_precision,
        )


@dataclass(frozen=True, kw_only=True)
class MiniSettings:
    """How mini-cpc is pre-trained on each fold."""

    mini_steps: int = 300
    """Updates of the pre-training on each train part."""

    mini_crop_seconds: float = 2.0
    """Length of its clips, 10 in the paper."""

    mini_clips: int = 16
    """Clips of an update."""

    def __post_init__(self) -> None:
        if self.mini_steps < 1 or self.mini_clips < 1:
            raise ValueError("--mini-steps and --mini-clips must be 1 or more")
        if self.mini_crop_seconds < 0.1:
            raise ValueError(
                f"--mini-crop-seconds must be 0.1 or more, got {self.mini_crop_seconds:g}"
            )


@dataclass(frozen=True, kw_only=True)
class DimensionalConfig:
    """Settings of one comparison of encoders."""

    data: CorpusSettings = field(default_factory=CorpusSettings)

    ratings: RatingSettings = field(default_factory=RatingSettings)

    mini: MiniSettings = field(default_factory=MiniSettings)

    def of_encoder(self, name: str) -> "DimensionalConfig":
        """Returns the settings of the run of one of the encoders."""
        return dataclasses.replace(
            self, ratings=dataclasses.replace(self.ratings, encoders=(name,))
        )


def search_space(trial: "optuna.trial.BaseTrial", config: DimensionalConfig) -> DimensionalConfig:
    """Proposes the settings of one trial; everything else stays as configured."""
    encoders = config.ratings.encoders
    if len(encoders) > 1:
        config = config.of_encoder(trial.suggest_categorical("encoder", encoders))
    return dataclasses.replace(
        config,
        ratings=dataclasses.replace(
            config.ratings,
            dropout=trial.suggest_float("dropout", 0.0, 0.6),
            learning_rate=trial.suggest_float("learning_rate", 5e-5, 5e-3, log=True),
            weight_decay=trial.suggest_float("weight_decay", 1e-6, 1e-2, log=True),
            batch_size=trial.suggest_categorical("batch_size", [32, 64, 128]),
        ),
    )


def prepare(config: DimensionalConfig) -> str:
    """Extracts what a sweep needs before it starts, and returns a digest of the data."""
    from experiments import _ratings

    return _ratings.prepare(config)


def validate(config: DimensionalConfig, memory: "Memory") -> "Iterator[Validation]":
    """Trains each fold and seed and yields how it did on valid, for a sweep."""
    from experiments import _ratings

    return _ratings.validate(config, memory)


def test(config: DimensionalConfig) -> "dict[str, Interval]":
    """Trains and scores on test, once a sweep has chosen the setting."""
    (scores,) = run(config).values()
    return {"ccc_mean": scores["ccc_mean"], **scores}


def run(config: DimensionalConfig) -> "dict[str, dict[str, Interval]]":
    """Hears the corpus with each encoder, trains each fold and seed, prints the table."""
    from experiments import _rating_report, _ratings
    from experiments.tracking import runs as _tracking

    rated = _ratings.read_rated(config.data)
    inputs = _ratings.make_inputs(config, rated)
    commands = [(config.of_encoder(one.encoder), rated.fingerprint(one)) for one in inputs]
    with _tracking.open_runs("dimensional", commands) as parents:
        scores = _ratings.train(config, rated, inputs, parents)
        _rating_report.report(config, rated, scores, parents)
    return scores


def main() -> None:
    """Runs the experiment from the command line."""
    _cli.launch(run, DimensionalConfig)


if __name__ == "__main__":
    main()
