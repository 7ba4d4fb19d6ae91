"""Probes of an encoder's layers: states extracted once, each layer trained on every fold."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

import pandas as pd
import torch
from tqdm import tqdm

from conversation_emotion.datasets.inputs import extract_features, prepare_inputs
from conversation_emotion.datasets.windows import single_utterances
from conversation_emotion.evaluation.decisions import choose_by_valid
from conversation_emotion.features.extract import Features, select_layers
from conversation_emotion.settings.features import Layers
from conversation_emotion.settings.recognition import SERSettings
from conversation_emotion.splits.folds import Fold
from conversation_emotion.tasks.emotion import (
    MAJORITY,
    UtteranceEmotion,
    add_system,
    evaluate_classes,
)
from conversation_emotion.tasks.prepare import prepare_dataset
from conversation_emotion.tasks.task import Scores
from conversation_emotion.tracker import PREDICTIONS, Memory, MemoryTracker, ParentTracker, Tracker
from conversation_emotion.training.cross_validation import evaluate, train_fold
from conversation_emotion.training.fit import OnEpoch
from conversation_emotion.training.side_by_side import Work, run_trainings

SUM, LAST_FOUR = "sum", "last-4"
"""The learned weighted sum of all layers, and the mean of the last four."""

CHOSEN = "chosen"
"""In each fold and seed, the layer that is best on valid."""

_WEIGHTS = "layer_weights.parquet"


@dataclass(eq=False, repr=False)
class LayerProbes(UtteranceEmotion):
    """The probe of all layers, and of each of them by name: its number, `SUM` or `LAST_FOUR`.

    Once they were trained, ``weights`` are those of each layer in the sum, and ``chosen`` counts
    how often valid chose each layer.
    """

    states: Features
    names: tuple[str, ...]
    weights: dict[int, float] = field(default_factory=dict)
    chosen: dict[int, int] = field(default_factory=dict)

    def for_layer(self, name: str) -> UtteranceEmotion:
        """Returns the probe of one layer, or of the mean of four; the sum gets all of them."""
        if name == SUM:
            return self
        layers: Layers = "last-4" if name == LAST_FOUR else int(name)
        states = {"speech": _select(self.states, layers)}
        windows, training = self.inputs.windows, self.inputs.training
        inputs = prepare_inputs(
            self.dataset, windows, training, states, standardise=self.features.standardise
        )
        return UtteranceEmotion(inputs, self.features, self.model, self.training)


def prepare_layers(settings: SERSettings, wanted: Sequence[str], memory: Memory) -> LayerProbes:
    """Extracts all layers of one encoder; without ``wanted`` each of them is probed."""
    (encoder,) = settings.features.speech_encoder
    features = settings.features_of(encoder)
    dataset = prepare_dataset(settings.data, settings.training.max_folds, memory)
    found = extract_features(dataset, features, strict=settings.data.strict)
    windows = single_utterances(dataset.classes())
    inputs = prepare_inputs(dataset, windows, windows, found, standardise=features.standardise)
    num_layers = inputs.arrays[dataset.split.folds[0].name]["speech"].num_layers
    names = _name_probes(encoder, num_layers, wanted)
    states, model, training = found["speech"], settings.model, settings.training
    return LayerProbes(inputs, features, model, training, states, names)


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


def probe_layers(task: LayerProbes, tracker: ParentTracker) -> pd.DataFrame:
    """Trains each fold and seed on each layer, or reads what an interrupted run finished.

    Sets `LayerProbes.weights` and `LayerProbes.chosen`.

    Returns:
        The predictions of the first probe with a column for each probe, by its name, and for
        `CHOSEN` where there are several layers.
    """
    tables = {}
    for name in tqdm(task.names, desc="layers", unit="layer", leave=False):
        table = tracker.read_finished(name, PREDICTIONS)
        tables[name] = _probe(task, name, tracker) if table is None else table
    if SUM in tables:
        weights = tracker.read_finished(SUM, _WEIGHTS)
        assert weights is not None, "the run of the sum keeps its weights"
        means = weights.groupby("layer")["weight"].mean()
        task.weights = {int(layer): float(mean) for layer, mean in means.items()}  # type: ignore[call-overload]
    numbered = {name: table for name, table in tables.items() if name.isdecimal()}
    if len(numbered) > 1:
        ordered = {name: numbered[name] for name in sorted(numbered, key=int)}
        tables[CHOSEN], counts = choose_by_valid(ordered, metric=task.select_by)
        task.chosen = {int(name): count for name, count in counts.items()}
    joined = next(iter(tables.values()))
    for name, table in tables.items():
        joined = add_system(joined, table, name)
    return joined


def score_layers(task: LayerProbes, predictions: pd.DataFrame, tracker: Tracker) -> Scores:
    """Scores every probe and the majority on test, and keeps the curve over layers with the run."""
    names = [*task.names, *([CHOSEN] if CHOSEN in predictions else []), MAJORITY]
    test = predictions[predictions["part"] == "test"]
    scores = evaluate_classes(test, names, len(task.labels))
    for name in names[:-1]:
        found = {metric: interval.score for metric, interval in scores[name].items()}
        if name.isdecimal():
            tracker.log_step(int(name), {f"layer/test_{m}": value for m, value in found.items()})
        else:
            tracker.log_metrics({f"{name}/test_{m}": value for m, value in found.items()})
    return scores


def _probe(task: LayerProbes, name: str, tracker: ParentTracker) -> pd.DataFrame:
    """Trains one layer's probe on every fold with every seed, under a run of its own."""
    probe = task.for_layer(name)

    def train(fold: Fold, seed: int, on_epoch: OnEpoch) -> tuple[pd.DataFrame, pd.DataFrame]:
        trained, shares = train_fold(probe, fold, seed, on_epoch=on_epoch), list[float]()
        if name == SUM:
            scores = trained.model.get_parameter("perceptions.speech.mixture.scores")
            shares = scores.detach().softmax(dim=0).tolist()
        found = pd.DataFrame({"layer": range(len(shares)), "weight": shares})
        return trained.predictions, found.assign(fold=fold.name, seed=seed)

    work = Work(
        read=lambda fold, seed: None,
        open_run=lambda fold, seed: nullcontext(MemoryTracker()),  # the layer has one run for all
        train=train,
        keep=lambda result, run: result,
    )
    with tracker.open_child(name, {"layer": name}) as run:
        tables, weights = zip(*run_trainings(probe, work, f"layer {name}").values(), strict=True)
        table = pd.concat(tables, ignore_index=True)
        evaluate(probe, table, run)
        if name == SUM:
            run.log_table(pd.concat(weights, ignore_index=True), _WEIGHTS)
    return table
