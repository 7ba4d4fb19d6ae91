"""Fine-tuning: does an encoder that learns beat the frozen one, and do averaged weights help?

    python -m experiments.finetune
    python -m experiments.finetune --corpus emodb --root EmoDB
    python -m experiments.finetune --corpus iemocap --root IEMOCAP_full_release \
        --split leave-one-session-out --encoder facebook/wav2vec2-base --learning-rate 2e-5 \
        --epochs 20 --patience 20
    python -m experiments.finetune --modality text --encoder google-bert/bert-base-uncased \
        --learning-rate 2e-5 --lora-rank 8

The set-up of Morais et al. (2022): encoder, mean of the frames and a linear classifier learn
together, for each fold; the five best checkpoints by valid accuracy are averaged. Beside it stand
the best single checkpoint of the same training and the same head on the frozen encoder. The
averaged encoder of each fold is a folder that any experiment takes as an encoder; the folder above
them all is taken as a family, of which each fold hears its own. An experiment refuses an encoder
that knows the people it tests. Prints a table of the three. On one core a fold of the second
command, ten folds of EmoDB, takes about four minutes.
"""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from conversation_emotion.settings.corpus import CorpusSettings
from experiments import commandline as _cli
from experiments._tuning_settings import TunableSettings, TuningTraining

if TYPE_CHECKING:
    import optuna


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig:
    """Settings of the fine-tuning of one encoder."""

    data: CorpusSettings = field(default_factory=CorpusSettings)

    modality: Literal["speech", "text"] = "speech"
    """What is heard or read."""

    tuned: TunableSettings = field(default_factory=TunableSettings)

    training: TuningTraining = field(default_factory=TuningTraining)

    out: Path | None = None
    """Folder for the averaged encoders, one for each fold; none takes mlruns/finetuning/RUN."""


def search_space(trial: "optuna.trial.BaseTrial", config: FinetuneConfig) -> FinetuneConfig:
    """Proposes the settings of one trial; everything else stays as configured."""
    return dataclasses.replace(
        config,
        training=dataclasses.replace(
            config.training,
            learning_rate=trial.suggest_float("learning_rate", 1e-5, 1e-3, log=True),
            layer_decay=trial.suggest_float("layer_decay", 0.6, 1.0),
            dropout=trial.suggest_float("dropout", 0.0, 0.5),
            batch_size=trial.suggest_categorical("batch_size", [8, 16, 32]),
        ),
    )


def run(config: FinetuneConfig) -> None:
    """Tunes the encoder on each fold, saves it, and prints the table."""
    from experiments import _finetuning
    from experiments.tracking import runs as _tracking

    prepared = _finetuning.prepare(config)
    with _tracking.open_run("finetune", config, prepared.fingerprint) as parent:
        predictions = _finetuning.train(config, prepared, parent)
        _finetuning.report(config, prepared, predictions, parent)


def main() -> None:
    """Runs the experiment from the command line."""
    _cli.launch(run, FinetuneConfig)


if __name__ == "__main__":
    main()
