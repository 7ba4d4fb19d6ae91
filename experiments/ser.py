r"""Utterance emotion: how much of it does a frozen speech encoder hold?

    python -m experiments.ser
    python -m experiments.ser --corpus emodb --root EmoDB --speech-encoder fbank mfcc --seeds 5
    python -m experiments.ser --corpus emodb --root EmoDB --aggregator ecapa
    python -m experiments.ser --corpus iemocap --root IEMOCAP_full_release \
        --protocol emotion2vec-session --speech-encoder emotion2vec_base

The default is SUPERB's probe (Yang et al., 2021): a linear map to 256 units, the mean of the
frames, and a linear map to the classes, on features standardised with the statistics of train;
--head and --aggregator replace it. --protocol does what was published, exactly. Every encoder gets
the same settings. The first command needs no download; once features are extracted, fifty probes of
the 535 utterances of EmoDB take about a minute on two cores. Prints one row per encoder, and writes
mlruns/, one parent run per encoder.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from conversation_emotion.settings.protocols import PROTOCOLS, remarks, resolve
from conversation_emotion.settings.recognition import SERSettings
from experiments.experiment import Experiment, RowRun

if TYPE_CHECKING:
    import optuna

    from conversation_emotion.evaluation.results import RowResult
    from conversation_emotion.tasks.emotion import UtteranceEmotion
    from conversation_emotion.tracker import Memory


class SER(Experiment[SERSettings]):
    """A row per encoder, with the same head on each."""

    name = "ser"
    settings = SERSettings

    def rows(self, settings: SERSettings) -> dict[str, SERSettings]:
        """Returns a run for each encoder."""
        return {name: settings.for_encoder(name) for name in settings.features.speech_encoder}

    def task(self, row: SERSettings, memory: "Memory") -> "UtteranceEmotion":
        """Extracts the features of an encoder for every labelled utterance."""
        from conversation_emotion.tasks.prepare import prepare_recognition

        return prepare_recognition(resolve(row), memory)

    def title(self, settings: SERSettings) -> str:
        """Names head and corpus."""
        return (
            f"Emotion of single utterances: {describe_head(resolve(settings))} on frozen "
            f"encoders; {settings.data.corpus}"
        )

    def published(self, settings: SERSettings, runs: Sequence[RowRun]) -> "Sequence[RowResult]":
        """Returns the figures of other encoders on the corpus."""
        from conversation_emotion.evaluation.published import find_published

        label_set = runs[0].task.dataset.label_map.label_set
        return find_published("ser", corpus=settings.data.corpus, label_set=label_set)

    def notes(self, settings: SERSettings, runs: Sequence[RowRun]) -> Iterator[str]:
        """Describes head and pooling, the protocol's faults, and encoders that saw the corpus."""
        from conversation_emotion.evaluation.published import describe_pretraining

        resolved = resolve(settings)
        features = resolved.features
        pooling = resolved.features_of(features.speech_encoder[0]).speech_pooling
        kept = "frames kept" if pooling == "frames" else f"frames to {pooling}"
        yield f"layers {features.speech_layers}; {kept}; {describe_head(resolved)}"
        yield from remarks(resolved.protocol)
        yield from describe_pretraining(features.speech_encoder, [settings.data.corpus])

    def search_space(self, trial: "optuna.trial.BaseTrial", settings: SERSettings) -> SERSettings:
        """Varies encoder, layers, pooling, head size, dropout and the optimizer."""
        from conversation_emotion.settings.space import propose_features, propose_training

        if settings.protocol in PROTOCOLS:
            raise ValueError(
                f"--protocol {settings.protocol} fixes what a sweep varies; name a --split"
            )
        encoders, draw = settings.features.speech_encoder, trial.suggest_float
        if len(encoders) > 1:
            settings = settings.for_encoder(trial.suggest_categorical("speech_encoder", encoders))
        if settings.model.head == "lda":
            pooled = replace(settings.features, speech_pooling="mean", aggregator="mean")
            return replace(settings, features=propose_features(trial, pooled))
        sizes = trial.suggest_categorical("hidden_size", [64, 128, 256])
        return replace(
            settings,
            features=propose_features(trial, settings.features),
            model=replace(settings.model, hidden_size=sizes, dropout=draw("dropout", 0.0, 0.6)),
            training=propose_training(trial, settings.training, most_decay=0.5),
        )


def describe_head(settings: SERSettings) -> str:
    """Describes what is trained on an encoder."""
    aggregator = settings.features.aggregator
    aggregator = {"ecapa": "ECAPA-TDNN"}.get(aggregator, aggregator)
    if settings.model.head == "superb" and aggregator == "mean":
        return "linear probe"
    if settings.model.head == "lda":
        return "linear discriminant analysis"
    return f"{settings.model.head} head, {aggregator} aggregator"


EXPERIMENT = SER()


if __name__ == "__main__":
    EXPERIMENT.main()
