"""Emotion of song: what a frozen encoder of speech makes of 23 actors who sing.

    python -m experiments.song --root RAVDESS --encoders emotion2vec_base

RAVDESS-Song by emotion2vec's protocol (Ma et al., 2024): five folds, of which one tests and one
further, unseen one selects the epoch, and a linear head of 256 units on frozen features. The folds
are by actor, six emotions are told apart; whose folds the authors took is not published. Takes the
folder that holds Audio_Song_Actors_01-24, and a minute or two once features are extracted. Prints
one row per encoder, the published ones below, and writes mlruns/, one parent run per encoder.
"""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from conversation_emotion.settings.corpus import CorpusSettings
from conversation_emotion.settings.features import EncoderSettings
from conversation_emotion.settings.training import TrainingSettings
from experiments import commandline as _cli
from experiments.ser import SERConfig

if TYPE_CHECKING:
    import optuna


@dataclass(frozen=True, kw_only=True)
class SongConfig:
    """Settings of one table of song."""

    root: Path | None = None
    """Folder that holds Audio_Song_Actors_01-24, or the actors' folders."""

    features: EncoderSettings = field(
        default_factory=lambda: EncoderSettings(encoders=("emotion2vec-mini",))
    )

    training: TrainingSettings = field(
        default_factory=lambda: TrainingSettings(epochs=100, patience=20)
    )

    strict: bool = False
    """Stop at a recording that is missing or broken, instead of naming it and masking it."""

    hidden_size: int = 256
    """Units between the two linear maps."""

    dropout: float = 0.0
    """On the features, before the first linear map."""

    def __post_init__(self) -> None:
        if self.root is None:
            raise ValueError("--root is the folder that holds Audio_Song_Actors_01-24")
        if self.hidden_size < 1:
            raise ValueError(f"--hidden-size must be 1 or more, got {self.hidden_size}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"--dropout must lie in [0, 1), got {self.dropout}")

    def as_probe(self) -> SERConfig:
        """Returns the same as the probe of single utterances takes them."""
        return SERConfig(
            data=CorpusSettings(
                corpus="ravdess-song",
                root=self.root,
                split="speaker-k-fold",
                valid="fold",
                strict=self.strict,
            ),
            features=self.features,
            training=self.training,
            hidden_size=self.hidden_size,
            dropout=self.dropout,
        )

    def of_encoder(self, name: str) -> "SongConfig":
        """Returns the settings of the run of one of the encoders."""
        return dataclasses.replace(
            self, features=dataclasses.replace(self.features, encoders=(name,))
        )


def search_space(trial: "optuna.trial.BaseTrial", config: SongConfig) -> SongConfig:
    """Proposes the settings of one trial; everything else stays as configured."""
    return dataclasses.replace(
        config,
        dropout=trial.suggest_float("dropout", 0.0, 0.6),
        training=dataclasses.replace(
            config.training,
            learning_rate=trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True),
            weight_decay=trial.suggest_float("weight_decay", 1e-4, 0.9, log=True),
        ),
    )


def run(config: SongConfig) -> None:
    """Extracts each encoder's features, trains each fold and seed on them, prints the table."""
    from experiments import _utterances
    from experiments.tracking import runs as _tracking

    probe = config.as_probe()
    prepared = _utterances.prepare(probe)
    commands = [(config.of_encoder(name), data.fingerprint) for name, data in prepared.items()]
    with _tracking.open_runs("song", commands) as parents:
        scores = _utterances.train(probe, prepared, parents)
        _utterances.report(probe, prepared, scores, parents, [alone for alone, _ in commands])


def main() -> None:
    """Runs the experiment from the command line."""
    _cli.launch(run, SongConfig)


if __name__ == "__main__":
    main()
