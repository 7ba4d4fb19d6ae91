"""Probes of an encoder's layers: hidden states extracted once, a training on each layer's own."""

from collections.abc import Sequence
from typing import cast

import pandas as pd
import torch
from torch import nn

from conversation_emotion.datasets.inputs import Inputs, extract_features, prepare_inputs
from conversation_emotion.datasets.windows import single_utterances
from conversation_emotion.features.extract import Features, select_layers
from conversation_emotion.models.conversation import UtteranceModel
from conversation_emotion.models.perception import LayerSum, Perception
from conversation_emotion.settings.features import FeatureSettings, Layers
from conversation_emotion.settings.recognition import SERSettings
from conversation_emotion.tasks.emotion import UtteranceEmotion
from conversation_emotion.tasks.prepare import prepare_dataset
from conversation_emotion.tracker import Memory

SUM, LAST_FOUR = "sum", "last-4"
"""The learned weighted sum of all layers, and the mean of the last four."""


class LayerProbes(UtteranceEmotion):
    """The probe of all layers, and of each of them by name: its number, `SUM` or `LAST_FOUR`.

    Once they were trained, ``weights`` are those of each layer in the sum, and ``chosen`` counts
    how often valid chose each layer.
    """

    weights: dict[int, float]
    chosen: dict[int, int]

    def __init__(
        self,
        inputs: Inputs,
        features: FeatureSettings,
        settings: SERSettings,
        states: Features,
        names: tuple[str, ...],
    ) -> None:
        super().__init__(inputs, features, settings.model, settings.training)
        self.states, self.names = states, names
        self.weights, self.chosen = {}, {}

    def for_layer(self, name: str) -> UtteranceEmotion:
        """Returns the probe of one layer, or of the mean of four; the sum gets all of them."""
        if name == SUM:
            return self
        layers: Layers = "last-4" if name == LAST_FOUR else int(name)
        states = {"speech": _select(self.states, layers)}
        windows, training = self.inputs.windows, self.inputs.training
        inputs = prepare_inputs(self.dataset, windows, training, states)
        return UtteranceEmotion(inputs, self.features, self.model, self.training)


def prepare_layers(settings: SERSettings, wanted: Sequence[str], memory: Memory) -> LayerProbes:
    """Extracts all layers of one encoder; without ``wanted`` each of them is probed."""
    (encoder,) = settings.features.speech_encoder
    features = settings.features_of(encoder)
    dataset = prepare_dataset(settings.data, settings.training.max_folds, memory)
    found = extract_features(dataset, features, strict=settings.data.strict)
    windows = single_utterances(dataset.classes())
    inputs = prepare_inputs(dataset, windows, windows, found)
    num_layers = inputs.arrays[dataset.split.folds[0].name]["speech"].num_layers
    names = _name_probes(encoder, num_layers, wanted)
    return LayerProbes(inputs, features, settings, found["speech"], names)


def _name_probes(encoder: str, num_layers: int, wanted: Sequence[str]) -> tuple[str, ...]:
    possible = [str(number) for number in range(num_layers)]
    possible += [SUM] if num_layers > 1 else []
    possible += [LAST_FOUR] if num_layers >= 4 else []
    if not wanted:
        return tuple(possible)
    if num_layers == 1:
        return ("0",)
    if unknown := [name for name in wanted if name not in possible]:
        raise ValueError(
            f"--layers {unknown[0]}: {encoder} has no such layer, it has {', '.join(possible)}"
        )
    return tuple(dict.fromkeys(wanted))


def _select(features: Features, layers: Layers) -> Features:
    states = [
        None if found is None else select_layers(torch.tensor(found)[None], layers)[0].numpy()
        for found in features.states
    ]
    folds = {fold: _select(found, layers) for fold, found in features.folds.items()}
    return features._replace(states=states, folds=folds)


def read_layer_weights(model: nn.Module) -> pd.DataFrame:
    """Returns the trained weight of each layer in the sum of a probe."""
    perception = cast(Perception, cast(UtteranceModel, model).perceptions["speech"])
    weights = cast(LayerSum, perception.mixture).scores.detach().softmax(dim=0).tolist()
    return pd.DataFrame({"layer": range(len(weights)), "weight": weights})
