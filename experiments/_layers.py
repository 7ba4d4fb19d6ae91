"""Probes of an encoder's layers: hidden states heard once, a training on each layer's own."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from conversation_emotion.datasets.dataset import read_corpus
from conversation_emotion.datasets.windows import single_utterances
from conversation_emotion.evaluation.decisions import choose_by_valid
from conversation_emotion.evaluation.metrics import Interval, score_predictions
from conversation_emotion.features.extract import Features, select_layers
from conversation_emotion.features.key import Layers
from conversation_emotion.models.conversation import UtteranceModel
from conversation_emotion.models.perception import LayerSum, Perception
from conversation_emotion.settings.corpus import CorpusSettings
from experiments import _report, _utterances
from experiments._features import extract_features
from experiments._folds import PREDICTIONS, Prepared, prepare_windows, train_fold
from experiments.tracking.runs import ParentRun

if TYPE_CHECKING:
    from experiments.layers import LayersConfig

SUM, LAST_FOUR, CHOSEN = "sum", "last-4", "chosen"
"""The learned weighted sum, the mean of the last four, and in each fold the best layer by valid."""

WEIGHTS = "layer_weights.parquet"


class Heard(NamedTuple):
    """A corpus as an encoder hears it.

    Attributes:
        data: Settings of the corpus.
        encoder: Name of the encoder.
        prepared: The corpus with the states of all layers.
        features: The same states.
        names: What is probed, in order: numbers of layers, `SUM`, `LAST_FOUR`.
    """

    data: CorpusSettings
    encoder: str
    prepared: Prepared
    features: Features
    names: tuple[str, ...]


class Probed(NamedTuple):
    """What the probes of one corpus and encoder came to.

    Attributes:
        heard: What was probed.
        scores: Intervals of each probe on test by metric; `CHOSEN` where there are several layers.
        majority: Those of the most frequent class of train.
        weights: Weight of each layer in the sum, the mean over folds and seeds; empty without it.
        chosen: How often valid chose each layer.
    """

    heard: Heard
    scores: dict[str, dict[str, Interval]]
    majority: dict[str, Interval]
    weights: dict[int, float]
    chosen: dict[int, int]


def hear(config: "LayersConfig") -> list[Heard]:
    """Reads each corpus and extracts all layers with each encoder, before any training."""
    heard = []
    for data in config.corpora():
        corpus = read_corpus(data)
        windows = single_utterances(corpus.classes())
        for encoder in config.layers.encoders:
            settings = _utterances.features_of(config.probe(data, encoder), encoder)
            found = extract_features(corpus.utterances, settings, strict=data.strict, corpus=corpus)
            prepared = prepare_windows(corpus, windows, windows, found)
            first = prepared.arrays[corpus.split.folds[0].name]["speech"]
            names = _name_probes(encoder, first.num_layers, config)
            heard.append(Heard(data, encoder, prepared, found["speech"], names))
    return heard


def probe(config: "LayersConfig", heard: Heard, parent: ParentRun) -> Probed:
    """Trains each fold and seed on each layer, or reads what an interrupted run finished."""
    predictions = {}
    weights = pd.DataFrame()
    for name in tqdm(heard.names, desc=heard.encoder, unit="layer", leave=False):
        table = parent.read_finished(name, PREDICTIONS)
        if table is None:
            table = _probe_one(config, heard, name, parent)
        if name == SUM:
            found = parent.read_finished(name, WEIGHTS)
            weights = weights if found is None else found
        predictions[name] = table
    chosen: dict[int, int] = {}
    numbered = sorted((name for name in predictions if name.isdecimal()), key=int)
    if len(numbered) > 1:
        layers = {name: predictions[name] for name in numbered}
        predictions[CHOSEN], counts = choose_by_valid(layers)
        chosen = {int(name): count for name, count in counts.items()}
    tested = {name: table[table["part"] == "test"] for name, table in predictions.items()}
    first = next(iter(tested.values()))
    guessed = first.assign(predicted=first[_utterances.MAJORITY])
    probed = Probed(
        heard,
        {name: _score(config, heard, table) for name, table in tested.items()},
        _score(config, heard, guessed),
        _average_weights(weights),
        chosen,
    )
    _log(probed, parent)
    return probed


def _name_probes(encoder: str, num_layers: int, config: "LayersConfig") -> tuple[str, ...]:
    possible = [str(number) for number in range(num_layers)]
    possible += [SUM] if num_layers > 1 else []
    possible += [LAST_FOUR] if num_layers >= 4 else []
    wanted = config.layers.layers
    if not wanted:
        return tuple(possible)
    if num_layers == 1:
        return ("0",)
    if strange := [name for name in wanted if name not in possible]:
        raise ValueError(
            f"--layers {strange[0]}: {encoder} has no such layer, it has {', '.join(possible)}"
        )
    return tuple(dict.fromkeys(wanted))


def _probe_one(config: "LayersConfig", heard: Heard, name: str, parent: ParentRun) -> pd.DataFrame:
    """Trains one layer's probe on every fold with every seed."""
    settings = config.probe(heard.data, heard.encoder)
    prepared = _keep_layer(heard, name)
    features = _utterances.features_of(settings, heard.encoder)
    recipe = _utterances.make_recipe(settings, prepared, features)
    tables, weights = [], []
    jobs = [
        (fold, seed)
        for fold in prepared.corpus.split.folds
        for seed in range(config.training.seeds)
    ]
    with parent.open_child(name, {"layer": name}) as child:
        for fold, seed in tqdm(jobs, desc=f"layer {name}", unit="training", leave=False):
            trained = train_fold(prepared, recipe, fold, seed)
            tables.append(trained.predictions)
            if name == SUM:
                weights.append(_read_weights(trained.model).assign(fold=fold.name, seed=seed))
        table = pd.concat(tables, ignore_index=True)
        resamples = config.training.resamples
        _report.score(prepared, table, child, baselines=recipe.baselines, num_resamples=resamples)
        if weights:
            child.log_table(pd.concat(weights, ignore_index=True), WEIGHTS)
    return table


def _keep_layer(heard: Heard, name: str) -> Prepared:
    """Leaves one layer, or the mean of four; a sum gets all of them."""
    if name == SUM:
        return heard.prepared
    layers: Layers = LAST_FOUR if name == LAST_FOUR else int(name)
    kept = _select(heard.features, layers)
    corpus, windows, learning = heard.prepared[:3]
    return prepare_windows(corpus, windows, learning, {"speech": kept})


def _select(features: Features, layers: Layers) -> Features:
    states = [
        None if found is None else select_layers(torch.tensor(found)[None], layers)[0].numpy()
        for found in features.states
    ]
    folds = {fold: _select(found, layers) for fold, found in features.folds.items()}
    return features._replace(states=states, folds=folds)


def _read_weights(model: torch.nn.Module) -> pd.DataFrame:
    assert isinstance(model, UtteranceModel)
    perception = model.perceptions["speech"]
    assert isinstance(perception, Perception)
    assert isinstance(perception.mixture, LayerSum)
    weights = perception.mixture.scores.detach().softmax(dim=0).tolist()
    return pd.DataFrame({"layer": range(len(weights)), "weight": weights})


def _average_weights(weights: pd.DataFrame) -> dict[int, float]:
    """Averages the weight of each layer over folds and seeds."""
    if weights.empty:
        return {}
    layers = weights["layer"].to_numpy(dtype=np.int64)
    values = weights["weight"].to_numpy(dtype=np.float64)
    return {int(layer): float(values[layers == layer].mean()) for layer in np.unique(layers)}


def _score(config: "LayersConfig", heard: Heard, tested: pd.DataFrame) -> dict[str, Interval]:
    num_classes = len(heard.prepared.corpus.label_map.labels)
    return score_predictions(tested, num_classes, num_resamples=config.training.resamples)


def _log(probed: Probed, parent: ParentRun) -> None:
    """Keeps the curve over layers with the run, and what is made of several of them."""
    for name, scores in probed.scores.items():
        found = {metric: interval.score for metric, interval in scores.items()}
        if name.isdecimal():
            parent.log_step(int(name), {f"layer/test_{m}": value for m, value in found.items()})
        else:
            parent.log_metrics({f"{name}/test_{m}": value for m, value in found.items()})
