"""Saved models with random weights, for tests of what reads and uses them."""

from pathlib import Path

import pandas as pd
import torch

from conversation_emotion.features.sources import list_sources, load_encoders
from conversation_emotion.inference.card import FORMAT, Card, Part, Training, name_task
from conversation_emotion.inference.saved_model import read_card, save_model
from conversation_emotion.models.build import build_model
from conversation_emotion.models.perception import identity
from conversation_emotion.settings.features import FeatureSettings
from conversation_emotion.settings.models import ModelSettings

LABELS = ("angry", "happy", "neutral", "sad")


def temper(predictions: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """The probabilities of a training at the temperature of the model that was kept of it."""
    card = read_card(folder / "config.json")
    assert card.calibration is not None
    columns = [f"p_{label}" for label in card.labels]
    tempered = card.calibration.temper(predictions[columns].to_numpy())
    return pd.DataFrame(tempered, predictions.index, columns)


def save_untrained(
    folder: Path,
    settings: ModelSettings,
    features: FeatureSettings | None = None,
    *,
    num_heads: int = 1,
) -> Path:
    """Writes a model of four classes into a folder, and returns that."""
    features = features or FeatureSettings()
    encoders = load_encoders(features)
    standardisations = {}
    for name, source in list_sources(features).items():
        num_layers = encoders[name].num_layers if source.layers == "all" else 1
        size = encoders[name].hidden_size * (2 if source.pooling == "statistics" else 1)
        standardisations[name] = identity(num_layers, size)
    torch.manual_seed(0)
    model = build_model(
        settings,
        features,
        standardisations,
        num_outputs=len(LABELS),
        num_emotions=len(LABELS),
        num_heads=num_heads,
    )
    part = Part(speakers=("a", "b|c"), num_targets=1234, score=0.5)
    card = Card(
        format=FORMAT,
        task=name_task(settings),
        corpus="demo",
        label_set="4-class",
        labels=LABELS,
        emotions=LABELS,
        model=settings,
        features=features,
        encoders={name: encoder.identity for name, encoder in encoders.items()},
        training=Training(
            protocol="official",
            notes=(),
            fold="official",
            seed=0,
            num_trainings=2,
            select_by="wa",
            valid=part,
            test=part,
        ),
        versions={},
    )
    save_model(folder, model, card)
    return folder
