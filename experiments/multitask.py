"""Two tasks at once: does an encoder that also learns to spell recognise emotion better?

    python -m experiments.multitask --max-folds 1
    python -m experiments.multitask --corpus iemocap --root IEMOCAP_full_release \
        --split recording-prefix --encoder facebook/wav2vec2-base --blocks None --pooling sum \
        --freeze nothing --learning-rate 5e-5 --epochs 100 --patience 100
    python -m experiments.multitask --corpus iemocap --root IEMOCAP_full_release \
        --split leave-one-speaker-out --encoder facebook/wav2vec2-base --blocks None \
        --learning-rate 5e-5 --epochs 100 --patience 100

One encoder with two heads (Cai et al., 2021): the emotion from the pooled frames, and a character
of the transcript or a blank from every frame, with the loss CE + alpha CTC. Each alpha is trained
alike; alpha 0 learns emotion alone, and its second head stays as it began. The folds of the second
command are those that were published: each is what was recorded while one actor wore the markers,
and both actors of that session also speak in train, so it leaks; the third command's do not. Prints
the table of the README's section on results and some transcripts of the last alpha. The first
command, for minutes on two cores, trains the lowest three blocks of emotion2vec-mini on one fold of
the demo corpus, whose sentences nearly all occur in train as well.
"""

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from conversation_emotion.settings.corpus import CorpusSettings
from experiments import commandline as _cli
from experiments._tuning_settings import TunableSettings, TuningTraining

if TYPE_CHECKING:
    from collections.abc import Iterator

    import optuna

    from conversation_emotion.evaluation.metrics import Interval
    from conversation_emotion.tracker import Memory, Validation
    from experiments._multitask import AlphaScores


@dataclass(frozen=True, kw_only=True)
class MultitaskConfig:
    """Settings of one ablation of alpha."""

    data: CorpusSettings = field(default_factory=CorpusSettings)

    tuned: TunableSettings = field(default_factory=lambda: TunableSettings(blocks=3))

    training: TuningTraining = field(
        default_factory=lambda: TuningTraining(
            epochs=8,
            learning_rate=1e-3,
            head_learning_rate=3e-3,
            batch_size=8,
            average_best=3,
        )
    )

    alphas: tuple[float, ...] = (0.0, 0.001, 0.01, 0.1, 1.0)
    """Weights of the transcript's loss, each a row of the table and a run of its own."""

    pooling: Literal["mean", "sum"] = "mean"
    """What becomes of the real frames before the emotion's head; published is the sum."""

    shown: int = 5
    """Transcripts to print."""

    def __post_init__(self) -> None:
        if not self.alphas or min(self.alphas) < 0:
            raise ValueError(f"--alphas needs one number or more of 0 and above, got {self.alphas}")
        if len(set(self.alphas)) < len(self.alphas):
            raise ValueError(f"--alphas names one more than once: {self.alphas}")

    def of_alpha(self, alpha: float) -> "MultitaskConfig":
        """Returns the settings of the run of one alpha."""
        return dataclasses.replace(self, alphas=(alpha,))


def search_space(trial: "optuna.trial.BaseTrial", config: MultitaskConfig) -> MultitaskConfig:
    """Proposes the settings of one trial; everything else stays as configured."""
    return dataclasses.replace(
        config,
        alphas=(trial.suggest_float("alpha", 1e-4, 1.0, log=True),),
        pooling=trial.suggest_categorical("pooling", ["mean", "sum"]),
        training=dataclasses.replace(
            config.training,
            learning_rate=trial.suggest_float("learning_rate", 1e-5, 1e-3, log=True),
            dropout=trial.suggest_float("dropout", 0.0, 0.5),
        ),
    )


def prepare(config: MultitaskConfig) -> str:
    """Extracts what a sweep needs before it starts, and returns a digest of the data."""
    from experiments import _multitask

    return _multitask.prepare(config).data.fingerprint


def validate(config: MultitaskConfig, memory: "Memory") -> "Iterator[Validation]":
    """Trains each fold and seed and yields how it did on valid, for a sweep."""
    from experiments import _multitask

    return _multitask.validate(config, memory)


def test(config: MultitaskConfig) -> "dict[str, Interval]":
    """Trains and scores on test, once a sweep has chosen the setting."""
    (scores,) = run(config).values()
    return {**scores.emotion, "wer": scores.word_errors}


def run(config: MultitaskConfig) -> "dict[float, AlphaScores]":
    """Trains each fold with each alpha and prints the table."""
    from experiments import _multitask
    from experiments.tracking import runs as _tracking

    prepared = _multitask.prepare(config)
    commands = [(config.of_alpha(alpha), prepared.data.fingerprint) for alpha in config.alphas]
    with _tracking.open_runs("multitask", commands) as parents:
        results = _multitask.train(config, prepared, parents)
        _multitask.report(config, prepared, results, parents)
    return results


def main() -> None:
    """Runs the experiment from the command line."""
    _cli.launch(run, MultitaskConfig)


if __name__ == "__main__":
    main()
