"""Training: fits a conversation model on train, chooses its weights on valid, and predicts."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader

from conversation_emotion.averaging import Weights, average_weights
from conversation_emotion.labels import IGNORED
from conversation_emotion.metrics import count_confusions, unweighted_average_recall
from conversation_emotion.model import Judgement


@dataclass(frozen=True, kw_only=True)
class FitSettings:
    """How a model is fitted.

    Attributes:
        epochs: Passes over train at most.
        patience: Epochs without a better valid UAR after which to stop.
        learning_rate: Step size of AdamW.
        weight_decay: Of AdamW.
        recognition_weight: Weight of recognising the utterances heard, 0 for none.
        average_best: Checkpoints, the best by valid UAR, whose weights are averaged.
        max_gradient_norm: Longer gradients are shortened to this.
    """

    epochs: int = 50
    patience: int = 10
    learning_rate: float = 1e-4
    weight_decay: float = 1e-2
    recognition_weight: float = 0.0
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

    def uar(self) -> float:
        """Returns the unweighted average recall of the most probable classes."""
        num_classes = self.probabilities.shape[1]
        predicted = self.probabilities.argmax(axis=1)
        return float(
            unweighted_average_recall(count_confusions(self.targets, predicted, num_classes))
        )


class _Checkpoint(NamedTuple):
    uar: float
    epoch: int
    weights: Weights


def fit(
    model: nn.Module,
    train: DataLoader[int],
    valid: DataLoader[int],
    settings: FitSettings,
    *,
    class_weights: Tensor,
    heard_class_weights: Tensor | None = None,
    accelerator: Accelerator | None = None,
    on_epoch: Callable[[int, dict[str, float]], None] = lambda epoch, metrics: None,
) -> nn.Module:
    """Trains a model and returns it with its best weights by valid UAR, or the mean of the best.

    There is no test argument on purpose: choosing an epoch by its test score is the most common
    error in published code for this task.

    Args:
        model: Maps a `Batch` to a `Judgement`.
        train: Batches to learn from.
        valid: Batches to choose the weights by.
        settings: How to train.
        class_weights: Weight of each class in the loss: (C,).
        heard_class_weights: Weight of each emotion heard in auxiliary recognition: (R,).
        accelerator: Device and processes; one is made if none is given.
        on_epoch: Called after each epoch with its number and metrics, for curves and pruning.

    Raises:
        FloatingPointError: The loss is not finite.
    """
    accelerator = accelerator or Accelerator()
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    model, optimizer, train, valid = accelerator.prepare(model, optimizer, train, valid)
    judge = nn.CrossEntropyLoss(weight=class_weights.to(accelerator.device))
    if heard_class_weights is not None:
        heard_class_weights = heard_class_weights.to(accelerator.device)
    best: list[_Checkpoint] = []
    since_best = 0
    for epoch in range(settings.epochs):
        loss = _train_epoch(
            model, train, optimizer, judge, heard_class_weights, settings, accelerator
        )
        uar = predict(model, valid, accelerator).uar()
        on_epoch(epoch, {"train/loss": loss, "valid/uar": uar})
        since_best = 0 if not best or uar > best[0].uar else since_best + 1
        best = _keep_best(
            best, _Checkpoint(uar, epoch, _copy_weights(model, accelerator)), settings
        )
        if since_best >= settings.patience:
            break
    fitted = accelerator.unwrap_model(model)
    fitted.load_state_dict(average_weights([checkpoint.weights for checkpoint in best]))
    return fitted


def predict(
    model: nn.Module, batches: Iterable[object], accelerator: Accelerator | None = None
) -> Predictions:
    """Judges every window once, in evaluation mode.

    Batches that ``accelerator`` prepared are gathered from all its processes.
    """
    model.eval()
    parts: list[tuple[Tensor, Tensor, Tensor]] = []
    with torch.inference_mode():
        for batch in batches:
            probabilities = model(batch).logits.float().softmax(dim=-1)
            part = (probabilities, batch.targets, batch.judged)  # type: ignore[attr-defined]
            parts.append(part if accelerator is None else accelerator.gather_for_metrics(part))
    probabilities, targets, judged = (
        torch.cat(tensors).cpu().numpy() for tensors in zip(*parts, strict=True)
    )
    return Predictions(probabilities, targets, judged)


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


def _train_epoch(
    model: nn.Module,
    train: DataLoader[int],
    optimizer: torch.optim.Optimizer,
    judge: nn.Module,
    heard_class_weights: Tensor | None,
    settings: FitSettings,
    accelerator: Accelerator,
) -> float:
    """Returns the mean loss of the epoch's batches."""
    model.train()
    total = torch.zeros((), device=accelerator.device)
    for batch in train:
        judgement: Judgement = model(batch)
        loss = judge(judgement.logits, batch.targets)
        if settings.recognition_weight and judgement.recognition is not None:
            loss = loss + settings.recognition_weight * _recognition_loss(
                judgement.recognition, batch.heard_classes, heard_class_weights
            )
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(model.parameters(), settings.max_gradient_norm)
        optimizer.step()
        optimizer.zero_grad()
        total += loss.detach()
    mean = float(total) / len(train)
    if not np.isfinite(mean):
        raise FloatingPointError(f"the train loss is {mean}; lower --learning-rate")
    return mean


def _recognition_loss(logits: Tensor, classes: Tensor, weights: Tensor | None) -> Tensor:
    """Weighted cross-entropy of the utterances heard, zero if none is labelled.

    Shapes: logits (B, U, R), classes (B, U) with `IGNORED`, weights (R,) -> scalar.
    """
    is_labelled = classes != IGNORED
    logits, classes = logits[is_labelled], classes[is_labelled]
    weights = logits.new_ones(logits.size(-1)) if weights is None else weights
    total = nn.functional.cross_entropy(logits, classes, weight=weights, reduction="sum")
    return total / weights[classes].sum().clamp(min=1e-6)


def _keep_best(
    best: list[_Checkpoint], new: _Checkpoint, settings: FitSettings
) -> list[_Checkpoint]:
    """Keeps the best by valid UAR, the earlier epoch where two tie."""
    ranked = sorted([*best, new], key=lambda checkpoint: (-checkpoint.uar, checkpoint.epoch))
    return ranked[: settings.average_best]


def _copy_weights(model: nn.Module, accelerator: Accelerator) -> Weights:
    weights = accelerator.unwrap_model(model).state_dict()
    return {name: tensor.detach().clone() for name, tensor in weights.items()}
