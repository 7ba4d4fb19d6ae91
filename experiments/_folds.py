"""Trains each fold with each seed, whatever the model, and keeps what it says of valid and test."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import pandas as pd
from accelerate import Accelerator
from accelerate.utils import set_seed
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from conversation_emotion.datasets.batches import ModalityArrays
from conversation_emotion.datasets.dataset import Corpus, note_shared_recordings
from conversation_emotion.datasets.windows import Windows
from conversation_emotion.evaluation.metrics import count_confusions, unweighted_average_recall
from conversation_emotion.features.extract import Features
from conversation_emotion.figures.confusions import draw_confusions
from conversation_emotion.settings.training import TrainingSettings
from conversation_emotion.splits.folds import Fold
from conversation_emotion.tracker import Curves, Validation
from conversation_emotion.training.fit import (
    FitSettings,
    Predictions,
    balanced_class_weights,
    fit,
    predict,
)
from experiments._parts import Part, Prepared, choose_batch_size, make_parts
from experiments.tracking.runs import ParentRun, TrackedRun

__all__ = ["Prepared", "choose_batch_size"]

PREDICTIONS = "predictions.parquet"


class Trained(NamedTuple):
    """A fitted model and its predictions on valid and test, as `run_folds` tells them."""

    model: nn.Module
    predictions: pd.DataFrame


class Recipe(NamedTuple):
    """How a model comes to be.

    Attributes:
        build: Makes an untrained model for the fold's hidden states, with statistics of the windows
            it will learn from.
        fit: How to fit it.
        training: How often to train it, and on how many windows at a time.
        baselines: Judgements to stand beside the model's, from the train and the test windows.
        solve: Fits what was built to what it learns from, in the place of ``fit``; nothing of it is
            chosen by valid, and no device but the processor takes part.
        on_trained: Called by `run_folds` with all that is not read back, and its run.
    """

    build: Callable[[Windows, Mapping[str, ModalityArrays]], nn.Module]
    fit: FitSettings
    training: TrainingSettings
    baselines: Mapping[str, Callable[[Windows, Windows], NDArray]]
    solve: Callable[[nn.Module, DataLoader[int]], nn.Module] | None = None
    on_trained: Callable[[Trained, TrackedRun], None] = lambda trained, run: None


def prepare_windows(
    corpus: Corpus,
    windows: Windows,
    learning: Windows,
    features: Mapping[str, Features],
    *,
    normalise_clips: bool = False,
) -> Prepared:
    """Puts windows and features of a corpus together, and notes recordings that a split shares."""
    recordings = next((found.recordings for found in features.values() if found.recordings), None)
    if recordings is not None:
        corpus = note_shared_recordings(corpus, recordings)
    failures = {key: why for found in features.values() for key, why in found.failures.items()}
    keys = {name: found.key for name, found in features.items()}
    return Prepared(
        corpus,
        windows,
        learning,
        _lay_out(corpus, features, normalise_clips=normalise_clips),
        failures,
        make_fingerprint(corpus.utterances, failures, keys),
    )


def _lay_out(
    corpus: Corpus, features: Mapping[str, Features], *, normalise_clips: bool
) -> dict[str, dict[str, ModalityArrays]]:
    """Lays out the hidden states of each fold; what all folds hear is laid out once."""
    common = {
        name: ModalityArrays(found, name, normalise_clips=normalise_clips)
        for name, found in features.items()
        if not found.folds
    }
    return {
        fold.name: {
            name: common.get(name)
            or ModalityArrays(found.of_fold(fold.name), name, normalise_clips=normalise_clips)
            for name, found in features.items()
        }
        for fold in corpus.split.folds
    }


def run_folds(prepared: Prepared, recipe: Recipe, parent: ParentRun) -> pd.DataFrame:
    """Trains each fold with each seed and returns all predictions on valid and test.

    The table has a row per judged utterance and training, with the columns of
    `_tabulate_predictions`. What the run had finished before it was interrupted is read back.
    """

    def work(fold: Fold, seed: int, child: TrackedRun) -> pd.DataFrame:
        return _run_fold(prepared, recipe, fold, seed, child)

    return run_trainings(prepared.corpus.split.folds, recipe.training.seeds, parent, work)


def run_trainings(
    folds: Sequence[Fold],
    num_seeds: int,
    parent: ParentRun,
    work: Callable[[Fold, int, TrackedRun], pd.DataFrame],
) -> pd.DataFrame:
    """Does the work of each fold and seed under a run of its own, and joins what it returns.

    The tables are kept as predictions of their runs; those that an interrupted command had kept
    are read back.
    """
    jobs = [(fold, seed) for fold in folds for seed in range(num_seeds)]
    tables = []
    for fold, seed in tqdm(jobs, desc="folds x seeds", unit="training", leave=False):
        name = training_name(fold.name, seed)
        table = parent.read_finished(name, PREDICTIONS)
        if table is None:
            with parent.open_child(name, {"fold": fold.name, "seed": seed}) as child:
                set_seed(seed)
                table = work(fold, seed, child)
                child.log_table(table, PREDICTIONS)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def training_name(fold: str, seed: int) -> str:
    """Names the run of a training."""
    return f"{fold}-seed{seed}"


def validate_folds(prepared: Prepared, recipe: Recipe) -> Iterator[Validation]:
    """Trains each fold with each seed and yields how it did on valid; test is not looked at."""
    for fold in prepared.corpus.split.folds:
        for seed in range(recipe.training.seeds):
            set_seed(seed)
            parts = make_parts(
                prepared, fold, seed, recipe.training.batch_size, ("train", "valid", "learning")
            )
            curves = Curves()
            accelerator = Accelerator()
            fitted = _fit(prepared, recipe, fold, parts, accelerator, curves.log_step)
            predictions = predict(fitted, accelerator.prepare(parts["valid"].loader), accelerator)
            yield Validation(
                training_name(fold.name, seed),
                predictions.uar(),
                sum(weights.numel() for weights in fitted.parameters()),
                curves.points,
            )


def _run_fold(
    prepared: Prepared, recipe: Recipe, fold: Fold, seed: int, child: TrackedRun
) -> pd.DataFrame:
    """Trains one fold with one seed, and keeps its curves and confusions."""
    trained = train_fold(prepared, recipe, fold, seed, on_epoch=child.log_step)
    labels = prepared.corpus.label_map.labels
    _log_confusions(child, trained.predictions, labels, training_name(fold.name, seed))
    recipe.on_trained(trained, child)
    return trained.predictions


def train_fold(
    prepared: Prepared,
    recipe: Recipe,
    fold: Fold,
    seed: int,
    *,
    on_epoch: Callable[[int, dict[str, float]], None] = lambda epoch, metrics: None,
) -> Trained:
    """Trains one fold with one seed, and lets the model and the baselines judge valid and test."""
    set_seed(seed)
    parts = make_parts(prepared, fold, seed, recipe.training.batch_size)
    accelerator = Accelerator()
    fitted = _fit(prepared, recipe, fold, parts, accelerator, on_epoch)
    tables = []
    for part in ("valid", "test"):
        batches = accelerator.prepare(parts[part].loader)
        predictions = predict(fitted, batches, accelerator)
        baselines = {
            system: judge(parts["train"].windows, parts[part].windows)
            for system, judge in recipe.baselines.items()
        }
        tables.append(
            _tabulate_predictions(predictions, prepared, parts[part].windows, baselines).assign(
                fold=fold.name, seed=seed, part=part
            )
        )
    return Trained(fitted, pd.concat(tables, ignore_index=True))


def _fit(
    prepared: Prepared,
    recipe: Recipe,
    fold: Fold,
    parts: Mapping[str, Part],
    accelerator: Accelerator,
    on_epoch: Callable[[int, dict[str, float]], None],
) -> nn.Module:
    """Builds and fits the model of a fold."""
    built = recipe.build(parts["learning"].windows, prepared.arrays[fold.name])
    if recipe.solve is not None:
        return recipe.solve(built, parts["learning"].loader).to(accelerator.device)
    labels = prepared.corpus.label_map.labels
    weights = balanced_class_weights(parts["train"].windows.targets, labels)
    return fit(
        built,
        parts["learning"].loader,
        parts["valid"].loader,
        recipe.fit,
        class_weights=weights if recipe.training.class_weights == "balanced" else weights**0,
        accelerator=accelerator,
        on_epoch=on_epoch,
    )


def _tabulate_predictions(
    predictions: Predictions,
    prepared: Prepared,
    windows: Windows,
    baselines: Mapping[str, NDArray],
) -> pd.DataFrame:
    """Puts a model's judgements beside those of the baselines, a row per judged utterance."""
    assert (predictions.judged == windows.judged).all(), "predictions out of order"
    judged = prepared.corpus.utterances.iloc[predictions.judged]
    table = pd.DataFrame(
        {
            "utterance_id": judged["utterance_id"].to_numpy(),
            "dialogue_id": judged["dialogue_id"].to_numpy(),
            "speaker": judged["speaker"].to_numpy(),
            "target": predictions.targets,
            "predicted": predictions.probabilities.argmax(axis=1),
            **baselines,
        }
    )
    for number, label in enumerate(prepared.corpus.label_map.labels):
        table[f"p_{label}"] = predictions.probabilities[:, number]
    return table


def _log_confusions(
    child: TrackedRun, table: pd.DataFrame, labels: tuple[str, ...], title: str
) -> None:
    test = table[table["part"] == "test"]
    confusions = count_confusions(
        test["target"].to_numpy(), test["predicted"].to_numpy(), len(labels)
    )
    child.log_metrics({"test/uar": float(unweighted_average_recall(confusions))})
    child.log_figure(draw_confusions(confusions, labels, title), "confusions.png")


def make_fingerprint(
    utterances: pd.DataFrame, failures: Mapping[str, str], keys: Mapping[str, str]
) -> str:
    """Digests the utterances and what their features depend on."""
    rows = pd.util.hash_pandas_object(utterances.astype(str), index=False).to_numpy()
    rest = repr((sorted(failures), sorted(keys.items())))
    return hashlib.sha256(rows.tobytes() + rest.encode()).hexdigest()[:32]
