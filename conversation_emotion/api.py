"""The public API: corpora, features, tasks, cross-validation and predictions in a few lines."""

from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from conversation_emotion.datasets.dataset import Dataset, split_dataset
from conversation_emotion.evaluation.metrics import METRICS
from conversation_emotion.evaluation.results import ResultsTable, describe_bounds, with_pooled
from conversation_emotion.settings.corpus import (
    CorpusSettings,
    LabelSet,
    SplitName,
    find_corpus,
    list_corpora,
)
from conversation_emotion.settings.features import EncoderSettings, FeatureSettings
from conversation_emotion.settings.flags import format_settings
from conversation_emotion.settings.models import ConversationModelSettings, UtteranceModelSettings
from conversation_emotion.settings.recognition import SERSettings, choose_head, probe_training
from conversation_emotion.settings.training import TrainingSettings
from conversation_emotion.tasks.emotion import TurnEmotion, UtteranceEmotion
from conversation_emotion.tasks.prepare import join_features
from conversation_emotion.tasks.task import MODEL
from conversation_emotion.tracker import MemoryTracker, ParentTracker
from conversation_emotion.training.cross_validation import cross_validate as train_folds
from conversation_emotion.training.cross_validation import describe_protocol, evaluate, record_row
from conversation_emotion.utterances.labels import find_label_map


def make_dataset(
    corpus: pd.DataFrame,
    *,
    labels: LabelSet | None = None,
    split: SplitName | None = None,
    max_folds: int | None = None,
) -> Dataset:
    """Maps the labels of an utterance table and splits it.

    Args:
        corpus: The table, as `load_corpus` returns it.
        labels: Set of classes; that of the corpus if None.
        split: Protocol; that of the corpus if None.
        max_folds: Keep only so many folds, the first.

    Raises:
        ValueError: The corpus has no such classes, or the table lacks what the split needs.
        LeakageError: The split has something of its test part in its train part.
    """
    name = str(corpus["corpus"].iloc[0])
    name = name if name in list_corpora() else "manifest"
    source = find_corpus(name)
    settings = CorpusSettings(corpus=name, root=Path(), split=split or "auto")
    label_set = labels or source.labels
    label_map = find_label_map(name, label_set, corpus["emotion"], source.label_maps)
    return split_dataset(corpus, label_map, settings, max_folds)


@dataclass(frozen=True)
class EmotionRecognition:
    """Emotion of single utterances, from a frozen speech encoder.

    Args:
        corpus: The table, as `load_corpus` returns it.
        encoder: Name, hub id or folder of a speech encoder.
        labels: Set of classes; that of the corpus if None.
        model: Head, its size and dropout.
        training: How it is trained, with how many seeds.
    """

    corpus: pd.DataFrame
    encoder: str = "whisper-base-lower"
    labels: LabelSet | None = None
    model: UtteranceModelSettings = field(default_factory=choose_head)
    training: TrainingSettings = field(default_factory=probe_training)

    def prepare(self, split: SplitName | None = None) -> UtteranceEmotion:
        """Splits the corpus and extracts its features."""
        features = EncoderSettings(speech_encoder=(self.encoder,))
        settings = SERSettings(features=features, model=self.model, training=self.training).settle()
        features = settings.features_of(self.encoder)
        folds = self.training.max_folds
        dataset = make_dataset(self.corpus, labels=self.labels, split=split, max_folds=folds)
        inputs = join_features(dataset, settings.model, features, strict=False)
        return UtteranceEmotion(inputs, features, settings.model, self.training)


@dataclass(frozen=True)
class EmotionPrediction:
    """Emotion of the turn to come, or with ``horizon`` 0 of the turn that just ended.

    Args:
        corpus: The table, as `load_corpus` returns it.
        features: Modalities and encoders.
        labels: Set of classes; that of the corpus if None.
        model: Dialogue model, horizon, context.
        training: How it is trained, with how many seeds.
    """

    corpus: pd.DataFrame
    features: FeatureSettings = field(default_factory=FeatureSettings)
    labels: LabelSet | None = None
    model: ConversationModelSettings = field(default_factory=ConversationModelSettings)
    training: TrainingSettings = field(default_factory=lambda: TrainingSettings(learning_rate=5e-4))

    def prepare(self, split: SplitName | None = None) -> TurnEmotion:
        """Splits the corpus, finds the context of every target, extracts the features."""
        folds = self.training.max_folds
        dataset = make_dataset(self.corpus, labels=self.labels, split=split, max_folds=folds)
        inputs = join_features(dataset, self.model, self.features, strict=False)
        return TurnEmotion(inputs, self.features, self.model, self.training)


def cross_validate(
    task: EmotionRecognition | EmotionPrediction,
    *,
    split: SplitName | None = None,
    tracker: ParentTracker | None = None,
) -> ResultsTable:
    """Trains every fold with every seed, and scores the model and its baselines on test.

    Args:
        task: What is predicted, on which corpus, from what.
        split: Protocol; that of the corpus if None.
        tracker: Keeps every training and continues what was interrupted; in memory if None.

    Returns:
        A row for the model and one for each baseline, with intervals.
    """
    prepared = task.prepare(split)
    features = prepared.features
    tracker = tracker or MemoryTracker()
    predictions = train_folds(prepared, tracker)
    scores = evaluate(prepared, predictions, tracker)
    rows = [
        record_row(
            prepared,
            predictions,
            metrics,
            system=system,
            name=features.speech_encoder if system == MODEL else system,
            modality=features.modality,
            encoder=features.speech_encoder,
            settings={**format_settings(task.model), **format_settings(task.training)},
            run_id=tracker.run_id,
        )
        for system, metrics in scores.items()
    ]
    bounds = describe_bounds(predictions[predictions["part"] == "test"])
    return ResultsTable(
        title=f"{type(task).__name__}: {prepared.dataset.label_map.corpus}",
        columns=with_pooled(tuple(METRICS), rows),
        rows=tuple(rows),
        notes=tuple(describe_protocol(prepared, scores[MODEL]["uar"].n, bounds)),
    )
