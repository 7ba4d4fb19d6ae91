"""Experiments on sentiment, step by step: read, prepare and train each row of the table."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from conversation_emotion.datasets.dataset import (
    Corpus,
    choose_split,
    learn_at_speeds,
    load_utterances,
    make_corpus,
)
from conversation_emotion.datasets.windows import Windows, build_windows, single_utterances
from conversation_emotion.evaluation.metrics import Interval
from conversation_emotion.features.extract import Features
from conversation_emotion.tracker import Memory, Validation
from conversation_emotion.utterances.labels import IGNORED
from conversation_emotion.utterances.sentiment import name_polarities, polarity_map, read_strengths
from experiments import _conversation, _folds, _report, _sentiment_regression, _utterances
from experiments._features import as_extracted, extract_features
from experiments._folds import Prepared, Recipe, prepare_windows
from experiments.epc import EPCConfig
from experiments.ser import SERConfig
from experiments.tracking.runs import ParentRun

if TYPE_CHECKING:
    from experiments.sentiment import SentimentConfig

Scores = dict[str, dict[str, Interval]]
"""Each system's intervals by metric."""


class SentimentRow(NamedTuple):
    """A row of the table, ready for training.

    Attributes:
        config: Settings of this row alone.
        prepared: The corpus and what is heard of it.
    """

    config: "SentimentConfig"
    prepared: Prepared


def prepare(config: "SentimentConfig") -> dict[str, SentimentRow]:
    """Reads the corpus and extracts what each row hears, before any training."""
    corpus = _read_corpus(config)
    windows, learning = _find_windows(config, corpus)
    found: dict[tuple[str, str], dict[str, Features]] = {}
    rows = {}
    for name, row in config.rows().items():
        settings = row.features.of_row()
        heard = {}
        for part in settings.modalities():
            key = part, settings.speech_encoder if part == "speech" else settings.text_encoder
            if key not in found:
                alone = dataclasses.replace(settings, modality=part)
                found[key] = extract_features(
                    corpus.utterances, alone, strict=config.data.strict, corpus=corpus
                )
            heard |= found[key]
        rows[name] = SentimentRow(row, prepare_windows(corpus, windows, learning, heard))
    return rows


def validate(config: "SentimentConfig", memory: Memory) -> Iterator[Validation]:
    """Trains each fold and seed of the one row and yields how it did on valid."""
    (name,) = config.rows()
    features = as_extracted(config.features.of_row())
    key = (config.data, features, config.history, config.dialogue_model)
    prepared = memory.recall(key, lambda: prepare(config)[name].prepared)
    yield from _folds.validate_folds(prepared, make_recipe(config, prepared))


def train(rows: Mapping[str, SentimentRow], parents: Sequence[ParentRun]) -> dict[str, Scores]:
    """Trains each fold and seed of each row, and scores it under the row's run."""
    scores = {}
    for (name, row), parent in zip(rows.items(), parents, strict=True):
        if row.config.regression:
            recipe = make_recipe(row.config, row.prepared, num_outputs=1)
            scores[name] = _sentiment_regression.train(row.prepared, recipe, parent)
        else:
            recipe = make_recipe(row.config, row.prepared)
            scores[name] = _report.score(
                row.prepared,
                _folds.run_folds(row.prepared, recipe, parent),
                parent,
                baselines=recipe.baselines,
                num_resamples=recipe.training.resamples,
            )
    return scores


def make_recipe(
    config: "SentimentConfig", prepared: Prepared, num_outputs: int | None = None
) -> Recipe:
    """Says how the model of a row is built and fitted; as many outputs as classes if not given."""
    features = config.features.of_row()
    if not config.history:
        probe = SERConfig(
            data=config.data,
            training=config.training,
            hidden_size=config.hidden_size,
            dropout=config.dropout,
        )
        return _utterances.make_recipe(probe, prepared, features, num_outputs)
    return _conversation.make_recipe(_as_epc(config), prepared, num_outputs)


def _as_epc(config: "SentimentConfig") -> EPCConfig:
    """Recognition with context: emotion prediction at horizon 0."""
    return EPCConfig(
        data=config.data,
        features=config.features.of_row(),
        training=config.training,
        horizon=0,
        history=config.history,
        dialogue_model=config.dialogue_model,
        hidden_size=config.hidden_size,
        input_dropout=config.dropout,
        dropout=config.state_dropout,
    )


def _read_corpus(config: "SentimentConfig") -> Corpus:
    """Reads a corpus whose emotions are the polarities of its sentiments."""
    utterances = load_utterances(config.data)
    utterances["emotion"] = name_polarities(utterances["sentiment"])
    label_map = polarity_map(config.data.corpus, with_neutral=config.data.labels == "all")
    corpus = make_corpus(utterances, label_map, partial(choose_split, settings=config.data))
    return learn_at_speeds(corpus, config.data.speeds)


def _find_windows(config: "SentimentConfig", corpus: Corpus) -> tuple[Windows, Windows]:
    """Finds what is judged, and what train may learn from."""
    if config.regression:
        strengths = read_strengths(corpus.utterances["sentiment"])
        rated = np.where(np.isnan(strengths), IGNORED, 0)  # a class that says: there is a number
        windows = (
            build_windows(corpus.utterances, rated, history=config.history, horizon=0)
            if config.history
            else single_utterances(rated)
        )
        return windows, windows
    if config.history:
        return _conversation.find_windows(_as_epc(config), corpus)
    windows = single_utterances(corpus.classes())
    return windows, windows
