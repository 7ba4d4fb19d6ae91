"""Small planted conversations that tests share."""

from typing import cast

import numpy as np
import pandas as pd

from conversation_emotion.datasets.batches import ModalityArrays
from conversation_emotion.datasets.windows import Windows, build_windows
from conversation_emotion.features.extract import Features
from conversation_emotion.models.build import build_model
from conversation_emotion.models.conversation import ConversationModel
from conversation_emotion.models.perception import fit_standardisation
from conversation_emotion.settings.features import Aggregator, FeatureSettings
from conversation_emotion.settings.models import ConversationModelSettings, DialogueModel, Fusion
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
    dialogue: DialogueModel = "hierarchical",
    fusion: Fusion = "early",
    aggregator: Aggregator = "mean",
    gold: bool = False,
    dropout: float = 0.0,
) -> ConversationModel:
    """Builds a model of two classes and two emotions; gold gives it the emotions of the past."""
    model = build_model(
        ConversationModelSettings(
            dialogue_model=dialogue,
            fusion=fusion,
            hidden_size=16,
            dropout=dropout,
            input_dropout=dropout,
            history_labels="gold" if gold else "none",
        ),
        FeatureSettings(aggregator=aggregator),
        {name: fit_standardisation(array.stack_frames(rows)) for name, array in arrays.items()},
        num_outputs=2,
        num_emotions=2,
    )
    return cast(ConversationModel, model)


def make_windows(table: pd.DataFrame, classes: np.ndarray, horizon: int = 1) -> Windows:
    return build_windows(table, classes, horizon=horizon)
