"""Sentiment as a task: its polarity, or its strength as a number."""

import dataclasses
from functools import partial

import numpy as np

from conversation_emotion.datasets.dataset import Dataset, load_utterances, split_dataset
from conversation_emotion.datasets.inputs import extract_features, prepare_inputs
from conversation_emotion.features.extract import Features
from conversation_emotion.settings.features import FeatureSettings
from conversation_emotion.settings.models import (
    ConversationModelSettings,
    ModelSettings,
    UtteranceModelSettings,
)
from conversation_emotion.settings.sentiment import SentimentSettings
from conversation_emotion.tasks.emotion import TurnEmotion, UtteranceEmotion, build_on_train
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
    data, training = settings.data, settings.training
    key = ("sentiment", data, training.max_folds)
    dataset = memory.recall(key, lambda: _make_dataset(settings))
    features, model = settings.features.for_row(), _model_settings(settings)
    found = _extract_modalities(dataset, features, data.strict, key, memory)
    if settings.regression:
        strengths = read_strengths(dataset.utterances["sentiment"])
        # A window needs a class; here it marks that there is a number.
        rated = np.where(np.isnan(strengths), IGNORED, 0)
        inputs = prepare_inputs(dataset, *find_windows(dataset, model, rated), found)
        build_head = partial(build_on_train, inputs, features=features, model=model, num_outputs=1)
        return SentimentStrength(inputs, training, strengths, build_head)
    inputs = prepare_inputs(dataset, *find_windows(dataset, model), found)
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
        learn_from="targets" if settings.regression else "every",
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


def _extract_modalities(
    dataset: Dataset, features: FeatureSettings, strict: bool, key: tuple, memory: Memory
) -> dict[str, Features]:
    """Extracts each modality by itself, so that rows which share an encoder extract it once."""
    found: dict[str, Features] = {}
    for modality in features.modalities():
        alone = dataclasses.replace(features, modality=modality)  # type: ignore[arg-type]
        layers = (features.speech_layers, features.text_layers, features.half_precision)
        found |= memory.recall(
            (*key, modality, getattr(features, f"{modality}_encoder"), *layers),
            partial(extract_features, dataset, alone, strict=strict),
        )
    return found
