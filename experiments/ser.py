"""Speech emotion recognition: how much of an utterance's emotion does a frozen encoder hold?

    python -m experiments.ser
    python -m experiments.ser --corpus emodb --root EmoDB --encoders fbank mfcc egemaps --seeds 5
    python -m experiments.ser --corpus emodb --root EmoDB --encoder fbank --aggregator ecapa
    python -m experiments.ser --corpus iemocap --root IEMOCAP_full_release \
        --protocol emotion2vec-session --encoder emotion2vec_base

The default is SUPERB's probe (Yang et al., 2021): a linear map to 256 units, the mean of the
frames, and a linear map to the classes, on features standardised with the statistics of train;
--head and --aggregator take its place. --protocol does what was published, exactly. Every encoder
gets the same settings. The first command needs no download; once features are extracted, fifty
probes of the 535 utterances of EmoDB take about a minute on two cores. Prints the table of the
README's section on results, one row per encoder, and writes mlruns/, one parent run per encoder.
"""

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from conversation_emotion.inference.card import check_registered_name
from conversation_emotion.settings.corpus import CorpusSettings
from conversation_emotion.settings.features import EncoderSettings
from conversation_emotion.settings.training import TrainingSettings
from experiments import commandline as _cli
from experiments._protocols import PROTOCOLS, resolve
from experiments.sweep.space import list_choices, propose_features

if TYPE_CHECKING:
    from collections.abc import Iterator

    import optuna

    from conversation_emotion.evaluation.metrics import Interval
    from conversation_emotion.tracker import Memory, Validation
    from experiments._report import Scores


@dataclass(frozen=True, kw_only=True)
class SERConfig:
    """Settings of one comparison of encoders."""

    data: CorpusSettings = field(default_factory=CorpusSettings)

    features: EncoderSettings = field(default_factory=EncoderSettings)

    training: TrainingSettings = field(
        default_factory=lambda: TrainingSettings(epochs=100, patience=20)
    )

    protocol: Literal[
        "auto",
        "superb",
        "emotion2vec-session",
        "emotion2vec-speaker",
        "emobox",
        "official",
        "leave-one-session-out",
        "leave-one-speaker-out",
        "speaker-k-fold",
        "recording-prefix",
    ] = "auto"
    """The first four fix everything as published: split, layers, head, optimizer, selection. The
    others are --split by another name; auto leaves all to the other flags."""

    head: Literal["superb", "emotion2vec", "gru", "lda"] = "superb"
    """Two linear maps; or a linear map and ReLU on every frame, pooled, and a linear map; or two
    GRU layers over the frames, pooled, and a linear map; or linear discriminants of shrunk
    covariance, solved without epochs, seeds or valid, for which a sum of layers is their mean."""

    hidden_size: int = 256
    """Units between the two linear maps, or of the GRU."""

    dropout: float = 0.0
    """On the features, before the first linear map."""

    register: str | None = None
    """Name in MLflow's model registry under which to register the model of the training that is
    best on valid; experiments.judge uses it."""

    def __post_init__(self) -> None:
        if self.hidden_size < 1:
            raise ValueError(f"--hidden-size must be 1 or more, got {self.hidden_size}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"--dropout must lie in [0, 1), got {self.dropout}")
        check_registered_name(self.register)
        if self.register is not None and len(self.features.encoders) > 1:
            raise ValueError(
                f"--register needs one of --encoders, got {len(self.features.encoders)}"
            )
        if self.head in ("emotion2vec", "gru") and self.features.speech_pooling in (
            "mean",
            "statistics",
        ):
            raise ValueError(f"--head {self.head} needs --speech-pooling frames")
        if self.head == "lda":
            self._check_solved()

    def _check_solved(self) -> None:
        """Raises a `ValueError` where something would be trained, or chance take part."""
        if self.features.aggregator in ("attention", "ecapa"):
            raise ValueError(f"--head lda trains no --aggregator, got {self.features.aggregator}")
        if self.training.seeds > 1 or self.dropout:
            raise ValueError(
                "--head lda knows no chance: leave --seeds and --dropout out, got "
                f"{self.training.seeds} and {self.dropout:g}"
            )

    def of_encoder(self, name: str) -> "SERConfig":
        """Returns the settings of the run of one of the encoders."""
        return dataclasses.replace(
            self, features=dataclasses.replace(self.features, encoders=(name,))
        )


def search_space(trial: "optuna.trial.BaseTrial", config: SERConfig) -> SERConfig:
    """Proposes the settings of one trial; everything else stays as configured."""
    if config.protocol in PROTOCOLS:
        raise ValueError(f"--protocol {config.protocol} fixes what a sweep varies; name a --split")
    encoders = config.features.encoders
    if len(encoders) > 1:
        config = config.of_encoder(trial.suggest_categorical("encoder", encoders))
    if config.head == "lda":
        pooled = dataclasses.replace(config.features, speech_pooling="mean", aggregator="mean")
        return dataclasses.replace(config, features=propose_features(trial, pooled))
    return dataclasses.replace(
        config,
        features=propose_features(trial, config.features),
        hidden_size=trial.suggest_categorical("hidden_size", [64, 128, 256]),
        dropout=trial.suggest_float("dropout", 0.0, 0.6),
        training=dataclasses.replace(
            config.training,
            optimizer=trial.suggest_categorical(
                "optimizer", list_choices(TrainingSettings, "optimizer")
            ),
            learning_rate=trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True),
            weight_decay=trial.suggest_float("weight_decay", 1e-4, 0.5, log=True),
        ),
    )


def prepare(config: SERConfig) -> str:
    """Extracts what a sweep needs before it starts, and returns a digest of the data."""
    from experiments import _utterances

    config = resolve(config)
    return " ".join(data.fingerprint for data in _utterances.prepare(config).values())


def validate(config: SERConfig, memory: "Memory") -> "Iterator[Validation]":
    """Trains each fold and seed and yields how it did on valid, for a sweep."""
    from experiments import _utterances

    return _utterances.validate(resolve(config), memory)


def test(config: SERConfig) -> "dict[str, Interval]":
    """Trains and scores on test, once a sweep has chosen the setting."""
    from experiments import _report

    (scores,) = run(config).values()
    return scores[_report.MODEL]


def run(config: SERConfig) -> "dict[str, Scores]":
    """Extracts each encoder's features, trains each fold and seed on them, prints the table."""
    from experiments import _utterances
    from experiments.tracking import runs as _tracking

    config = resolve(config)
    prepared = _utterances.prepare(config)
    commands = [(config.of_encoder(name), data.fingerprint) for name, data in prepared.items()]
    with _tracking.open_runs("ser", commands) as parents:
        scores = _utterances.train(config, prepared, parents, config.register)
        _utterances.report(config, prepared, scores, parents, [alone for alone, _ in commands])
    return scores


def main() -> None:
    """Runs the experiment from the command line."""
    _cli.launch(run, SERConfig)


if __name__ == "__main__":
    main()
