"""Emotion prediction in conversation: which emotion will the next turn carry?

    python -m experiments.epc --modality speech+text
    python -m experiments.epc --corpus meld --root MELD.Raw --modality text --seeds 3
    python -m experiments.epc --corpus iemocap --root IEMOCAP_full_release

The context is the previous six turns; the turn to come is never seen. --horizon 0 recognises the
emotion of the utterance just heard instead. The first command needs no download and takes about a
minute on two cores. Prints the table of the README's section on results, and writes mlruns/.
"""

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from conversation_emotion.inference.card import check_registered_name
from conversation_emotion.settings.corpus import CorpusSettings
from conversation_emotion.settings.features import FeatureSettings
from conversation_emotion.settings.training import TrainingSettings
from experiments import commandline as _cli
from experiments.sweep.space import list_choices, propose_features

if TYPE_CHECKING:
    from collections.abc import Iterator

    import optuna

    from conversation_emotion.evaluation.metrics import Interval
    from conversation_emotion.tracker import Memory, Validation
    from experiments._report import Scores


@dataclass(frozen=True, kw_only=True)
class EPCConfig:
    """Settings of one emotion-prediction run."""

    data: CorpusSettings = field(default_factory=CorpusSettings)

    features: FeatureSettings = field(default_factory=FeatureSettings)

    training: TrainingSettings = field(default_factory=lambda: TrainingSettings(learning_rate=5e-4))

    horizon: int = 1
    """How many turns ahead to predict; 0 recognises the utterance just heard."""

    history: int = 6
    """Turns of context at most."""

    history_labels: Literal["none", "gold"] = "none"
    """gold tells the model the true emotions of past turns: an upper reference, not a result."""

    dialogue_model: Literal["hierarchical", "two-role", "single"] = "hierarchical"
    """Shi et al. 2023, Shi et al. 2020, or Shahriar and Kim 2019."""

    fusion: Literal["early", "late", "gated", "cross-attention"] = "early"
    """Join modalities before the dialogue model; or the states of one dialogue model for each; or
    weigh them unit by unit by gates; or let each attend to the other's utterances so far."""

    hidden_size: int = 128
    """Units of each GRU; 256 in Shi et al. 2023."""

    num_layers: int = 1
    """Layers of each GRU; 2 in Shi et al. 2023."""

    dropout: float = 0.5
    """On the inputs of the GRUs, between their layers, and before the heads."""

    input_dropout: float = 0.7
    """On the features, before they are projected to the size of the GRUs."""

    learn_from: Literal["judged", "every"] = "every"
    """What train learns from: only what the protocol judges, or also the later utterances of a turn
    and the emotions outside the classes. Valid and test are the same for both."""

    recognition_weight: float = 0.5
    """Weight of an auxiliary task on train: recognising the emotions of the turns heard."""

    emotion_weight: float = 0.3
    """Weight of another: judging among all emotions that the corpus names."""

    register: str | None = None
    """Name in MLflow's model registry under which to register the model of the training that is
    best on valid; experiments.judge uses it."""

    def __post_init__(self) -> None:
        for name in ("history", "hidden_size", "num_layers"):
            if getattr(self, name) < 1:
                flag = "--" + name.replace("_", "-")
                raise ValueError(f"{flag} must be 1 or more, got {getattr(self, name)}")
        if self.horizon < 0:
            raise ValueError(f"--horizon must be 0 or more, got {self.horizon}")
        for name in ("dropout", "input_dropout"):
            if not 0 <= getattr(self, name) < 1:
                flag = "--" + name.replace("_", "-")
                raise ValueError(f"{flag} must lie in [0, 1), got {getattr(self, name)}")
        check_registered_name(self.register)
        if self.register is not None and self.history_labels == "gold":
            raise ValueError("--register needs --history-labels none: in use nobody tells the past")
        for name in ("recognition_weight", "emotion_weight"):
            if getattr(self, name) < 0:
                flag = "--" + name.replace("_", "-")
                raise ValueError(f"{flag} must be 0 or more, got {getattr(self, name)}")


def search_space(trial: "optuna.trial.BaseTrial", config: EPCConfig) -> EPCConfig:
    """Proposes the settings of one trial; everything else stays as configured."""
    fusion = config.fusion
    if len(config.features.modalities()) > 1:
        fusion = trial.suggest_categorical("fusion", list_choices(EPCConfig, "fusion"))
    dialogue_models = list_choices(EPCConfig, "dialogue_model")
    return dataclasses.replace(
        config,
        features=propose_features(trial, config.features),
        fusion=fusion,
        dialogue_model=trial.suggest_categorical("dialogue_model", dialogue_models),
        hidden_size=trial.suggest_categorical("hidden_size", [64, 128, 256]),
        dropout=trial.suggest_float("dropout", 0.1, 0.6),
        input_dropout=trial.suggest_float("input_dropout", 0.1, 0.8),
        recognition_weight=trial.suggest_float("recognition_weight", 0.0, 1.0),
        emotion_weight=trial.suggest_float("emotion_weight", 0.0, 1.0),
        training=dataclasses.replace(
            config.training,
            optimizer=trial.suggest_categorical(
                "optimizer", list_choices(TrainingSettings, "optimizer")
            ),
            learning_rate=trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True),
            weight_decay=trial.suggest_float("weight_decay", 1e-4, 1e-1, log=True),
        ),
    )


def prepare(config: EPCConfig) -> str:
    """Extracts what a sweep needs before it starts, and returns a digest of the data."""
    from experiments import _conversation

    return _conversation.prepare(config).fingerprint


def validate(config: EPCConfig, memory: "Memory") -> "Iterator[Validation]":
    """Trains each fold and seed and yields how it did on valid, for a sweep."""
    from experiments import _conversation

    return _conversation.validate(config, memory)


def test(config: EPCConfig) -> "dict[str, Interval]":
    """Trains and scores on test, once a sweep has chosen the setting."""
    from experiments import _report

    return run(config)[_report.MODEL]


def run(config: EPCConfig) -> "Scores":
    """Prepares the corpus, trains each fold and seed, scores them, prints the table."""
    from conversation_emotion.inference import best_model as _kept_models
    from experiments import _conversation, _folds
    from experiments.tracking import registry as _registry
    from experiments.tracking import runs as _tracking

    prepared = _conversation.prepare(config)
    with _tracking.open_run("epc", config, prepared.fingerprint) as parent:
        recipe = _conversation.make_recipe(config, prepared)
        if config.register is not None:
            recipe = _kept_models.keep_best(recipe, "epc", config, config.features, prepared)
        predictions = _folds.run_folds(prepared, recipe, parent)
        scores = _conversation.report(config, prepared, predictions, parent)
        if config.register is not None:
            _registry.register(config.register, prepared, predictions, parent)
    return scores


def main() -> None:
    """Runs the experiment from the command line."""
    _cli.launch(run, EPCConfig)


if __name__ == "__main__":
    main()
