"""Experiments on single utterances, step by step: prepare, train with each encoder, report.

Each encoder has a parent run of its own, so that the tracking compares encoders like any runs.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol, cast

from torch import nn
from torch.utils.data import DataLoader

from conversation_emotion.datasets.batches import ModalityArrays
from conversation_emotion.datasets.dataset import Corpus, read_corpus
from conversation_emotion.datasets.windows import Windows, single_utterances
from conversation_emotion.models.build import (
    build_utterance_model,
    fit_perceptions,
    frame_map_of,
)
from conversation_emotion.models.conversation import UtteranceModel
from conversation_emotion.models.perception import FRAME_MAPS, Head
from conversation_emotion.settings.corpus import CorpusSettings
from conversation_emotion.settings.features import EncoderSettings, FeatureSettings
from conversation_emotion.settings.training import TrainingSettings
from conversation_emotion.tasks.baselines import predict_majority
from conversation_emotion.tracker import Memory, Validation
from conversation_emotion.training.discriminant import solve_head
from experiments import _heard, _kept_models, _published, _report
from experiments import commandline as _cli
from experiments._features import as_extracted, extract_features
from experiments._folds import Prepared, Recipe, prepare_windows, run_folds, validate_folds
from experiments._models import fit_settings
from experiments._protocols import remarks
from experiments._published import Published
from experiments._report import MODEL, Row, Scores
from experiments.tracking.runs import ParentRun

MAJORITY = "majority"


class UtteranceConfig(Protocol):
    """What an utterance experiment has to say; `experiments.ser.SERConfig` explains each."""

    @property
    def data(self) -> CorpusSettings: ...
    @property
    def features(self) -> EncoderSettings: ...
    @property
    def training(self) -> TrainingSettings: ...
    @property
    def protocol(self) -> str: ...
    @property
    def head(self) -> Head: ...
    @property
    def hidden_size(self) -> int: ...
    @property
    def dropout(self) -> float: ...


def prepare(config: UtteranceConfig) -> dict[str, Prepared]:
    """Reads the corpus and extracts its features with each encoder, before any training."""
    corpus = read_corpus(config.data)
    windows = single_utterances(corpus.classes())
    prepared = {}
    for encoder in config.features.encoders:
        settings = features_of(config, encoder)
        found = extract_features(
            corpus.utterances, settings, strict=config.data.strict, corpus=corpus
        )
        prepared[encoder] = prepare_windows(
            corpus, windows, windows, found, normalise_clips=settings.standardise == "clip"
        )
    return prepared


def validate(config: UtteranceConfig, memory: Memory) -> Iterator[Validation]:
    """Trains each fold and seed with the one encoder and yields how it did on valid."""
    (encoder,) = config.features.encoders
    features = features_of(config, encoder)
    key = (config.data, as_extracted(features))
    prepared = memory.recall(key, lambda: prepare(config)[encoder])
    yield from validate_folds(prepared, make_recipe(config, prepared, features))


def train(
    config: UtteranceConfig,
    prepared: Mapping[str, Prepared],
    parents: Sequence[ParentRun],
    register: str | None = None,
) -> dict[str, Scores]:
    """Trains each fold and seed with each encoder, and scores it under the encoder's run.

    The best model is registered, if it gets a name to ``register``.
    """
    scores = {}
    for (encoder, data), parent in zip(prepared.items(), parents, strict=True):
        features = features_of(config, encoder)
        recipe = make_recipe(config, data, features)
        if register is not None:
            recipe = _kept_models.keep_best(recipe, config, features, data)
        predictions = run_folds(data, recipe, parent)
        scores[encoder] = _report.score(
            data,
            predictions,
            parent,
            baselines=recipe.baselines,
            num_resamples=config.training.resamples,
        )
        if register is not None:
            _kept_models.register(register, recipe, data, predictions, parent)
    return scores


def features_of(config: UtteranceConfig, encoder: str) -> FeatureSettings:
    """Returns what to extract with an encoder: frames where the head needs them."""
    return config.features.of_encoder(encoder, needs_frames=config.head in FRAME_MAPS)


def make_recipe(
    config: UtteranceConfig,
    prepared: Prepared,
    features: FeatureSettings,
    num_outputs: int | None = None,
) -> Recipe:
    """Says how the model of an utterance is built and fitted.

    Args:
        config: Sizes, and how to fit it.
        prepared: What it hears.
        features: How that becomes one vector.
        num_outputs: Outputs of its head; as many as classes if None.
    """
    num_classes = num_outputs or len(prepared.corpus.label_map.labels)

    def build(train: Windows, arrays: Mapping[str, ModalityArrays]) -> UtteranceModel:
        perceptions = fit_perceptions(features, arrays, train, frame_map_of(config))
        return build_utterance_model(config, perceptions, num_classes=num_classes)

    def solve(model: nn.Module, train: DataLoader[int]) -> nn.Module:
        is_balanced = config.training.class_weights == "balanced"
        return solve_head(cast(UtteranceModel, model), train, is_balanced=is_balanced)

    return Recipe(
        build,
        fit_settings(config.training),
        config.training,
        {MAJORITY: predict_majority},
        solve if config.head == "lda" else None,
    )


def report(
    config: UtteranceConfig,
    prepared: Mapping[str, Prepared],
    scores: Mapping[str, Scores],
    runs: Sequence[ParentRun],
    commands: Sequence[object],
) -> None:
    """Prints one table with a row per encoder and keeps it with each run.

    Args:
        config: Settings of the probe.
        prepared: What each encoder heard.
        scores: What came of it.
        runs: The run of each encoder.
        commands: The settings of each, as the command line took them.
    """
    first = next(iter(prepared.values()))
    corpus = first.corpus
    published = _published.SER.get((config.data.corpus, corpus.label_map.label_set), [])
    failures = {key: why for data in prepared.values() for key, why in data.failures.items()}
    _report.print_table(
        f"Emotion of single utterances: {describe_model(config)} on frozen encoders; "
        f"{config.data.corpus}",
        _rows(scores, published),
        _captions(config, corpus, scores, failures, published),
        runs,
        commands=[_cli.command_of(settings) for settings in commands],
    )


def describe_model(config: UtteranceConfig) -> str:
    """Says in words what is learnt on an encoder."""
    aggregator = {"ecapa": "ECAPA-TDNN"}.get(config.features.aggregator, config.features.aggregator)
    if config.head == "superb" and aggregator == "mean":
        return "linear probe"
    if config.head == "lda":
        return "linear discriminant analysis"
    return f"{config.head} head, {aggregator} aggregator"


def _rows(scores: Mapping[str, Scores], published: list[Published]) -> Iterator[Row]:
    for encoder, systems in scores.items():
        yield _report.scored_row(encoder, systems[MODEL])
    yield _report.scored_row(MAJORITY, next(iter(scores.values()))[MAJORITY])
    yield from map(_report.published_row, published)


def _captions(
    config: UtteranceConfig,
    corpus: Corpus,
    scores: Mapping[str, Scores],
    failures: dict[str, str],
    published: list[Published],
) -> Iterator[str]:
    num_judged = next(iter(scores.values()))[MODEL]["uar"].num_judged
    yield from _report.describe_protocol(corpus, config.training, num_judged)
    features = config.features
    pooling = features_of(config, features.encoders[0]).speech_pooling
    kept = "frames kept" if pooling == "frames" else f"frames to {pooling}"
    yield f"layers {features.speech_layers}; {kept}; {describe_model(config)}"
    yield from remarks(config.protocol)
    yield from _heard.describe_heard(features.encoders, [config.data.corpus])
    yield from _report.describe_failures(failures)
    yield from _report.describe_sources(published)
