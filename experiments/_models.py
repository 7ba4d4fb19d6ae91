"""Models by the settings: ready parts put together, with statistics of the train part."""

from collections.abc import Callable, Mapping
from typing import Literal, Protocol

import numpy as np
from torch import nn

from conversation_emotion.datasets.batches import ModalityArrays
from conversation_emotion.datasets.windows import PADDING, Windows
from conversation_emotion.models.conversation import (
    ConversationModel,
    HistoryLabels,
    Stream,
    UtteranceModel,
)
from conversation_emotion.models.dialogue import DIALOGUE_MODELS, DialogueModel
from conversation_emotion.models.fusion import JOINS, Fusion, partition_modalities
from conversation_emotion.models.perception import (
    FRAME_MAPS,
    LAYER_MIXTURES,
    Head,
    Perception,
    Standardisation,
    fit_standardisation,
    identity,
    make_aggregator,
)
from conversation_emotion.settings.corpus import CorpusSettings
from conversation_emotion.settings.features import FeatureSettings
from conversation_emotion.settings.training import TrainingSettings
from conversation_emotion.training.fit import FitSettings
from experiments._encoders import list_sources


class ConversationConfig(Protocol):
    """What a conversation experiment has to say; `experiments.epc.EPCConfig` explains each."""

    @property
    def data(self) -> CorpusSettings: ...
    @property
    def features(self) -> FeatureSettings: ...
    @property
    def training(self) -> TrainingSettings: ...
    @property
    def horizon(self) -> int: ...
    @property
    def history(self) -> int: ...
    @property
    def history_labels(self) -> Literal["none", "gold"]: ...
    @property
    def dialogue_model(self) -> DialogueModel: ...
    @property
    def fusion(self) -> Fusion: ...
    @property
    def hidden_size(self) -> int: ...
    @property
    def num_layers(self) -> int: ...
    @property
    def dropout(self) -> float: ...
    @property
    def input_dropout(self) -> float: ...
    @property
    def recognition_weight(self) -> float: ...
    @property
    def emotion_weight(self) -> float: ...
    @property
    def learn_from(self) -> Literal["judged", "every"]: ...


class UtteranceParts(Protocol):
    """What the model of an utterance is made of; `experiments.ser.SERConfig` explains each."""

    @property
    def head(self) -> Head: ...
    @property
    def hidden_size(self) -> int: ...
    @property
    def dropout(self) -> float: ...


def frame_map_of(config: UtteranceParts) -> Callable[[int], nn.Module] | None:
    """Returns what makes, for a size of frames, the map that the head puts before pooling."""
    make_map = FRAME_MAPS.get(config.head)
    return None if make_map is None else lambda size: make_map(size, config.hidden_size)


def build_utterance_model(
    config: UtteranceParts, perceptions: Mapping[str, Perception], *, num_classes: int
) -> UtteranceModel:
    """Builds the model of an utterance from perceptions with the maps of `frame_map_of`."""
    hidden_size = config.hidden_size if config.head == "superb" else None
    return UtteranceModel(perceptions, hidden_size, num_classes, dropout=config.dropout)


def build_model(
    config: ConversationConfig,
    perceptions: Mapping[str, Perception],
    *,
    num_classes: int,
    num_emotions: int,
) -> ConversationModel:
    """Builds the model of a conversation.

    Args:
        config: Which parts, and how large.
        perceptions: One per modality, with the statistics of train.
        num_classes: Classes to judge (C).
        num_emotions: Emotions that the corpus names (R).
    """
    labels = HistoryLabels(num_emotions) if config.history_labels == "gold" else None
    told_sizes = [] if labels is None else [labels.output_size]
    streams, size = [], config.hidden_size
    for names in partition_modalities(tuple(perceptions), config.fusion):
        input_sizes = [perceptions[name].output_size for name in names] + told_sizes
        join = JOINS[config.fusion](input_sizes, size, config.input_dropout)
        dialogue = DIALOGUE_MODELS[config.dialogue_model](
            size, size, config.num_layers, config.dropout
        )
        streams.append(Stream(names, join, size, dialogue))
    return ConversationModel(
        perceptions,
        streams,
        num_classes=num_classes,
        num_emotions=num_emotions,
        history_labels=labels,
        dropout=config.dropout,
    )


def fit_perceptions(
    settings: FeatureSettings,
    arrays: Mapping[str, ModalityArrays],
    train: Windows,
    map_frames: Callable[[int], nn.Module] | None = None,
) -> dict[str, Perception]:
    """Fits each source's standardisation on what the train windows hear.

    Of speech encoders side by side, those with no more features than components keep them all.

    Args:
        settings: Which parts.
        arrays: Hidden states of each source.
        train: Windows of the train part.
        map_frames: Makes, for a size of frames, what changes them before they are pooled.
    """
    heard = np.unique(train.rows[train.rows != PADDING])
    sources = list_sources(settings)

    def components(name: str) -> int | None:
        modality, size = sources[name].modality, arrays[name].num_layers * arrays[name].size
        wanted: int | None = getattr(settings, f"{modality}_components")
        is_alone = [source.modality for source in sources.values()].count(modality) == 1
        return wanted if wanted is None or is_alone or wanted < size else None

    standardisations = {
        name: fit_standardisation(array.stack_frames(heard), components(name))
        if settings.standardise == "train"
        else identity(array.num_layers, array.size)
        for name, array in arrays.items()
    }
    return build_perceptions(settings, standardisations, map_frames)


def build_perceptions(
    settings: FeatureSettings,
    standardisations: Mapping[str, Standardisation],
    map_frames: Callable[[int], nn.Module] | None = None,
) -> dict[str, Perception]:
    """Builds the perception of each modality whose standardisation is given."""
    perceptions = {}
    for name, standardisation in standardisations.items():
        mixture = LAYER_MIXTURES[settings.layer_mixture](
            standardisation.num_layers, standardisation.output_size
        )
        frame_map = None if map_frames is None else map_frames(mixture.output_size)
        size = mixture.output_size if frame_map is None else int(frame_map.output_size)  # type: ignore[arg-type]
        aggregator = make_aggregator(settings.aggregator, size, settings.aggregator_size)
        perceptions[name] = Perception(standardisation, mixture, aggregator, frame_map)
    return perceptions


def fit_settings(
    training: TrainingSettings, *, recognition_weight: float = 0.0, emotion_weight: float = 0.0
) -> FitSettings:
    """Collects what `fit` needs; the weights are those of the auxiliary tasks."""
    return FitSettings(
        epochs=training.epochs,
        updates=training.updates,
        evaluate_every=training.evaluate_every,
        patience=training.patience,
        select_by="uar" if training.select_by == "auto" else training.select_by,  # type: ignore[arg-type]
        optimizer=training.optimizer,
        schedule=training.schedule,
        learning_rate=training.learning_rate,
        weight_decay=training.weight_decay,
        recognition_weight=recognition_weight,
        emotion_weight=emotion_weight,
        average_best=training.average_best,
    )
