"""Emotion as a task: classes of single utterances, or of the turns of a conversation."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import ClassVar, Generic, NamedTuple, TypeVar, cast

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from conversation_emotion.datasets.batches import Batch
from conversation_emotion.datasets.inputs import Inputs
from conversation_emotion.datasets.windows import PADDING, find_unfinished
from conversation_emotion.evaluation.decisions import DIVERGENCE
from conversation_emotion.evaluation.metrics import METRICS, count_confusions, score_predictions
from conversation_emotion.models.build import build_model, fit_standardisations
from conversation_emotion.models.conversation import (
    COSTS,
    NEVER,
    Outputs,
    UtteranceModel,
    fit_discriminants,
    fit_logistic,
    fit_margins,
    solve_head,
)
from conversation_emotion.settings.features import FeatureSettings
from conversation_emotion.settings.models import (
    ConversationModelSettings,
    ModelSettings,
    UtteranceModelSettings,
)
from conversation_emotion.settings.training import LearningSettings, LossName, TrainingSettings
from conversation_emotion.splits.folds import Fold
from conversation_emotion.tasks.annotators import RaterTargets, assign_heads, describe_heads
from conversation_emotion.tasks.baselines import (
    Baseline,
    predict_last_emotion,
    predict_majority,
)
from conversation_emotion.tasks.class_weights import balanced_class_weights, find_absent_classes
from conversation_emotion.tasks.losses import cross_entropy, make_measure, refuse_mixup
from conversation_emotion.tasks.reweighting import describe_weights, weigh_groups
from conversation_emotion.tasks.task import (
    MODEL,
    Batches,
    Loss,
    Scores,
    WindowTask,
    collect_outputs,
)
from conversation_emotion.tasks.voted import VotedTargets

Settings = TypeVar("Settings", bound=ModelSettings)

OWN_WEIGHT = 0.5
"""Weight of the loss of a modality alone, next to that of all."""

MAJORITY, LAST_EMOTION = "majority", "last_emotion"
"""Names of the baselines, which are columns of the predictions."""


class Predictions(NamedTuple):
    """Probabilities (N, C), classes (N,) and row numbers (N,) of N targets.

    A trained encoder adds their mean loss, and where it spells, ``characters``: the most probable
    in every frame of each clip.
    """

    probabilities: NDArray[np.float32]
    targets: NDArray[np.int64]
    target_rows: NDArray[np.int64]
    loss: float = 0.0
    characters: Sequence[NDArray[np.int64]] = ()

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

    Attributes:
        voted: What is learned from votes, None where that is the label.
    """

    name: ClassVar[str] = "emotion"
    metrics = ("uar", "wa", "macro_f1", "weighted_f1")
    voted: VotedTargets | None = None

    def __init__(self, inputs: Inputs, training: TrainingSettings) -> None:
        super().__init__(inputs, training)
        self.labels = inputs.dataset.labels

    @property
    def baselines(self) -> dict[str, Baseline]:
        """Systems that are scored next to the model, by name."""
        return {MAJORITY: predict_majority}

    def auxiliary_weights(self) -> tuple[float, float]:
        """Returns the weights of the auxiliary heads: recognition of the context, all emotions."""
        return 0.0, 0.0

    def modality_losses(self) -> dict[str, LossName]:
        """Returns the names of losses of one modality alone, by modality."""
        return {}

    def loss(self, fold: Fold, device: torch.device) -> Loss:
        """Returns the loss of the classes, plus those of the auxiliary heads."""
        measure = self._measure_classes(fold, device, self.training)
        own = {
            name: self._measure_classes(fold, device, replace(self.training, loss=loss))
            for name, loss in self.modality_losses().items()
        }
        recognition_weight, emotion_weight = self.auxiliary_weights()
        training = self.inputs.training.select(fold.train)
        absent = find_absent_classes(self.dataset, training.target_rows, self.voted)
        refuse_mixup(self.training, absent)

        def mask(logits: Tensor, batch: Batch) -> Tensor:
            if absent is None:
                return logits
            here = absent[batch.target_rows].to(device)
            return logits.masked_fill(here if logits.dim() == 2 else here.unsqueeze(1), NEVER)

        def loss(model: nn.Module, batch: Batch) -> Tensor:
            outputs: Outputs = model(batch)
            learned = outputs.logits if outputs.heads is None else outputs.heads
            total = measure(mask(learned, batch), batch)
            for name, measure_own in own.items():
                alone = mask(outputs.streams[name], batch)
                total = total + OWN_WEIGHT * measure_own(alone, batch)
            if emotion_weight and outputs.emotions is not None:
                total = total + emotion_weight * cross_entropy(outputs.emotions, batch.emotions)
            if recognition_weight and outputs.recognition is not None:
                recognised = cross_entropy(outputs.recognition, batch.context_emotions)
                total = total + recognition_weight * recognised
            return total

        return loss

    def find_heads(self, fold: Fold) -> RaterTargets | None:
        """Returns the heads of raters by the fold's train part, None where there are none."""
        if self.voted is None or self.voted.kind != "annotators":
            return None
        rows = self.inputs.training.select(fold.train).target_rows
        return assign_heads(self.voted, rows, fold.name)

    def _measure_classes(
        self, fold: Fold, device: torch.device, settings: LearningSettings
    ) -> Callable[[Tensor, Batch], Tensor]:
        """Returns the loss of the classes, from logits (B, C) and a batch to a number.

        Where raters have heads, the logits are those of each, (B, R, C).
        """
        windows, voted = self.inputs.windows.select(fold.train), self.voted
        targets = self.find_heads(fold) or voted
        is_balanced = self.training.class_weights == "balanced"
        learn = cross_entropy
        if voted is None:
            weights = balanced_class_weights(windows.targets, self.labels).to(device)
            learn = make_measure(settings, 1 / weights)
            weights = weights if is_balanced else weights**0
        else:
            weights = voted.weigh_classes(windows.target_rows, is_balanced=is_balanced).to(device)
        rows = self.inputs.training.select(fold.train).target_rows
        scales = weigh_groups(self.dataset, rows, self.training.reweight_groups)

        def measure(logits: Tensor, batch: Batch) -> Tensor:
            scale = None if scales is None else scales[batch.target_rows.cpu()].to(device)
            if targets is not None:
                return targets.measure(logits, batch.target_rows, weights, scale)
            return learn(logits, batch.targets, weights, scale)

        return measure

    def predict(self, model: nn.Module, batches: Iterable[Batch]) -> Predictions:
        """Returns the probabilities of every target; see `collect_outputs`."""
        return predict_windows(model, batches)

    def score(self, predictions: Predictions) -> dict[str, float]:
        """Scores the most probable classes, and the probabilities against votes if learned."""
        scores = predictions.scores()
        if self.voted is not None:
            found = self.voted.diverge(predictions.probabilities, predictions.target_rows)
            given = found[~np.isnan(found)]
            scores[DIVERGENCE] = float(given.mean()) if len(given) else np.nan
        return scores

    def tabulate(self, predictions: Predictions, fold: Fold, part: str) -> pd.DataFrame:
        """Returns targets, predictions, probabilities and baselines, a row per target."""
        train, windows = (
            self.inputs.windows.select(rows) for rows in (fold.train, getattr(fold, part))
        )
        assert (predictions.target_rows == windows.target_rows).all(), "predictions out of order"
        further = {}
        if self.voted is not None:
            found = self.voted.diverge(predictions.probabilities, predictions.target_rows)
            further[DIVERGENCE] = found
        return self.describe(predictions.target_rows).assign(
            target=predictions.targets,
            predicted=predictions.probabilities.argmax(axis=1),
            **{name: predict(train, windows) for name, predict in self.baselines.items()},
            **name_probabilities(self.labels, predictions.probabilities),
            **further,
        )

    def evaluate(self, predictions: pd.DataFrame) -> Scores:
        """Scores the model and its baselines."""
        return evaluate_classes(predictions, self.baselines, len(self.labels))

    def notes(self) -> Iterator[str]:
        """Describes the weights of groups, and the heads of raters."""
        yield from describe_weights(self.dataset, self.training.reweight_groups)
        found = [self.find_heads(fold) for fold in self.dataset.split.folds]
        if heads := [one for one in found if one is not None]:
            yield describe_heads(heads)


@dataclass(eq=False, repr=False)
class FeatureEmotion(Classification, Generic[Settings]):
    """Emotion from the frozen features of one or more sources."""

    inputs: Inputs
    features: FeatureSettings
    model: Settings
    training: TrainingSettings
    voted: VotedTargets | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        super().__init__(self.inputs, self.training)
        if self.voted is not None:
            self.metrics = (*self.metrics, DIVERGENCE)
        for fold in self.dataset.split.folds:  # refused here, before other rows are trained
            self.find_heads(fold)

    def build(self, fold: Fold) -> nn.Module:
        """Builds a model with the statistics of the training windows."""
        heads, given = self.find_heads(fold), (self.features, self.model, len(self.labels))
        num_heads = 1 if heads is None else heads.num_heads
        return build_on_train(self.inputs, fold, *given, num_heads=num_heads)


SOLVERS = {"lda": fit_discriminants, "logistic": fit_logistic, "svm": fit_margins}
"""What solves a head."""


class UtteranceEmotion(FeatureEmotion[UtteranceModelSettings]):
    """Emotion of single utterances."""

    version = 2  # heads that are solved learn from valid as well
    costs: dict[str, float]
    """C of a head that has one by fold, once it is chosen."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.costs = {}

    def solve(self, model: nn.Module, fold: Fold, batches: Batches) -> nn.Module | None:
        """Solves a head from train, and lets valid choose its C where it has one."""
        if not self.model.is_solved:
            return None
        if self.model.has_cost and fold.name not in self.costs:
            scores = {}
            for cost in COSTS:  # of two that are equal the first, which fits train less
                self.costs[fold.name] = cost
                solved = self._solve(model, fold, batches.training)
                scores[cost] = self.rank(self.score(self.predict(solved, batches.valid)))
            self.costs[fold.name] = max(scores, key=lambda cost: scores[cost])
        return self._solve(model, fold, batches.training)

    def extend(self, model: nn.Module, fold: Fold, seed: int) -> nn.Module:
        """Solves a head again from train and valid, without what shares a dialogue with test."""
        if not self.model.is_solved:
            return model
        dialogues = self.dataset.utterances["dialogue_id"]
        is_tested = dialogues.isin(dialogues.iloc[fold.test]).to_numpy()
        learning = np.union1d(fold.train, fold.valid[~is_tested[fold.valid]])
        fold = replace(fold, train=learning)
        return self._solve(model.cpu(), fold, self.batches(fold, seed).training)

    def on_all(self, fold: Fold) -> "UtteranceEmotion":
        """Returns the same task for a fold that holds every target; C is that of the first fold."""
        whole = cast(UtteranceEmotion, super().on_all(fold))
        if self.model.has_cost:
            first = self.dataset.split.folds[0]
            self.solve(self.build(first), first, self.batches(first, 0))
            whole.costs = {fold.name: self.costs[first.name]}
        return whole

    def _solve(self, model: nn.Module, fold: Fold, batches: Iterable[Batch]) -> nn.Module:
        is_balanced = self.training.class_weights == "balanced"
        fit = partial(SOLVERS[self.model.head], is_balanced=is_balanced)
        if self.model.has_cost:
            fit = partial(fit, cost=self.costs[fold.name])
        scales = weigh_groups(self.dataset, fold.train, self.training.reweight_groups)
        return solve_head(cast(UtteranceModel, model), batches, fit, scales)


class TurnEmotion(FeatureEmotion[ConversationModelSettings]):
    """Emotion of a turn from its context: of the turn that just ended, or of one to come."""

    version = 2

    @property
    def baselines(self) -> dict[str, Baseline]:
        """The majority, and the gold emotion of the last turn."""
        last_emotion = partial(predict_last_emotion, classes=self.dataset.classes())
        return {MAJORITY: predict_majority, LAST_EMOTION: last_emotion}

    def auxiliary_weights(self) -> tuple[float, float]:
        """Returns those of the settings."""
        return self.model.recognition_weight, self.model.emotion_weight

    def modality_losses(self) -> dict[str, LossName]:
        """Returns those of the settings."""
        return self.model.modality_losses

    def notes(self) -> Iterator[str]:
        """Counts the windows in which an utterance is not finished when the target begins."""
        yield from super().notes()
        if not self.model.horizon:
            return
        windows = self.inputs.windows
        unfinished, is_timed = find_unfinished(self.dataset.utterances, windows)
        num_untimed = int((~is_timed & (windows.rows != PADDING)).any(axis=1).sum())
        left_out = "its speech, text and emotion are left out"
        yield (
            f"{int(unfinished.any(axis=1).sum()):,} of {len(windows):,} windows hold an utterance "
            "that ends after the target turn began; "
            f"{left_out if self.model.overlap == 'mask' else 'it is kept whole, which leaks'}"
            + (f"; times are unknown in {num_untimed:,}" if num_untimed else "")
        )


def build_on_train(
    inputs: Inputs,
    fold: Fold,
    features: FeatureSettings,
    model: ModelSettings,
    num_outputs: int,
    *,
    num_heads: int = 1,
) -> nn.Module:
    """Builds an untrained model with the statistics of the train part of the training windows."""
    training = inputs.training.select(fold.train)
    # Where parts share dialogues, the context holds utterances of valid and test as well.
    is_train = np.isin(training.rows, fold.train)
    training = replace(training, rows=np.where(is_train, training.rows, PADDING))
    return build_model(
        model,
        features,
        fit_standardisations(features, inputs.arrays[fold.name], training),
        num_outputs=num_outputs,
        num_emotions=len(inputs.dataset.emotion_labels),
        num_heads=num_heads,
    )


def evaluate_classes(
    predictions: pd.DataFrame, baselines: Iterable[str], num_classes: int
) -> Scores:
    """Scores the column ``predicted`` as `MODEL`, and each baseline by its own column."""
    columns = {MODEL: "predicted", **{name: name for name in baselines}}
    return {
        system: score_predictions(predictions.assign(predicted=predictions[column]), num_classes)
        for system, column in columns.items()
    }


def add_system(predictions: pd.DataFrame, other: pd.DataFrame, name: str) -> pd.DataFrame:
    """Adds what another system predicted as a column of that name, target by target."""
    keys = ["utterance_id", "fold", "seed", "part"]
    column = other[[*keys, "predicted"]].rename(columns={"predicted": name})
    return predictions.merge(column, on=keys, how="left", validate="one_to_one")


def predict_windows(model: nn.Module, batches: Iterable[Batch]) -> Predictions:
    """Predicts every window once; see `collect_outputs`."""
    probabilities, targets, rows = collect_outputs(
        model,
        batches,
        lambda b: (model(b).logits.float().softmax(dim=-1), b.targets, b.target_rows),
    )
    return Predictions(probabilities, targets, rows)
