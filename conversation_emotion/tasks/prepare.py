"""Prepares tasks from settings: reads the corpus, finds the windows, extracts the features."""

from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from conversation_emotion.datasets.dataset import Dataset, make_dataset
from conversation_emotion.datasets.inputs import (
    Inputs,
    as_extracted,
    extract_features,
    prepare_inputs,
)
from conversation_emotion.datasets.transcribed import transcribe_dataset
from conversation_emotion.datasets.windows import (
    Windows,
    build_training_windows,
    build_windows,
    single_utterances,
)
from conversation_emotion.settings.corpus import CorpusSettings
from conversation_emotion.settings.features import BY_GROUP, FeatureSettings
from conversation_emotion.settings.models import (
    ConversationModelSettings,
    ModelSettings,
    UtteranceModelSettings,
)
from conversation_emotion.settings.recognition import SERSettings
from conversation_emotion.settings.training import TrainingSettings
from conversation_emotion.settings.votes import VoteSettings
from conversation_emotion.settings.words import GIVEN, WordSettings
from conversation_emotion.tasks.emotion import TurnEmotion, UtteranceEmotion
from conversation_emotion.tasks.voted import VotedTargets, learn_votes
from conversation_emotion.tracker import Memory


def prepare_dataset(
    data: CorpusSettings,
    max_folds: int | None,
    memory: Memory,
    words: WordSettings = GIVEN,
) -> Dataset:
    """Reads and splits a corpus, once for all rows of a table that read the same ``words``."""
    read = partial(make_dataset, data, max_folds)
    dataset = memory.recall(("dataset", data, max_folds), read)
    return memory.recall(
        ("words", data, max_folds, words), partial(transcribe_dataset, dataset, words)
    )


def prepare_recognition(settings: SERSettings, memory: Memory) -> UtteranceEmotion:
    """Prepares the recognition of single utterances with one encoder."""
    settings = settings.settle()
    (encoder,) = settings.features.speech_encoder
    features = settings.features_of(encoder)
    words = settings.words
    dataset = prepare_dataset(settings.data, settings.training.max_folds, memory, words)
    inputs = prepare_utterances(dataset, features, settings.data, memory, words)
    voted = learn_votes(dataset, settings.votes)
    inputs = add_kept(inputs, voted, settings.model)
    return UtteranceEmotion(inputs, features, settings.model, settings.training, voted=voted)


def prepare_utterances(
    dataset: Dataset,
    features: FeatureSettings,
    data: CorpusSettings,
    memory: Memory,
    words: WordSettings = GIVEN,
) -> Inputs:
    """Extracts the features of single utterances, every labelled one a target."""
    key = ("utterances", data, words, len(dataset.split.folds), as_extracted(features))
    model = UtteranceModelSettings()
    return memory.recall(key, lambda: join_features(dataset, model, features, strict=data.strict))


def prepare_prediction(
    data: CorpusSettings,
    features: FeatureSettings,
    model: ConversationModelSettings,
    training: TrainingSettings,
    memory: Memory,
    votes: VoteSettings | None = None,
    words: WordSettings = GIVEN,
) -> TurnEmotion:
    """Prepares recognition or prediction in a conversation."""

    def prepare() -> Inputs:
        dataset = prepare_dataset(data, training.max_folds, memory, words)
        return join_features(dataset, model, features, strict=data.strict)

    context = (model.history, model.horizon, model.overlap, model.learn_from)
    key = ("turns", data, words, training.max_folds, as_extracted(features), context)
    inputs = memory.recall(key, prepare)
    voted = None if votes is None else learn_votes(inputs.dataset, votes)
    return TurnEmotion(add_kept(inputs, voted, model), features, model, training, voted=voted)


def find_windows(
    dataset: Dataset, model: ModelSettings, classes: NDArray[np.int64] | None = None
) -> tuple[Windows, Windows]:
    """Returns the targets with their visible context, and the training windows.

    Only a model of conversations has context. Targets are the utterances with one of the
    ``classes``, those of the dataset if None.
    """
    classes = dataset.classes() if classes is None else classes
    if isinstance(model, UtteranceModelSettings):
        windows = single_utterances(classes)
        return windows, windows
    utterances, emotions = dataset.utterances, dataset.emotion_classes
    history, horizon, overlap = model.history, model.horizon, model.overlap
    windows = build_windows(utterances, classes, history=history, horizon=horizon, overlap=overlap)
    if model.learn_from == "targets":
        return windows, windows
    return windows, build_training_windows(
        utterances, classes, emotions, history=history, horizon=horizon, overlap=overlap
    )


def add_kept(inputs: Inputs, voted: VotedTargets | None, model: ModelSettings) -> Inputs:
    """Returns inputs whose training windows also hold the rows that are kept, without a class."""
    if voted is None or not voted.kept.any():
        return inputs
    dataset, mark = inputs.dataset, voted.kept
    classes = dataset.targets.classes.mask(mark, 0)  # any class: only those with one are windows
    marked = dataset._replace(
        targets=dataset.targets._replace(classes=classes),
        emotion_classes=np.where(mark, 0, dataset.emotion_classes),
    )
    _, training = find_windows(marked, model)
    return inputs._replace(
        training=replace(training, targets=dataset.classes()[training.target_rows])
    )


def join_features(
    dataset: Dataset, model: ModelSettings, features: FeatureSettings, *, strict: bool
) -> Inputs:
    """Extracts features and joins them with the windows of a model."""
    if features.standardise in BY_GROUP and isinstance(model, ConversationModelSettings):
        raise ValueError(
            f"--standardise {features.standardise} takes statistics over turns that come later, "
            "which a model of conversations must not; choose train, clip or none"
        )
    windows, training = find_windows(dataset, model)
    found = extract_features(dataset, features, strict=strict)
    how = features.standardise
    return prepare_inputs(dataset, windows, training, found, standardise=how)
