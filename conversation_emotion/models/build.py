"""Builds the models of utterances and conversations from their settings."""

from collections.abc import Callable, Mapping

import numpy as np
from torch import nn

from conversation_emotion.datasets.batches import ModalityArrays
from conversation_emotion.datasets.windows import PADDING, Windows
from conversation_emotion.features.sources import list_sources
from conversation_emotion.models.conversation import (
    ConversationModel,
    HistoryLabels,
    Stream,
    UtteranceModel,
)
from conversation_emotion.models.dialogue import DIALOGUE_MODELS
from conversation_emotion.models.fusion import JOINS, partition_modalities
from conversation_emotion.models.perception import (
    FRAME_MAPS,
    LAYER_MIXTURES,
    Perception,
    Standardisation,
    fit_standardisation,
    identity,
    make_aggregator,
)
from conversation_emotion.settings.features import FeatureSettings
from conversation_emotion.settings.models import (
    ConversationModelSettings,
    ModelSettings,
    UtteranceModelSettings,
)


def frame_map_of(settings: ModelSettings) -> Callable[[int], nn.Module] | None:
    """Returns the builder of the map before pooling, by the size of a frame; None without one."""
    if isinstance(settings, ConversationModelSettings):
        return None
    make_map, units = FRAME_MAPS.get(settings.head), settings.hidden_size
    return None if make_map is None else lambda size: make_map(size, units)


def build_model(
    settings: ModelSettings,
    perceptions: Mapping[str, Perception],
    *,
    num_classes: int,
    num_emotions: int,
) -> nn.Module:
    """Builds the model that the settings describe.

    Args:
        settings: Which model, and how large.
        perceptions: One per source, with the map of `frame_map_of` inside.
        num_classes: Classes to predict (C).
        num_emotions: Emotions that the corpus names (R), of a conversation's auxiliary heads.
    """
    if isinstance(settings, UtteranceModelSettings):
        return build_utterance_model(settings, perceptions, num_classes=num_classes)
    return build_conversation_model(
        settings, perceptions, num_classes=num_classes, num_emotions=num_emotions
    )


def build_utterance_model(
    settings: UtteranceModelSettings, perceptions: Mapping[str, Perception], *, num_classes: int
) -> UtteranceModel:
    """Builds the model of a single utterance; see `build_model`."""
    hidden_size = settings.hidden_size if settings.head == "superb" else None
    return UtteranceModel(perceptions, hidden_size, num_classes, dropout=settings.dropout)


def build_conversation_model(
    settings: ConversationModelSettings,
    perceptions: Mapping[str, Perception],
    *,
    num_classes: int,
    num_emotions: int,
) -> ConversationModel:
    """Builds the model of a conversation; see `build_model`."""
    labels = HistoryLabels(num_emotions) if settings.history_labels == "gold" else None
    label_sizes = [] if labels is None else [labels.output_size]
    streams, size = [], settings.hidden_size
    for names in partition_modalities(tuple(perceptions), settings.fusion):
        input_sizes = [perceptions[name].output_size for name in names] + label_sizes
        join = JOINS[settings.fusion](input_sizes, size, settings.input_dropout)
        dialogue = DIALOGUE_MODELS[settings.dialogue_model](
            size, size, settings.num_layers, settings.dropout
        )
        streams.append(Stream(names, join, size, dialogue))
    return ConversationModel(
        perceptions,
        streams,
        num_classes=num_classes,
        num_emotions=num_emotions,
        history_labels=labels,
        dropout=settings.dropout,
    )


def fit_perceptions(
    settings: FeatureSettings,
    arrays: Mapping[str, ModalityArrays],
    train: Windows,
    map_frames: Callable[[int], nn.Module] | None = None,
) -> dict[str, Perception]:
    """Fits each source's standardisation on the inputs of the train windows.

    Of concatenated speech encoders, those with no more features than components keep them all.

    Args:
        settings: How each source is standardised and pooled.
        arrays: Hidden states of each source.
        train: Windows of the train part.
        map_frames: Builds, for a size of frames, the map before pooling; see `frame_map_of`.
    """
    inputs = np.unique(train.rows[train.rows != PADDING])
    sources = list_sources(settings)

    def components(name: str) -> int | None:
        modality, size = sources[name].modality, arrays[name].num_layers * arrays[name].size
        wanted: int | None = getattr(settings, f"{modality}_components")
        is_alone = [source.modality for source in sources.values()].count(modality) == 1
        return wanted if wanted is None or is_alone or wanted < size else None

    standardisations = {
        name: fit_standardisation(array.stack_frames(inputs), components(name))
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
    """Builds the perception of each source whose standardisation is given."""
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
