"""Sentiment: is an utterance positive or negative, heard, read, or both?

    python -m experiments.sentiment --corpus meld --root MELD.Raw
    python -m experiments.sentiment --corpus meld --root MELD.Raw --modality text --history 6
    python -m experiments.sentiment --corpus cmu-mosi --root CMU_MOSI --encoders WavLM-base
    python -m experiments.sentiment --corpus cmu-mosi --root CMU_MOSI --regression

As in emotion2vec's table (Ma et al., 2024, after Lian et al., 2023): neutral utterances are left
out, the corpus' own split is used, and a linear head judges the mean of an encoder's last four
layers. --labels all keeps neutral as a third class. --history hears the turns before as well, by
the dialogue model of experiments.epc; --regression predicts the number from -3 to 3 instead. The
defaults need no download. Prints one row per modality and encoder, and writes mlruns/.
"""

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from conversation_emotion.settings.corpus import CorpusSettings
from conversation_emotion.settings.features import ONE_LAYER, FeatureSettings, check_encoders
from conversation_emotion.settings.training import TrainingSettings
from experiments import commandline as _cli

if TYPE_CHECKING:
    from collections.abc import Iterator

    import optuna

    from conversation_emotion.evaluation.metrics import Interval
    from conversation_emotion.tracker import Memory, Validation
    from experiments._sentiment import Scores

Modality = Literal["speech", "text", "speech+text"]


@dataclass(frozen=True, kw_only=True)
class HeardSettings:
    """What is heard and read of each utterance: the rows of the table."""

    modality: tuple[Modality, ...] = ("speech", "text", "speech+text")
    """Modalities to compare, a row each."""

    encoders: tuple[str, ...] = ("emotion2vec-mini",)
    """Speech encoders to compare, a row each: fbank, mfcc, egemaps, emotion2vec-mini, or
    checkpoints by hub id or folder."""

    text_encoder: str = "all-MiniLM-L6-v2"
    """Sentence-transformers model, or a BERT-like one (tokens:NAME): hub id or folder."""

    speech_layers: Literal["last", "last-4", "all"] | int = "last-4"
    """The last layer, the mean of the last four, a number, or a learned sum of all; fbank, mfcc and
    egemaps have but the last."""

    text_layers: Literal["last", "last-4", "all"] | int = "last-4"
    """As --speech-layers, for the text encoder."""

    layer_mixture: Literal["sum", "join"] = "sum"
    """How several layers become one: a learned weighted sum, or beside each other."""

    half_precision: bool = False
    """Keep features on disk in 16 instead of 32 bits."""

    def __post_init__(self) -> None:
        check_encoders(self.encoders)
        if not self.modality:
            raise ValueError("--modality needs one or more")
        if repeated := sorted({name for name in self.modality if self.modality.count(name) > 1}):
            raise ValueError(f"--modality names {repeated[0]} more than once")

    def of_row(self) -> FeatureSettings:
        """Returns what to extract for settings that have one modality and one encoder."""
        (modality,), (encoder,) = self.modality, self.encoders
        return FeatureSettings(
            modality=modality,
            speech_encoder=encoder,
            speech_layers="last" if encoder in ONE_LAYER else self.speech_layers,
            speech_pooling="mean",
            text_encoder=self.text_encoder,
            text_layers=self.text_layers,
            layer_mixture=self.layer_mixture,
            half_precision=self.half_precision,
        )


@dataclass(frozen=True, kw_only=True)
class SentimentConfig:
    """Settings of one table of sentiment."""

    data: CorpusSettings = field(default_factory=CorpusSettings)

    features: HeardSettings = field(default_factory=HeardSettings)

    training: TrainingSettings = field(
        default_factory=lambda: TrainingSettings(
            epochs=100, patience=20, class_weights="none", select_by="wa"
        )
    )

    regression: bool = False
    """Predict the number from -3 to 3 by least squares; scores are Pearson's r and the error."""

    history: int = 0
    """Turns of context; 0 judges each utterance by itself, with the linear head."""

    dialogue_model: Literal["hierarchical", "two-role", "single"] = "hierarchical"
    """With context: Shi et al. 2023, Shi et al. 2020, or Shahriar and Kim 2019."""

    hidden_size: int = 256
    """Units between the two linear maps; with context, of each GRU."""

    dropout: float = 0.0
    """On the features."""

    state_dropout: float = 0.5
    """With context: on the inputs of the GRUs and before the head."""

    def __post_init__(self) -> None:
        if self.data.labels not in ("auto", "all"):
            raise ValueError(
                f"--labels {self.data.labels} are emotions; sentiment has auto, negative and "
                "positive, or all, neutral as well"
            )
        if self.hidden_size < 1:
            raise ValueError(f"--hidden-size must be 1 or more, got {self.hidden_size}")
        if self.history < 0:
            raise ValueError(f"--history must be 0 or more, got {self.history}")
        for name in ("dropout", "state_dropout"):
            if not 0 <= getattr(self, name) < 1:
                flag = "--" + name.replace("_", "-")
                raise ValueError(f"{flag} must lie in [0, 1), got {getattr(self, name)}")

    def rows(self) -> dict[str, "SentimentConfig"]:
        """Returns the settings of the run of each row, by what the row is called."""
        rows = {}
        for modality in self.features.modality:
            for encoder in self.features.encoders[: 1 if modality == "text" else None]:
                heard = {"speech": encoder, "text": self.features.text_encoder}
                name = f"{modality}: " + ", ".join(heard[part] for part in modality.split("+"))
                features = dataclasses.replace(
                    self.features, modality=(modality,), encoders=(encoder,)
                )
                rows[name] = dataclasses.replace(self, features=features)
        return rows


def search_space(trial: "optuna.trial.BaseTrial", config: SentimentConfig) -> SentimentConfig:
    """Proposes the settings of one trial; everything else stays as configured."""
    if config.regression:
        raise ValueError("--regression is not swept: a sweep is led by the recall of classes")
    rows = config.rows()
    if len(rows) > 1:
        config = rows[trial.suggest_categorical("row", list(rows))]
    return dataclasses.replace(
        config,
        hidden_size=trial.suggest_categorical("hidden_size", [64, 128, 256]),
        dropout=trial.suggest_float("dropout", 0.0, 0.7),
        training=dataclasses.replace(
            config.training,
            learning_rate=trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True),
            weight_decay=trial.suggest_float("weight_decay", 1e-4, 0.9, log=True),
        ),
    )


def prepare(config: SentimentConfig) -> str:
    """Extracts what a sweep needs before it starts, and returns a digest of the data."""
    from experiments import _sentiment

    rows = _sentiment.prepare(config).values()
    return " ".join(row.prepared.fingerprint for row in rows)


def validate(config: SentimentConfig, memory: "Memory") -> "Iterator[Validation]":
    """Trains each fold and seed and yields how it did on valid, for a sweep."""
    from experiments import _sentiment

    return _sentiment.validate(config, memory)


def test(config: SentimentConfig) -> "dict[str, Interval]":
    """Trains and scores on test, once a sweep has chosen the setting."""
    from experiments import _report

    (scores,) = run(config).values()
    return scores[_report.MODEL]


def run(config: SentimentConfig) -> "dict[str, Scores]":
    """Prepares each row, trains each fold and seed of it, prints the table."""
    from experiments import _sentiment, _sentiment_report
    from experiments.tracking import runs as _tracking

    prepared = _sentiment.prepare(config)
    commands = [(row.config, row.prepared.fingerprint) for row in prepared.values()]
    with _tracking.open_runs("sentiment", commands) as parents:
        scores = _sentiment.train(prepared, parents)
        _sentiment_report.report(config, prepared, scores, parents)
    return scores


def main() -> None:
    """Runs the experiment from the command line."""
    _cli.launch(run, SentimentConfig)


if __name__ == "__main__":
    main()
