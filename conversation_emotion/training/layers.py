"""Trains the probes of an encoder's layers on every fold with every seed."""

import pandas as pd
from tqdm import tqdm

from conversation_emotion.evaluation.decisions import choose_by_valid
from conversation_emotion.tasks.baselines import MAJORITY
from conversation_emotion.tasks.emotion import evaluate_classes
from conversation_emotion.tasks.layers import SUM, LayerProbes, read_layer_weights
from conversation_emotion.tasks.task import Scores
from conversation_emotion.tracker import PREDICTIONS, ParentTracker, Tracker
from conversation_emotion.training.cross_validation import evaluate, train_fold

CHOSEN = "chosen"
"""In each fold and seed, the layer that is best on valid."""

_WEIGHTS = "layer_weights.parquet"


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
    keys = ["utterance_id", "fold", "seed", "part"]
    joined = next(iter(tables.values()))
    for name, table in tables.items():
        column = table[[*keys, "predicted"]].rename(columns={"predicted": name})
        joined = joined.merge(column, on=keys, validate="one_to_one")
    return joined


def score_layers(task: LayerProbes, predictions: pd.DataFrame, tracker: Tracker) -> Scores:
    """Scores every probe and the majority on test, and keeps the curve over layers with the run."""
    names = [*task.names, *([CHOSEN] if CHOSEN in predictions else []), MAJORITY]
    test = predictions[predictions["part"] == "test"]
    scores = evaluate_classes(test, names, len(task.labels), task.training.resamples)
    for name in names[:-1]:
        found = {metric: interval.score for metric, interval in scores[name].items()}
        if name.isdecimal():
            tracker.log_step(int(name), {f"layer/test_{m}": value for m, value in found.items()})
        else:
            tracker.log_metrics({f"{name}/test_{m}": value for m, value in found.items()})
    return scores


def _probe(task: LayerProbes, name: str, tracker: ParentTracker) -> pd.DataFrame:
    """Trains one layer's probe on every fold with every seed, under a run of its own."""
    probe, tables, weights = task.for_layer(name), [], []
    with tracker.open_child(name, {"layer": name}) as run:
        for fold, seed in tqdm(task.trainings(), f"layer {name}", unit="training", leave=False):
            trained = train_fold(probe, fold, seed)
            tables.append(trained.predictions)
            if name == SUM:
                found = read_layer_weights(trained.model)
                weights.append(found.assign(fold=fold.name, seed=seed))
        table = pd.concat(tables, ignore_index=True)
        evaluate(probe, table, run)
        if weights:
            run.log_table(pd.concat(weights, ignore_index=True), _WEIGHTS)
    return table
