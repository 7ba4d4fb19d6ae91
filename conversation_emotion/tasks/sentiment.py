"""Sentiment as a task: its polarity, or its strength as a number."""

import dataclasses
from functools import partial

import numpy as np
from torch import nn

from conversation_emotion.datasets.dataset import Dataset, load_utterances, split_dataset
from conversation_emotion.datasets.inputs import Inputs, extract_features, prepare_inputs
from conversation_emotion.datasets.windows import Windows, build_windows, single_utterances
from conversation_emotion.features.extract import Features
from conversation_emotion.models.build import build_model, fit_standardisations
from conversation_emotion.settings.features import FeatureSettings
from conversation_emotion.settings.models import (
    ConversationModelSettings,
    ModelSettings,
    UtteranceModelSettings,
)
from conversation_emotion.settings.sentiment import SentimentSettings
from conversation_emotion.splits.folds import Fold
from conversation_emotion.tasks.emotion import TurnEmotion, UtteranceEmotion
from conversation_emotion.tasks.prepare import find_windows
from conversation_emotion.tasks.ratings import SentimentStrength
from conversation_emotion.tasks.task import Task
from conversation_emotion.tracker import Memory
from conversation_emotion.utterances.labels import IGNORED
from conversation_emotion.utterances.sentiment import name_polarities, polarity_map, read_strengths


def prepare_sentiment(settings: SentimentSettings, memory: Memory) -> Task:
    """Prepares a row of the table: its dataset, windows, features and model.

    The polarity is selected by WA unless another metric is named, as in emotion2vec's table.
    """
    data, folds = settings.data, settings.training.max_folds
    dataset = memory.recall(("sentiment", data, folds), lambda: _make_dataset(settings))
    features, model = settings.features.for_row(), _model_settings(settings)
    inputs = _prepare_inputs(settings, dataset, features, model, memory)
    if settings.regression:

        def build_head(fold: Fold) -> nn.Module:
            training = inputs.training.select(fold.train)
            statistics = fit_standardisations(features, inputs.arrays[fold.name], training)
            emotions = len(dataset.emotion_labels)
            return build_model(model, features, statistics, num_outputs=1, num_emotions=emotions)

        strengths = read_strengths(dataset.utterances["sentiment"])
        return SentimentStrength(inputs, settings.training, strengths, build_head)
    training = settings.training
    if training.select_by == "auto":
        training = dataclasses.replace(training, select_by="wa")
    if isinstance(model, ConversationModelSettings):
        return TurnEmotion(inputs, features, model, training)
    return UtteranceEmotion(inputs, features, model, training)


def _model_settings(settings: SentimentSettings) -> ModelSettings:
    """Returns the linear probe, or with context the dialogue model at horizon 0."""
    if not settings.history:
        return UtteranceModelSettings(hidden_size=settings.hidden_size, dropout=settings.dropout)
    return ConversationModelSettings(
        horizon=0,
        history=settings.history,
        dialogue_model=settings.dialogue_model,
        hidden_size=settings.hidden_size,
        input_dropout=settings.dropout,
        dropout=settings.state_dropout,
    )


def _make_dataset(settings: SentimentSettings) -> Dataset:
    """Reads a corpus whose emotions are the polarities of its sentiments."""
    utterances = load_utterances(settings.data)
    utterances["emotion"] = name_polarities(utterances["sentiment"])
    data = settings.data
    label_map = polarity_map(data.corpus, with_neutral=data.labels == "all")
    return split_dataset(utterances, label_map, data, settings.training.max_folds)


def _prepare_inputs(
    settings: SentimentSettings,
    dataset: Dataset,
    features: FeatureSettings,
    model: ModelSettings,
    memory: Memory,
) -> Inputs:
    """Extracts each modality by itself, so that rows which share an encoder extract it once."""
    found: dict[str, Features] = {}
    for modality in features.modalities():
        alone = dataclasses.replace(features, modality=modality)  # type: ignore[arg-type]
        encoder = getattr(features, f"{modality}_encoder")
        key = ("sentiment", settings.data, settings.training.max_folds, modality, encoder)
        found |= memory.recall(
            (*key, features.speech_layers, features.text_layers, features.half_precision),
            partial(extract_features, dataset, alone, strict=settings.data.strict),
        )
    windows, training = _find_windows(settings, dataset, model)
    return prepare_inputs(dataset, windows, training, found)


def _find_windows(
    settings: SentimentSettings, dataset: Dataset, model: ModelSettings
) -> tuple[Windows, Windows]:
    """Returns the targets with their context, and the training windows."""
    if settings.regression:
        strengths = read_strengths(dataset.utterances["sentiment"])
        # A window needs a class; here it marks that there is a number.
        rated = np.where(np.isnan(strengths), IGNORED, 0)
        windows = (
            build_windows(dataset.utterances, rated, history=settings.history, horizon=0)
            if settings.history
            else single_utterances(rated)
        )
        return windows, windows
    if isinstance(model, ConversationModelSettings):
        return find_windows(dataset, model)
    windows = single_utterances(dataset.classes())
    return windows, windows
