"""Builds models from their settings, with statistics of the training windows."""

from collections.abc import Mapping

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
    fit_on_rows,
    identity,
    make_aggregator,
)
from conversation_emotion.settings.features import FeatureSettings
from conversation_emotion.settings.models import (
    ConversationModelSettings,
    ModelSettings,
    UtteranceModelSettings,
)


def build_model(
    settings: ModelSettings,
    features: FeatureSettings,
    standardisations: Mapping[str, Standardisation],
    *,
    num_outputs: int,
    num_emotions: int,
    num_heads: int = 1,
) -> nn.Module:
    """Builds an untrained model, with the statistics of the training windows of each source.

    ``num_outputs`` are classes (C) or numbers to predict; ``num_emotions`` are those that the
    corpus names (R), for the auxiliary heads. Several heads predict the outputs together.
    """
    perceptions = _build_perceptions(settings, features, standardisations)
    if isinstance(settings, ConversationModelSettings):
        sizes = num_outputs, num_emotions, num_heads
        return _build_conversation_model(settings, perceptions, *sizes)
    hidden_size = settings.hidden_size if settings.head == "superb" else None
    return UtteranceModel(perceptions, hidden_size, num_outputs, settings.dropout, num_heads)


def _build_conversation_model(
    settings: ConversationModelSettings,
    perceptions: Mapping[str, Perception],
    num_classes: int,
    num_emotions: int,
    num_heads: int,
) -> ConversationModel:
    labels = HistoryLabels(num_emotions) if settings.history_labels == "gold" else None
    label_sizes = [] if labels is None else [labels.output_size]
    streams, size = [], settings.hidden_size
    build_dialogue = DIALOGUE_MODELS[settings.dialogue_model]
    for names in partition_modalities(tuple(perceptions), settings.fusion):
        input_sizes = [perceptions[name].output_size for name in names] + label_sizes
        join = JOINS[settings.fusion](input_sizes, size, settings.input_dropout)
        dialogue = build_dialogue(size, size, settings.num_layers, settings.dropout)
        streams.append(Stream(names, join, size, dialogue))
    return ConversationModel(
        perceptions,
        streams,
        num_classes,
        num_emotions,
        labels,
        settings.dropout,
        own_heads=tuple(settings.modality_losses),
        num_heads=num_heads,
    )


def fit_standardisations(
    features: FeatureSettings, arrays: Mapping[str, ModalityArrays], training: Windows
) -> dict[str, Standardisation]:
    """Fits each source's statistics on all utterances of the training windows.

    Of concatenated speech encoders, those with no more features than components keep them all.
    """
    rows = np.unique(training.rows[training.rows != PADDING])
    sources = list_sources(features)

    def components(name: str) -> int | None:
        modality, size = sources[name].modality, arrays[name].num_layers * arrays[name].size
        wanted: int | None = getattr(features, f"{modality}_components")
        is_alone = [source.modality for source in sources.values()].count(modality) == 1
        return wanted if wanted is None or is_alone or wanted < size else None

    return {
        name: fit_on_rows(array, rows, components(name))
        if features.standardise == "train"
        else identity(array.num_layers, array.size)
        for name, array in arrays.items()
    }


def _build_perceptions(
    settings: ModelSettings,
    features: FeatureSettings,
    standardisations: Mapping[str, Standardisation],
) -> dict[str, Perception]:
    is_single = isinstance(settings, UtteranceModelSettings)
    make_map = FRAME_MAPS.get(settings.head) if is_single else None
    perceptions = {}
    for name, standardisation in standardisations.items():
        mixture = LAYER_MIXTURES[features.layer_mixture](
            standardisation.num_layers, standardisation.output_size
        )
        size = mixture.output_size
        frame_map = None if make_map is None else make_map(size, settings.hidden_size)
        size = (frame_map or mixture).output_size
        aggregator = make_aggregator(features.aggregator, size, features.aggregator_size)
        perceptions[name] = Perception(standardisation, mixture, aggregator, frame_map)
    return perceptions
