"""Training: fits a conversation model on train, chooses its weights on valid, and predicts."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice, repeat
from typing import Literal, NamedTuple, TypeVar, cast

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader

from conversation_emotion.datasets.batches import Batch
from conversation_emotion.evaluation.metrics import (
    count_confusions,
    unweighted_average_recall,
    weighted_accuracy,
)
from conversation_emotion.models.averaging import Weights, average_weights
from conversation_emotion.models.conversation import Judgement
from conversation_emotion.utterances.labels import IGNORED

Model = TypeVar("Model", bound=nn.Module)

SelectBy = Literal["uar", "wa"]
OptimizerName = Literal["adamw", "adam", "rmsprop"]
Schedule = Literal["constant", "cyclic", "cosine"]


def _rmsprop(
    parameters: Iterable[Tensor], *, lr: float, weight_decay: float
) -> torch.optim.Optimizer:
    return torch.optim.RMSprop(parameters, lr=lr, weight_decay=weight_decay, momentum=0.9)


OPTIMIZERS: dict[OptimizerName, Callable[..., torch.optim.Optimizer]] = {
    "adamw": torch.optim.AdamW,
    "adam": torch.optim.Adam,
    "rmsprop": _rmsprop,
}
"""Optimizers by name, made from parameters, ``lr`` and ``weight_decay``."""


@dataclass(frozen=True, kw_only=True)
class FitSettings:
    """How a model is fitted.

    Attributes:
        epochs: Passes over train at most.
        updates: Updates in the place of passes; an epoch is then ``evaluate_every`` of them.
        evaluate_every: Updates between two looks at valid, where updates are counted.
        patience: Epochs without a better valid score after which to stop.
        select_by: The score on valid that chooses the weights.
        optimizer: One of `OPTIMIZERS`.
        schedule: Step size from epoch to epoch: one for all, or up and down between it and twice
            as much, ten epochs each way.
        learning_rate: Step size.
        weight_decay: Of the optimizer.
        recognition_weight: Weight of recognising the emotions of the utterances heard.
        emotion_weight: Weight of judging all emotions that the corpus names, not the classes alone.
        average_best: Checkpoints, the best by the valid score, whose weights are averaged; 0 trains
            all epochs and keeps the last, so that models can be compared at the same stage.
        max_gradient_norm: Longer gradients are shortened to this.
    """

    epochs: int = 50
    updates: int | None = None
    evaluate_every: int = 1000
    patience: int = 10
    select_by: SelectBy = "uar"
    optimizer: OptimizerName = "adamw"
    schedule: Schedule = "constant"
    learning_rate: float = 1e-4
    weight_decay: float = 1e-2
    recognition_weight: float = 0.0
    emotion_weight: float = 0.0
    average_best: int = 1
    max_gradient_norm: float = 1.0


class Predictions(NamedTuple):
    """What a model says of some windows.

    Attributes:
        probabilities: Of each class: (N, C).
        targets: Class to judge: (N,).
        judged: Row number of the judged utterance: (N,).
    """

    probabilities: NDArray[np.float32]
    targets: NDArray[np.int64]
    judged: NDArray[np.int64]

    def scores(self) -> dict[str, float]:
        """Returns UAR and WA of the most probable classes, those that can select."""
        predicted = self.probabilities.argmax(axis=1)
        confusions = count_confusions(self.targets, predicted, self.probabilities.shape[1])
        return {
            "uar": float(unweighted_average_recall(confusions)),
            "wa": float(weighted_accuracy(confusions)),
        }

    def uar(self) -> float:
        """Returns the unweighted average recall of the most probable classes."""
        return self.scores()["uar"]


class _Checkpoint(NamedTuple):
    score: float
    epoch: int
    weights: Weights


def fit(
    model: Model,
    train: DataLoader[int],
    valid: DataLoader[int],
    settings: FitSettings,
    *,
    class_weights: Tensor,
    accelerator: Accelerator | None = None,
    on_epoch: Callable[[int, dict[str, float]], None] = lambda epoch, metrics: None,
) -> Model:
    """Trains a model and returns it with its best weights by valid, or as the settings say.

    There is no test argument on purpose: choosing an epoch by its test score is the most common
    error in published code for this task.

    Args:
        model: Maps a `Batch` to a `Judgement`.
        train: Batches to learn from.
        valid: Batches to choose the weights by.
        settings: How to train.
        class_weights: Weight of each class in the loss: (C,).
        accelerator: Device and processes; one is made if none is given.
        on_epoch: Called after each epoch with its number and metrics, for curves and pruning.

    Raises:
        FloatingPointError: The loss is not finite.
    """
    accelerator = accelerator or Accelerator()
    optimizer = OPTIMIZERS[settings.optimizer](
        model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    scheduler = _make_schedule(optimizer, settings)
    prepared, optimizer, train, valid = accelerator.prepare(model, optimizer, train, valid)
    class_weights = class_weights.to(accelerator.device)
    best: list[_Checkpoint] = []
    since_best = 0
    for epoch, batches in enumerate(_rounds(train, settings)):
        loss = _train_epoch(prepared, batches, optimizer, class_weights, settings, accelerator)
        scheduler.step()
        scores = predict(prepared, valid, accelerator).scores()
        on_epoch(epoch, {"train/loss": loss, **{f"valid/{k}": v for k, v in scores.items()}})
        if not settings.average_best:
            continue
        score = scores[settings.select_by]
        since_best = 0 if not best or score > best[0].score else since_best + 1
        best = _keep_best(best, _Checkpoint(score, epoch, _copy_weights(model)), settings)
        if since_best >= settings.patience:
            break
    if best:
        model.load_state_dict(average_weights([checkpoint.weights for checkpoint in best]))
    return model


def predict(
    model: nn.Module,
    batches: Iterable[Batch] | DataLoader[int],
    accelerator: Accelerator | None = None,
) -> Predictions:
    """Judges every window once, in evaluation mode.

    Batches that ``accelerator`` prepared are gathered from all its processes.
    """
    model.eval()
    parts: list[tuple[Tensor, Tensor, Tensor]] = []
    with torch.inference_mode():
        for batch in cast(Iterable[Batch], batches):
            probabilities = model(batch).logits.float().softmax(dim=-1)
            part = (probabilities, batch.targets, batch.judged)
            parts.append(part if accelerator is None else _gather(part, accelerator))
    probabilities, targets, judged = (
        torch.cat(tensors).cpu().numpy() for tensors in zip(*parts, strict=True)
    )
    return Predictions(probabilities, targets, judged)


def _gather(
    part: tuple[Tensor, Tensor, Tensor], accelerator: Accelerator
) -> tuple[Tensor, Tensor, Tensor]:
    """Joins the parts of all processes; the repeats that fill the last batch are left out."""
    return cast(tuple[Tensor, Tensor, Tensor], accelerator.gather_for_metrics(part))


def balanced_class_weights(classes: NDArray[np.int64], labels: tuple[str, ...]) -> Tensor:
    """Weighs classes so that each counts alike, by the classes of the train part: (N,) -> (C,).

    Raises:
        ValueError: A class has no example to learn from.
    """
    counts = np.bincount(classes[classes != IGNORED], minlength=len(labels))
    if absent := [label for label, count in zip(labels, counts, strict=True) if count == 0]:
        raise ValueError(
            f"the train part has no example of {', '.join(absent)}; its classes are "
            f"{dict(zip(labels, counts.tolist(), strict=True))}"
        )
    return torch.from_numpy(counts.sum() / (len(labels) * counts)).float()


def _rounds(train: Iterable[Batch], settings: FitSettings) -> Iterator[Iterable[Batch]]:
    """Yields what is learnt from between two looks at valid."""
    if settings.updates is None:
        yield from repeat(train, settings.epochs)
        return
    endless = chain.from_iterable(repeat(train))
    for done in range(0, settings.updates, settings.evaluate_every):
        yield islice(endless, min(settings.evaluate_every, settings.updates - done))


def _make_schedule(
    optimizer: torch.optim.Optimizer, settings: FitSettings
) -> torch.optim.lr_scheduler.LRScheduler:
    if settings.schedule == "cyclic":
        low = settings.learning_rate
        return torch.optim.lr_scheduler.CyclicLR(
            optimizer,
            low,
            2 * low,
            step_size_up=10,
            cycle_momentum="momentum" in optimizer.defaults,
        )
    if settings.schedule == "cosine":
        num_rounds = settings.epochs
        if settings.updates is not None:
            num_rounds = -(-settings.updates // settings.evaluate_every)
        return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, num_rounds)
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 1.0)


def _train_epoch(
    model: nn.Module,
    train: Iterable[Batch],
    optimizer: torch.optim.Optimizer,
    class_weights: Tensor,
    settings: FitSettings,
    accelerator: Accelerator,
) -> float:
    """Returns the mean loss of the epoch's batches."""
    model.train()
    losses: list[Tensor] = []
    for batch in train:
        loss = _loss(model(batch), batch, class_weights, settings)
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(model.parameters(), settings.max_gradient_norm)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.detach())
    mean = float(torch.stack(losses).mean())
    if not np.isfinite(mean):
        raise FloatingPointError(f"the train loss is {mean}; lower --learning-rate")
    return mean


def _loss(
    judgement: Judgement, batch: Batch, class_weights: Tensor, settings: FitSettings
) -> Tensor:
    """Judges the classes, weighted, and beside them what else the corpus knows."""
    loss = _cross_entropy(judgement.logits, batch.targets, class_weights)
    if settings.emotion_weight and judgement.emotions is not None:
        loss = loss + settings.emotion_weight * _cross_entropy(judgement.emotions, batch.emotions)
    if settings.recognition_weight and judgement.recognition is not None:
        recognised = _cross_entropy(judgement.recognition, batch.heard_classes)
        loss = loss + settings.recognition_weight * recognised
    return loss


def _cross_entropy(logits: Tensor, classes: Tensor, weights: Tensor | None = None) -> Tensor:
    """Weighted mean over what is labelled, zero if nothing is: (..., C), (...), (C,) -> scalar."""
    is_labelled = classes != IGNORED
    logits, classes = logits[is_labelled], classes[is_labelled]
    weights = logits.new_ones(logits.size(-1)) if weights is None else weights
    total = nn.functional.cross_entropy(logits, classes, weight=weights, reduction="sum")
    return total / weights[classes].sum().clamp(min=1e-6)


def _keep_best(
    best: list[_Checkpoint], new: _Checkpoint, settings: FitSettings
) -> list[_Checkpoint]:
    """Keeps the best by the valid score, the earlier epoch where two tie."""
    ranked = sorted([*best, new], key=lambda checkpoint: (-checkpoint.score, checkpoint.epoch))
    return ranked[: settings.average_best]


def _copy_weights(model: nn.Module) -> Weights:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
