"""Emotion as a task: classes of single utterances, or of the turns of a conversation."""

from collections.abc import Callable, Iterable, Mapping
from typing import ClassVar, Generic, NamedTuple, TypeVar, cast

import numpy as np
import pandas as pd
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader

from conversation_emotion.datasets.batches import Batch
from conversation_emotion.datasets.inputs import Inputs
from conversation_emotion.datasets.windows import Windows
from conversation_emotion.evaluation.metrics import METRICS, count_confusions, score_predictions
from conversation_emotion.models.build import build_model, fit_standardisations
from conversation_emotion.models.conversation import Outputs, UtteranceModel
from conversation_emotion.settings.features import FeatureSettings
from conversation_emotion.settings.models import (
    ConversationModelSettings,
    ModelSettings,
    UtteranceModelSettings,
)
from conversation_emotion.settings.training import TrainingSettings
from conversation_emotion.splits.folds import Fold
from conversation_emotion.tasks.baselines import (
    LAST_EMOTION,
    MAJORITY,
    predict_last_emotion,
    predict_majority,
)
from conversation_emotion.tasks.task import (
    MODEL,
    Batches,
    Loss,
    Scores,
    WindowTask,
    collect_outputs,
)
from conversation_emotion.utterances.labels import IGNORED

Settings = TypeVar("Settings", bound=ModelSettings)

Baseline = Callable[[Windows, Windows], NDArray]
"""From the train windows and those of a part to the class of each of the latter."""


class Predictions(NamedTuple):
    """Probabilities (N, C), classes (N,) and row numbers (N,) of N targets."""

    probabilities: NDArray[np.float32]
    targets: NDArray[np.int64]
    target_rows: NDArray[np.int64]

    def scores(self) -> dict[str, float]:
        """Scores the most probable classes by every metric of a classifier."""
        predicted = self.probabilities.argmax(axis=1)
        confusions = count_confusions(self.targets, predicted, self.probabilities.shape[1])
        return {name: float(metric(confusions)) for name, metric in METRICS.items()}


def name_probabilities(
    labels: tuple[str, ...], probabilities: NDArray[np.float32]
) -> dict[str, NDArray[np.float32]]:
    """Returns the columns ``p_LABEL`` of probabilities (N, C)."""
    return {f"p_{label}": probabilities[:, number] for number, label in enumerate(labels)}


class Classification(WindowTask):
    """Classes of the targets of some windows; subclasses build the model.

    Baselines are systems that are scored next to the model, by name.
    """

    name: ClassVar[str] = "emotion"
    metrics = ("uar", "wa", "macro_f1", "weighted_f1")
    recognition_weight = 0.0
    emotion_weight = 0.0

    def __init__(
        self,
        inputs: Inputs,
        training: TrainingSettings,
        baselines: Mapping[str, Baseline] | None = None,
    ) -> None:
        super().__init__(inputs, training)
        self.labels = inputs.dataset.labels
        self.baselines = baselines or {MAJORITY: predict_majority}

    def loss(self, fold: Fold, device: torch.device) -> Loss:
        """Returns the weighted cross-entropy of the classes, plus that of the auxiliary heads."""
        targets = self.inputs.windows.select(fold.train).targets
        weights = balanced_class_weights(targets, self.labels).to(device)
        weights = weights if self.training.class_weights == "balanced" else weights**0

        def loss(model: nn.Module, batch: Batch) -> Tensor:
            outputs: Outputs = model(batch)
            total = cross_entropy(outputs.logits, batch.targets, weights)
            if self.emotion_weight and outputs.emotions is not None:
                total = total + self.emotion_weight * cross_entropy(
                    outputs.emotions, batch.emotions
                )
            if self.recognition_weight and outputs.recognition is not None:
                recognised = cross_entropy(outputs.recognition, batch.context_emotions)
                total = total + self.recognition_weight * recognised
            return total

        return loss

    def predict(
        self, model: nn.Module, batches: Iterable[Batch], accelerator: Accelerator | None = None
    ) -> Predictions:
        """Returns the probabilities of every target; see `predict_windows`."""
        return predict_windows(model, batches, accelerator)

    def score(self, predictions: Predictions) -> dict[str, float]:
        """Scores the most probable classes."""
        return predictions.scores()

    def tabulate(self, predictions: Predictions, fold: Fold, part: str) -> pd.DataFrame:
        """Returns targets, predictions, probabilities and baselines, a row per target."""
        train, windows = (
            self.inputs.windows.select(rows) for rows in (fold.train, getattr(fold, part))
        )
        assert (predictions.target_rows == windows.target_rows).all(), "predictions out of order"
        utterances = self.dataset.utterances.iloc[predictions.target_rows]
        table = utterances[["utterance_id", "dialogue_id", "speaker"]].reset_index(drop=True)
        return table.assign(
            target=predictions.targets,
            predicted=predictions.probabilities.argmax(axis=1),
            **{name: predict(train, windows) for name, predict in self.baselines.items()},
            **name_probabilities(self.labels, predictions.probabilities),
        )

    def evaluate(self, predictions: pd.DataFrame) -> Scores:
        """Scores the model and its baselines."""
        return evaluate_classes(
            predictions, self.baselines, len(self.labels), self.training.resamples
        )


class FeatureEmotion(Classification, Generic[Settings]):
    """Emotion from the frozen features of one or more sources."""

    def __init__(
        self,
        inputs: Inputs,
        features: FeatureSettings,
        model: Settings,
        training: TrainingSettings,
        baselines: Mapping[str, Baseline] | None = None,
    ) -> None:
        super().__init__(inputs, training, baselines)
        self.features, self.model = features, model

    def build(self, fold: Fold) -> nn.Module:
        """Builds a model with the statistics of the training windows."""
        training = self.inputs.training.select(fold.train)
        arrays = self.inputs.arrays[fold.name]
        return build_model(
            self.model,
            self.features,
            fit_standardisations(self.features, arrays, training),
            num_outputs=len(self.labels),
            num_emotions=len(self.dataset.emotion_labels),
        )


class UtteranceEmotion(FeatureEmotion[UtteranceModelSettings]):
    """Emotion of single utterances."""

    def solve(self, model: nn.Module, batches: Batches) -> nn.Module | None:
        """Solves the linear discriminants of the head ``lda``."""
        if self.model.head != "lda":
            return None
        from conversation_emotion.models.discriminant import solve_head

        is_balanced = self.training.class_weights == "balanced"
        training = cast(DataLoader[int], batches.training)
        return solve_head(cast(UtteranceModel, model), training, is_balanced=is_balanced)


class TurnEmotion(FeatureEmotion[ConversationModelSettings]):
    """Emotion of a turn from its context: of the turn that just ended, or of one to come."""

    def __init__(
        self,
        inputs: Inputs,
        features: FeatureSettings,
        model: ConversationModelSettings,
        training: TrainingSettings,
    ) -> None:
        classes = inputs.dataset.classes()

        def last_emotion(train: Windows, windows: Windows) -> NDArray:
            return predict_last_emotion(train, windows, classes)

        baselines = {MAJORITY: predict_majority, LAST_EMOTION: last_emotion}
        super().__init__(inputs, features, model, training, baselines)
        self.recognition_weight = model.recognition_weight
        self.emotion_weight = model.emotion_weight


def evaluate_classes(
    predictions: pd.DataFrame, baselines: Iterable[str], num_classes: int, num_resamples: int
) -> Scores:
    """Scores the column ``predicted`` as `MODEL`, and each baseline by its own column."""
    columns = {MODEL: "predicted", **{name: name for name in baselines}}
    return {
        system: score_predictions(
            predictions.assign(predicted=predictions[column]),
            num_classes,
            num_resamples=num_resamples,
        )
        for system, column in columns.items()
    }


def predict_windows(
    model: nn.Module, batches: Iterable[Batch], accelerator: Accelerator | None = None
) -> Predictions:
    """Predicts every window once, in evaluation mode.

    Batches that ``accelerator`` prepared are gathered from all its processes; the repeats that fill
    the last batch are left out.
    """
    parts = collect_outputs(
        model,
        batches,
        lambda b: (model(b).logits.float().softmax(dim=-1), b.targets, b.target_rows),
        accelerator,
    )
    return Predictions(*parts)


def balanced_class_weights(classes: NDArray[np.int64], labels: tuple[str, ...]) -> Tensor:
    """Returns weights by which each class of train counts alike: (N,) -> (C,).

    Raises:
        ValueError: A class has no example in train.
    """
    counts = np.bincount(classes[classes != IGNORED], minlength=len(labels))
    if absent := [label for label, count in zip(labels, counts, strict=True) if count == 0]:
        raise ValueError(
            f"the train part has no example of {', '.join(absent)}; its classes are "
            f"{dict(zip(labels, counts.tolist(), strict=True))}"
        )
    return torch.from_numpy(counts.sum() / (len(labels) * counts)).float()


def cross_entropy(logits: Tensor, classes: Tensor, weights: Tensor | None = None) -> Tensor:
    """Weighted mean over what is labelled, zero if nothing is: (..., C), (...), (C,) -> scalar."""
    is_labelled = classes != IGNORED
    logits, classes = logits[is_labelled], classes[is_labelled]
    weights = logits.new_ones(logits.size(-1)) if weights is None else weights
    total = nn.functional.cross_entropy(logits, classes, weight=weights, reduction="sum")
    # Without the floor, a batch without a label would divide 0 by 0 and end the training.
    return total / weights[classes].sum().clamp(min=1e-6)
