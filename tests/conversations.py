"""Small planted conversations that tests share."""

import numpy as np
import pandas as pd

from conversation_emotion.datasets.batches import ModalityArrays, gather_batch
from conversation_emotion.datasets.windows import Windows, build_windows
from conversation_emotion.features.extract import Features
from conversation_emotion.models.conversation import (
    ConversationModel,
    HistoryLabels,
    Stream,
)
from conversation_emotion.models.dialogue import DIALOGUE_MODELS
from conversation_emotion.models.fusion import JOINS, partition_modalities
from conversation_emotion.models.perception import (
    AGGREGATORS,
    LayerSum,
    Perception,
    fit_standardisation,
)
from conversation_emotion.utterances.table import build_utterances

NUM_FRAMES = 3
SIZE = 4


def make_dialogues(num_dialogues: int, num_turns: int, num_speakers: int = 2) -> pd.DataFrame:
    rows = [
        {
            "utterance_id": f"d{dialogue:03}u{order:02}",
            "dialogue_id": f"d{dialogue:03}",
            "order": order,
            "speaker": f"p{order % num_speakers}",
        }
        for dialogue in range(num_dialogues)
        for order in range(num_turns)
    ]
    return build_utterances(rows, "planted")


def make_features(values: np.ndarray, *, missing: tuple[int, ...] = (), num_layers: int = 1):
    """One frame per row that repeats its values, or several rows of noise: (rows, D)."""
    states = [
        None if row in missing else np.repeat(value[None, None, :], num_layers, 0)
        for row, value in enumerate(values.astype(np.float32))
    ]
    return Features(states, {})  # type: ignore[arg-type]


def make_framed_features(num_rows: int, seed: int = 0) -> Features:
    """One to three frames of noise per row, two layers."""
    generator = np.random.default_rng(seed)
    return Features(
        [
            generator.normal(size=(2, 1 + row % NUM_FRAMES, SIZE)).astype(np.float32)
            for row in range(num_rows)
        ],
        {},
    )


def make_model(
    arrays: dict[str, ModalityArrays],
    rows: np.ndarray,
    *,
    dialogue: str = "hierarchical",
    fusion: str = "early",
    aggregator: str = "mean",
    num_classes: int = 2,
    num_heard: int = 2,
    told: bool = False,
    dropout: float = 0.0,
) -> ConversationModel:
    perceptions = {}
    for name, array in arrays.items():
        standardisation = fit_standardisation(array.stack_frames(rows))
        perceptions[name] = Perception(
            standardisation,
            LayerSum(array.num_layers, array.size),
            AGGREGATORS[aggregator](array.size),
        )
    labels = HistoryLabels(num_heard) if told else None
    streams = [
        Stream(
            names,
            JOINS[fusion](
                [perceptions[name].output_size for name in names] + [32] * told, 16, dropout
            ),
            16,
            DIALOGUE_MODELS[dialogue](16, 16, 1, dropout),
        )
        for names in partition_modalities(tuple(arrays), fusion)  # type: ignore[arg-type]
    ]
    return ConversationModel(perceptions, streams, num_classes, num_heard, labels, dropout)


def make_windows(table: pd.DataFrame, classes: np.ndarray, horizon: int = 1) -> Windows:
    return build_windows(table, classes, horizon=horizon)


__all__ = [
    "SIZE",
    "gather_batch",
    "make_dialogues",
    "make_features",
    "make_framed_features",
    "make_model",
    "make_windows",
]
