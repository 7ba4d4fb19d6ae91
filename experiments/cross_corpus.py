"""Cross-corpus emotion recognition: does what is learnt from some corpora hold on another?

    python -m experiments.cross_corpus --roots emodb=EmoDB ravdess=RAVDESS --seeds 5
    python -m experiments.cross_corpus --roots iemocap=IEMOCAP meld=MELD.Raw ravdess=RAVDESS \
        --train iemocap meld --test ravdess --test-lists ravdess=RAVDESS_selected_balenced.jsonl

Every corpus is mapped to angry, happy, neutral and sad by its own explicit map, and what the map
drops is counted. Without --train and --test each corpus trains alone and is tested on every other,
as in EmoBox's table 5; with --train its corpora are pooled. Nothing of a test corpus is seen before
the test: statistics, weights and epoch come from the train corpora, a fifth of whose speakers, or
of their dialogues where all talk to each other, validates. --test-lists takes EmoBox's balanced
lists, 60 utterances of each class; without one, all utterances of the four classes are judged.
The probe and its settings are those of experiments.ser. Once features are extracted, each row takes
seconds. Prints one row per encoder, train and test corpus, and writes mlruns/.
"""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from conversation_emotion.settings.features import EncoderSettings
from conversation_emotion.settings.training import TrainingSettings
from experiments import commandline as _cli
from experiments.commandline import parse_places

if TYPE_CHECKING:
    import optuna


@dataclass(frozen=True, kw_only=True)
class CrossCorpusConfig:
    """Settings of one table across corpora."""

    roots: tuple[str, ...] = ()
    """Two corpora or more with their folders, such as emodb=EmoDB ravdess=RAVDESS."""

    train: tuple[str, ...] = ()
    """Corpora to learn from, pooled; without any, each corpus by itself."""

    test: tuple[str, ...] = ()
    """Corpora to judge; without any, all that a row has not learnt from."""

    test_lists: tuple[str, ...] = ()
    """EmoBox's lists of what to judge, by corpus, such as savee=SAVEE_selected_balenced.jsonl."""

    features: EncoderSettings = field(
        default_factory=lambda: EncoderSettings(encoders=("emotion2vec-mini", "fbank", "mfcc"))
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
        roots = parse_places("--roots", self.roots)
        if len(roots) < 2:
            raise ValueError(
                "--roots needs two corpora or more with their folders, such as emodb=EmoDB "
                f"ravdess=RAVDESS; got {len(roots)}"
            )
        for flag, names in (("--train", self.train), ("--test", self.test)):
            if strange := [name for name in names if name not in roots]:
                raise ValueError(f"{flag} {strange[0]}: --roots does not say where it is")
            if len(set(names)) < len(names):
                raise ValueError(f"{flag} names a corpus more than once")
        if both := sorted(set(self.train) & set(self.test)):
            raise ValueError(f"{both[0]} is in --train and in --test; a test corpus stays unseen")
        if len(self.train) == len(roots):
            raise ValueError("--train names every corpus of --roots; one has to be left to judge")
        parse_places("--test-lists", self.test_lists, tuple(roots))
        if self.hidden_size < 1:
            raise ValueError(f"--hidden-size must be 1 or more, got {self.hidden_size}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"--dropout must lie in [0, 1), got {self.dropout}")

    def rows(self) -> Iterator["CrossCorpusConfig"]:
        """Yields the settings of each run: one encoder, the corpora it learns from and judges."""
        names = tuple(parse_places("--roots", self.roots))
        for encoder in self.features.encoders:
            features = dataclasses.replace(self.features, encoders=(encoder,))
            for train in [self.train] if self.train else [(name,) for name in names]:
                judged = tuple(name for name in self.test or names if name not in train)
                if judged:
                    yield dataclasses.replace(self, features=features, train=train, test=judged)


def search_space(trial: "optuna.trial.BaseTrial", config: CrossCorpusConfig) -> CrossCorpusConfig:
    """Proposes the settings of one trial; everything else stays as configured."""
    return dataclasses.replace(
        config,
        hidden_size=trial.suggest_categorical("hidden_size", [64, 128, 256]),
        dropout=trial.suggest_float("dropout", 0.0, 0.6),
        training=dataclasses.replace(
            config.training,
            learning_rate=trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True),
            weight_decay=trial.suggest_float("weight_decay", 1e-4, 0.9, log=True),
        ),
    )


def run(config: CrossCorpusConfig) -> None:
    """Extracts features, trains each row on its corpora, judges the others, prints the table."""
    from experiments import _cross_corpus, _cross_corpus_report
    from experiments.tracking import runs as _tracking

    rows = _cross_corpus.prepare(config)
    commands = [(row.config, row.prepared.fingerprint) for row in rows]
    with _tracking.open_runs("cross_corpus", commands) as parents:
        scores = _cross_corpus.train(rows, parents)
        _cross_corpus_report.report(config, rows, scores, parents)


def main() -> None:
    """Runs the experiment from the command line."""
    _cli.launch(run, CrossCorpusConfig)


if __name__ == "__main__":
    main()
