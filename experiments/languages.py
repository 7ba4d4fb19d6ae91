"""Emotion in nine languages, or three corpora of English, with frozen encoders.

    python -m experiments.languages --roots emodb=EmoDB cafe=CaFE --encoders emotion2vec_base
    python -m experiments.languages --table english --roots ravdess=RAVDESS savee=SAVEE

emotion2vec's tables of languages and of English corpora (Ma et al., 2024): a linear head of 256
units on frozen features, WA, UA and weighted F1. There is a row for each corpus whose folder is
given and each encoder, with the published rows below. Splits are those of the corpora in
experiments.ser, by speaker or official; the authors' own are not published. Once features are
extracted a corpus takes a minute or two on two cores. Writes mlruns/, one parent run per row.
"""

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from conversation_emotion.settings.features import EncoderSettings
from conversation_emotion.settings.training import TrainingSettings
from experiments import commandline as _cli
from experiments.commandline import parse_places

if TYPE_CHECKING:
    import optuna

TABLES: dict[str, tuple[str, ...]] = {
    "languages": (
        "aesdd",
        "cafe",
        "resd",
        "emodb",
        "emovo",
        "m3ed",
        "subesco",
        "shemo",
        "urdu",
    ),
    "english": ("meld", "ravdess", "savee"),
}
"""The corpora of each table, in the order of the published ones."""


@dataclass(frozen=True, kw_only=True)
class LanguagesConfig:
    """Settings of one table of corpora."""

    table: Literal["languages", "english"] = "languages"
    """Greek, French, Russian, German, Italian, Mandarin, Bangla, Persian and Urdu; or English."""

    roots: tuple[str, ...] = ()
    """Corpora of the table with their folders, such as emodb=EmoDB cafe=CaFE."""

    features: EncoderSettings = field(
        default_factory=lambda: EncoderSettings(encoders=("emotion2vec-mini",))
    )

    training: TrainingSettings = field(
        default_factory=lambda: TrainingSettings(epochs=100, patience=20)
    )

    strict: bool = False
    """Stop at a clip that is missing or broken, instead of naming it and masking its speech."""

    hidden_size: int = 256
    """Units between the two linear maps."""

    dropout: float = 0.0
    """On the features, before the first linear map."""

    def __post_init__(self) -> None:
        if not parse_places("--roots", self.roots, TABLES[self.table]):
            raise ValueError(
                f"--roots says where the corpora are; --table {self.table} has "
                f"{', '.join(TABLES[self.table])}"
            )
        if self.hidden_size < 1:
            raise ValueError(f"--hidden-size must be 1 or more, got {self.hidden_size}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"--dropout must lie in [0, 1), got {self.dropout}")

    def of_corpus(self, name: str) -> "LanguagesConfig":
        """Returns the settings of the rows of one of the corpora."""
        places = [place for place in self.roots if place.startswith(f"{name}=")]
        return dataclasses.replace(self, roots=tuple(places))

    def of_encoder(self, name: str) -> "LanguagesConfig":
        """Returns the settings of the rows of one of the encoders."""
        return dataclasses.replace(
            self, features=dataclasses.replace(self.features, encoders=(name,))
        )


def search_space(trial: "optuna.trial.BaseTrial", config: LanguagesConfig) -> LanguagesConfig:
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


def run(config: LanguagesConfig) -> None:
    """Extracts the features of each corpus, trains each row, prints the table."""
    from experiments import _languages
    from experiments.tracking import runs as _tracking

    rows = _languages.prepare(config)
    commands = [(row.config, row.prepared.fingerprint) for row in rows]
    with _tracking.open_runs("languages", commands) as parents:
        scores = _languages.train(rows, parents)
        _languages.report(config, rows, scores, parents)


def main() -> None:
    """Runs the experiment from the command line."""
    _cli.launch(run, LanguagesConfig)


if __name__ == "__main__":
    main()
