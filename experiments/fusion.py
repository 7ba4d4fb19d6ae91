"""Fusion of speech and text encoders: where should they meet to tell an utterance's emotion?

    python -m experiments.fusion
    python -m experiments.fusion --corpus meld --root MELD.Raw --rows 9,10,11
    python -m experiments.fusion --corpus iemocap --root IEMOCAP_full_release --rows 1-11 \
        --split superb --superb-folds META_DATA --wav2vec2 tuned/wav2vec2 --hubert tuned/hubert

The rows are those of Morais et al. (2022), table 1, by their number, and ours from 12 on: "+" joins
the frames of two encoders before one ECAPA-TDNN, "&" the utterance vectors of two before the
classifier; gates, cross-attention and joined decisions (19 and 20, which train the rows that they
join and weigh them by valid) are beyond the paper. Fine-tuned, averaged encoders are the
folders that experiments.finetune writes, one encoder for each fold. Prints WACC and UACC with
intervals beside the published figures, and the significance of every difference; each row is a run
of one experiment in the tracking. The first command needs no download.
"""

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from conversation_emotion.settings.corpus import CorpusSettings
from conversation_emotion.settings.features import FeatureSettings, check_encoders
from conversation_emotion.settings.training import TrainingSettings
from experiments import commandline as _cli
from experiments._fusion_rows import ROWS, read_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    import optuna

    from conversation_emotion.evaluation.metrics import Interval
    from conversation_emotion.tracker import Memory, Validation
    from experiments._fusion import Judged


@dataclass(frozen=True, kw_only=True)
class FusionConfig:
    """Settings of one table of fusions."""

    data: CorpusSettings = field(default_factory=CorpusSettings)

    training: TrainingSettings = field(
        default_factory=lambda: TrainingSettings(
            epochs=30, patience=30, schedule="cosine", average_best=5
        )
    )

    rows: str = "9-14"
    """Rows of the table: 1 to 11 as in the paper, 12 to 20 ours; 9,10,11 or 1-8."""

    fbank: str = "fbank"
    """What the rows call Fbank."""

    wav2vec2: str = "facebook/wav2vec2-large-robust"
    """What they call W2V2: hub id, folder, or a folder of experiments.finetune."""

    hubert: str = "facebook/hubert-large-ll60k"
    """What they call HuBERT."""

    bert: str = "tokens:all-MiniLM-L6-v2"
    """What they call BERT; tokens:google-bert/bert-base-uncased in the paper."""

    emotion2vec: str = "emotion2vec-mini"
    """What they call emotion2vec."""

    aggregator_size: int = 32
    """Channels of ECAPA-TDNN, 512 as published."""

    dropout: float = 0.3
    """On the utterance vectors."""

    text_dropout: float = 0.5
    """Chance that an utterance that is heard loses its text in training: a few hundred texts are
    learnt by heart before voices are understood, which then stay unlearnt."""

    half_precision: bool = False
    """Keep features on disk in 16 instead of 32 bits."""

    def __post_init__(self) -> None:
        read_rows(self.rows)
        for name in ("fbank", "wav2vec2", "hubert", "emotion2vec"):
            check_encoders((getattr(self, name),), side_by_side=False)
        if self.aggregator_size < 8 or self.aggregator_size % 8:
            raise ValueError(
                f"--aggregator-size must be a multiple of 8, got {self.aggregator_size}"
            )
        for name in ("dropout", "text_dropout"):
            if not 0 <= getattr(self, name) < 1:
                flag = "--" + name.replace("_", "-")
                raise ValueError(f"{flag} must lie in [0, 1), got {getattr(self, name)}")

    def of_row(self, number: int) -> "FusionConfig":
        """Returns the settings of the run of one row."""
        best = self.training.average_best if ROWS[number].is_averaged else 1
        training = dataclasses.replace(self.training, average_best=best)
        return dataclasses.replace(self, rows=str(number), training=training)

    def of_encoder(self, flag: str) -> FeatureSettings:
        """Returns what to extract with the encoder that a row names."""
        name = getattr(self, flag)
        if flag == "bert":
            return FeatureSettings(
                modality="text",
                text_encoder=name,
                text_layers="last",
                text_pooling="frames",
                layer_mixture="sum",
                half_precision=self.half_precision,
            )
        return FeatureSettings(
            modality="speech",
            speech_encoder=name,
            speech_layers="all" if flag == "emotion2vec" else "last",
            speech_pooling="frames",
            layer_mixture="sum",
            half_precision=self.half_precision,
        )


def search_space(trial: "optuna.trial.BaseTrial", config: FusionConfig) -> FusionConfig:
    """Proposes the settings of one trial; everything else stays as configured."""
    numbers = read_rows(config.rows)
    if joined := [number for number in numbers if ROWS[number].decisions_of]:
        raise ValueError(f"--rows {joined[0]} joins what others decide, a sweep trains single rows")
    rows = [str(number) for number in numbers]
    return dataclasses.replace(
        config,
        rows=trial.suggest_categorical("rows", rows),
        aggregator_size=trial.suggest_categorical("aggregator_size", [32, 64, 128]),
        dropout=trial.suggest_float("dropout", 0.0, 0.6),
        training=dataclasses.replace(
            config.training,
            learning_rate=trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True),
        ),
    )


def prepare(config: FusionConfig) -> str:
    """Extracts what a sweep needs before it starts, and returns a digest of the data."""
    from experiments import _fusion

    return " ".join(data.fingerprint for data in _fusion.prepare(config).values())


def validate(config: FusionConfig, memory: "Memory") -> "Iterator[Validation]":
    """Trains each fold and seed and yields how it did on valid, for a sweep."""
    from experiments import _fusion

    return _fusion.validate(config, memory)


def test(config: FusionConfig) -> "dict[str, Interval]":
    """Trains and scores on test, once a sweep has chosen the setting."""
    from experiments import _report

    (judged,) = run(config).values()
    return judged.scores[_report.MODEL]


def run(config: FusionConfig) -> "dict[int, Judged]":
    """Extracts what the rows hear, trains each fold and seed of each row, prints the tables."""
    from experiments import _fusion
    from experiments.tracking import runs as _tracking

    prepared = _fusion.prepare(config)
    commands = [(config.of_row(number), data.fingerprint) for number, data in prepared.items()]
    with _tracking.open_runs("fusion", commands) as parents:
        judged = _fusion.train(config, prepared, parents)
        _fusion.report(config, prepared, judged, parents)
    return judged


def main() -> None:
    """Runs the experiment from the command line."""
    _cli.launch(run, FusionConfig)


if __name__ == "__main__":
    main()
