"""The interface of a task: targets, model, loss, predictions, scores, and the metric that selects.

Fitting and cross-validation use nothing else of an experiment. A task comes with its data and
settings; which folds and seeds are trained, resumed, averaged and tracked is the same for all.
"""

import math
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import copy
from functools import partial
from importlib.metadata import entry_points
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from conversation_emotion.datasets.batches import Batch, WindowLoader
from conversation_emotion.datasets.dataset import Dataset
from conversation_emotion.datasets.inputs import Inputs, make_parts
from conversation_emotion.datasets.windows import PADDING
from conversation_emotion.evaluation.groups import Measure
from conversation_emotion.evaluation.metrics import Interval, jackknife_classes, rank_score
from conversation_emotion.models.fine_tuned import Weights
from conversation_emotion.models.perception import find_fixed, perceive_rows
from conversation_emotion.settings.training import FitSettings
from conversation_emotion.splits.folds import Fold, Rows
from conversation_emotion.utterances.clusters import find_clusters

MODEL = "model"
"""The system that was trained, among the baselines that are scored next to it."""

SINGLE = "single"
"""Column of what the best single checkpoint predicts."""

Scores = dict[str, dict[str, Interval]]
"""Intervals by metric of each system."""

Loss = Callable[[nn.Module, Any], Tensor]
"""From a model and a batch to a number, with a gradient."""


class Batches(NamedTuple):
    """The batches of a fold; those of training are shuffled anew in each epoch."""

    training: Iterable[Any]
    valid: Iterable[Any]
    test: Iterable[Any]


class Task(ABC):
    """What is predicted on a dataset, and how a model is fitted to it.

    Attributes:
        name: Name of the task in results.
        version: Changes whenever the same settings give other numbers on purpose.
        metrics: What can select, the default first; see `evaluation.metrics.LOWER_IS_BETTER`.
        prefix: Begins the names of the runs of its trainings.
        is_resumable: Whether a training is long enough to keep its state on disk.
        scores_single: Whether the best single checkpoint is scored next to the averaged weights.
        labels: Names of the classes; empty where numbers are predicted.
        training: `RunSettings`, or more that the task needs.
        failures: Why a clip could not be used, by utterance id.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    metrics: tuple[str, ...]
    prefix: ClassVar[str] = ""
    is_resumable: ClassVar[bool] = False
    scores_single: ClassVar[bool] = False

    dataset: Dataset
    training: Any
    labels: tuple[str, ...] = ()
    failures: Mapping[str, str]
    fingerprint: str

    @property
    def select_by(self) -> str:
        """Metric on valid that selects weights, trainings and settings.

        Raises:
            ValueError: The task does not have the metric that is asked for.
        """
        wanted = self.training.select_by
        if wanted != "auto" and wanted not in self.metrics:
            raise ValueError(
                f"--select-by {wanted}: this task has {', '.join(self.metrics)}, or auto for "
                f"{self.metrics[0]}"
            )
        return self.metrics[0] if wanted == "auto" else wanted

    def trainings(self) -> list[tuple[Fold, int]]:
        """Returns each fold with each seed."""
        return [(f, seed) for f in self.dataset.split.folds for seed in range(self.training.seeds)]

    def rank(self, scores: Mapping[str, float]) -> float:
        """Returns the score that selects, larger for better.

        Raises:
            ValueError: There is nothing to score.
        """
        score = scores[self.select_by]
        if math.isnan(score):
            raise ValueError(
                f"--select-by {self.select_by}: no two targets of the valid part differ, or none "
                "has votes, so that it has no score; choose another metric, --valid or --split"
            )
        return rank_score(self.select_by, score)

    @abstractmethod
    def batches(self, fold: Fold, seed: int) -> Batches:
        """Returns the batches of a fold."""

    @abstractmethod
    def build(self, fold: Fold) -> nn.Module:
        """Builds an untrained model with the statistics of the fold's train part."""

    @abstractmethod
    def loss(self, fold: Fold, device: torch.device) -> Loss:
        """Returns the loss of a fold."""

    @abstractmethod
    def predict(self, model: nn.Module, batches: Iterable[Any]) -> Any:
        """Predicts every target once, in evaluation mode."""

    @abstractmethod
    def score(self, predictions: Any) -> dict[str, float]:
        """Scores the predictions of one training by metric, those of `metrics` among them."""

    @abstractmethod
    def tabulate(self, predictions: Any, fold: Fold, part: str) -> pd.DataFrame:
        """Returns predictions of a part, and those of baselines, a row per target."""

    @abstractmethod
    def evaluate(self, predictions: pd.DataFrame) -> Scores:
        """Scores the tables of all trainings with intervals, `MODEL` first."""

    def group_measure(self) -> Measure:
        """Returns the score in which groups of targets are compared; that of classes here."""
        score = partial(jackknife_classes, num_classes=len(self.labels), metrics=["uar"])
        return Measure(metric="pooled_uar", jackknife=score, labels=self.labels)

    def probe(self, model: nn.Module, fold: Fold, part: str) -> dict[str, NDArray]:
        """Returns more columns of a part's table, of what a fitted model does with other inputs."""
        del model, fold, part
        return {}

    def precompute(self, model: nn.Module, batches: Iterable[Any]) -> None:
        """Lets batches hold what a model computes of its inputs alike in every epoch, if any."""
        del model, batches

    def solve(self, model: nn.Module, fold: Fold, batches: Batches) -> nn.Module | None:
        """Solves a model at once from the train part; None where it has to be trained."""
        del model, fold, batches

    def extend(self, model: nn.Module, fold: Fold, seed: int) -> nn.Module:
        """Lets a model also learn from valid, once valid is predicted; most do not."""
        del fold, seed
        return model

    def on_all(self, fold: Fold) -> "Task":
        """Returns the same task for a fold that holds every target.

        Raises:
            ValueError: There is no model of all targets.
        """
        raise ValueError(f"--train-on-all: the task {self.name} keeps no model of {fold.name} data")

    def export(self, model: nn.Module) -> Weights:
        """Returns the weights of a checkpoint."""
        return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}

    def rebuild(self, model: nn.Module) -> nn.Module:
        """Returns a model that takes the weights of checkpoints; the same unless it changed."""
        return model

    def finish(self, model: nn.Module, fold: Fold, seed: int) -> nn.Module:
        """Keeps a fitted model where the task wants it, and returns the one that predicts."""
        return model

    def is_finished(self, fold: Fold, seed: int) -> bool:
        """Whether what `finish` keeps is there."""
        return True

    def notes(self) -> Iterator[str]:
        """Yields what a reader of the scores has to know of the task's own data."""
        return iter(())

    def describe(self, rows: Rows) -> pd.DataFrame:
        """Returns id, dialogue, speaker and cluster of some rows of the utterance table."""
        columns = ["utterance_id", "dialogue_id", "speaker"]
        utterances = self.dataset.utterances
        found = utterances[columns].assign(cluster=find_clusters(utterances))
        return found.iloc[rows].reset_index(drop=True)


class WindowTask(Task):
    """A task on the windows of a dataset with stored features.

    Valid and test are predicted in batches of ``evaluation_size``.
    """

    evaluation_size = 256

    def __init__(self, inputs: Inputs, training: FitSettings) -> None:
        self.inputs, self.dataset = inputs, inputs.dataset
        self.training = training
        self.failures, self.fingerprint = inputs.failures, inputs.fingerprint

    def batches(self, fold: Fold, seed: int) -> Batches:
        """Returns the batches of a fold."""
        size = self.training.batch_size
        parts = make_parts(
            self.inputs,
            fold,
            seed,
            size,
            evaluation_size=self.evaluation_size,
            is_balanced=getattr(self.training, "sampling", "natural") == "balanced",
        )
        return Batches(*(parts[name] for name in ("training", "valid", "test")))

    def on_all(self, fold: Fold) -> "WindowTask":
        """Returns the same task for a fold that holds every target."""
        first, *others = self.inputs.arrays.values()
        if any(arrays[name] is not first[name] for arrays in others for name in first):
            raise ValueError(
                "--train-on-all and --ensemble need the same encoder in all folds, got one tuned "
                "for each"
            )
        whole = copy(self)
        whole.inputs = self.inputs._replace(arrays={**self.inputs.arrays, fold.name: first})
        return whole

    def precompute(self, model: nn.Module, batches: Iterable[WindowLoader]) -> None:
        """Perceives every utterance of the batches where training does not change how."""
        loaders = list(batches)
        rows = np.unique(np.concatenate([one.windows.rows.flatten() for one in loaders]))
        for name, perception in find_fixed(model).items():
            arrays = loaders[0].arrays[name]
            vectors = perceive_rows(perception, arrays, rows[rows != PADDING])
            for loader in loaders:
                loader.vectors = {**loader.vectors, name: vectors}

    def train_rows(self, fold: Fold) -> Rows:
        """Returns the target rows of the train part, in table order."""
        return self.inputs.windows.select(fold.train).target_rows


def find_device() -> torch.device:
    """Returns the device to train on: an accelerator if there is one.

    Raises:
        ValueError: There are several processes, none of which would get batches of its own.
    """
    if (num_processes := int(os.environ.get("WORLD_SIZE", 1))) > 1:
        raise ValueError(
            f"a training runs in one process, got {num_processes}; start it without torchrun"
        )
    return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")


def collect_outputs(
    model: nn.Module,
    batches: Iterable[Batch],
    read: Callable[[Batch], tuple[Tensor, ...]],
) -> list[NDArray]:
    """Concatenates what ``read`` returns of each batch, in evaluation mode, where the model is."""
    model.eval()
    device = next(model.parameters()).device
    with torch.inference_mode():
        parts = [read(batch.to(device)) for batch in batches]
    return [torch.cat(tensors).cpu().numpy() for tensors in zip(*parts, strict=True)]


def find_tasks() -> dict[str, type]:
    """Returns the classes of tasks by name, of the entry points of conversation_emotion.tasks.

    `conversation_emotion.cross_validate` takes an instance of one, as it takes those built in.
    """
    return {entry.name: entry.load() for entry in entry_points(group="conversation_emotion.tasks")}
