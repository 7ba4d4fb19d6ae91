"""Tasks of milliseconds that tests share: planted numbers or clips, and one fold or two."""

from collections.abc import Callable, Mapping
from typing import cast

import numpy as np
import pandas as pd
import torch
from torch import nn

from conversation_emotion.datasets.batches import ModalityArrays
from conversation_emotion.datasets.clip_batches import ClipInputs, Clips
from conversation_emotion.datasets.dataset import Dataset
from conversation_emotion.datasets.inputs import Inputs
from conversation_emotion.datasets.windows import Windows, single_utterances
from conversation_emotion.models.fine_tuned import Encoding
from conversation_emotion.settings.fine_tuning import TunableSettings
from conversation_emotion.settings.training import FineTuningSettings, TrainingSettings
from conversation_emotion.splits.folds import Fold, Split
from conversation_emotion.tasks.emotion import Classification
from conversation_emotion.tasks.fine_tuning import FineTuning
from conversation_emotion.tasks.task import Task
from conversation_emotion.training.checkpoints import Checkpoints
from conversation_emotion.training.fit import Fitted, OnEpoch, fit
from conversation_emotion.utterances.labels import LabelMap, Targets
from tests.conversations import make_dialogues, make_features

LABELS = ("no", "yes")


def make_fold(train: np.ndarray, valid: np.ndarray, name: str = "only") -> Fold:
    """Makes a fold whose test part is its valid part."""
    return Fold(name=name, train=train, valid=valid, test=valid)


def make_dataset(
    table: pd.DataFrame, classes: np.ndarray, *folds: Fold, emotions: np.ndarray | None = None
) -> Dataset:
    """Makes a dataset of two classes, which are all its emotions unless others are given."""
    named = LabelMap(
        corpus="planted", label_set="all", labels=LABELS, classes={name: name for name in LABELS}
    )
    return Dataset(
        table,
        named,
        Targets(pd.Series(classes), {}, 0),
        LABELS,
        classes if emotions is None else emotions,
        Split(name="planted", folds=folds, validation="as planted"),
    )


def make_inputs(
    dataset: Dataset,
    windows: Windows,
    arrays: Mapping[str, ModalityArrays],
    training: Windows | None = None,
) -> Inputs:
    """Joins windows and features, the same in all folds."""
    named = {fold.name: arrays for fold in dataset.split.folds}
    return Inputs(dataset, windows, training or windows, named, {}, "planted")


class Planted(Classification):
    """Classes, by a model that a test makes.

    Args:
        inputs: Windows and features.
        training: How it is trained.
        make: Makes the untrained model.
        recognition_weight: Of the auxiliary task of that name.
        emotion_weight: Likewise.
    """

    def __init__(
        self,
        inputs: Inputs,
        training: TrainingSettings,
        make: Callable[[], nn.Module],
        *,
        recognition_weight: float = 0.0,
        emotion_weight: float = 0.0,
    ) -> None:
        super().__init__(inputs, training)
        self.make = make
        self.recognition_weight = recognition_weight
        self.emotion_weight = emotion_weight

    def auxiliary_weights(self) -> tuple[float, float]:
        return self.recognition_weight, self.emotion_weight

    def build(self, fold: Fold) -> nn.Module:
        del fold
        return self.make()


def make_utterances(values: np.ndarray, classes: np.ndarray, num_train: int) -> Inputs:
    """Makes utterances, each a window; the first are train, the others valid and test."""
    fold = make_fold(np.arange(num_train), np.arange(num_train, len(values)))
    dataset = make_dataset(make_dialogues(len(values), 1), classes, fold)
    arrays = {"speech": ModalityArrays(make_features(values), "speech")}
    return make_inputs(dataset, single_utterances(classes), arrays)


class TwoBlocks(nn.Module):
    """Blocks of linear maps, and a counter, which cannot be averaged."""

    hidden_size = 4
    num_blocks = 2
    adapted = ("up",)

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.front = nn.Linear(2, 4)
        self.blocks = nn.ModuleList(nn.ModuleDict({"up": nn.Linear(4, 4)}) for _ in range(2))
        self.drop = nn.Dropout(0.2)
        self.register_buffer("counted", torch.tensor(0))

    def forward(self, inputs, lengths):
        self.counted += self.training
        states = self.front(inputs)
        for block in self.blocks:
            states = torch.tanh(self.drop(block["up"](states)))  # type: ignore[index]
        return states, lengths


def make_clips() -> Clips:
    """Forty clips; the sign of the first feature is the class. One is unusable, one unlabelled."""
    generator = np.random.default_rng(0)
    inputs, classes = [], []
    for row in range(40):
        states = generator.normal(size=(1, 3 + row % 5, 2)).astype(np.float32)
        states[..., 0] += 2 if row % 2 else -2
        inputs.append(states)
        classes.append(row % 2)
    inputs[38], classes[39] = None, -100
    return Clips(inputs=inputs, classes=np.array(classes))


def make_clip_inputs(clips: Clips, num_folds: int = 1) -> ClipInputs:
    """Splits the clips; a second fold swaps the parts of the first."""
    first, second = np.arange(24), np.arange(24, 40)
    folds = (make_fold(first, second), make_fold(second, first, "swapped"))[:num_folds]
    dataset = make_dataset(make_dialogues(len(clips.classes), 1), clips.classes, *folds)
    return ClipInputs(dataset, clips, {}, "planted")


def load_blocks(name: str) -> Encoding:
    """Loads `TwoBlocks`, whatever the name."""
    return cast(Encoding, TwoBlocks())


def make_fine_tuning(
    clips: Clips,
    training: FineTuningSettings,
    *,
    lora_rank: int | None = None,
    num_folds: int = 1,
) -> FineTuning:
    """Fine-tunes `TwoBlocks` on the clips."""
    return FineTuning(
        make_clip_inputs(clips, num_folds),
        TunableSettings(lora_rank=lora_rank),
        training,
        load_blocks,
        encoder="two-blocks",
    )


def fit_task(
    task: Task,
    model: nn.Module | None = None,
    *,
    checkpoints: Checkpoints | None = None,
    on_epoch: OnEpoch = lambda epoch, metrics: None,
) -> Fitted:
    """Fits a model, or that of the task, to the first fold of the task with seed 0."""
    fold = task.dataset.split.folds[0]
    batches = task.batches(fold, 0)
    return fit(
        task,
        fold,
        task.build(fold) if model is None else model,
        batches.training,
        batches.valid,
        checkpoints=checkpoints,
        on_epoch=on_epoch,
    )


def score_valid(task: Classification, model: nn.Module) -> dict[str, float]:
    """Scores a model on the valid part of the first fold."""
    fold = task.dataset.split.folds[0]
    return task.score(task.predict(model, task.batches(fold, 0).valid))
