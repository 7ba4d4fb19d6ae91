"""Fits a model of ratings on train, chooses its weights on valid, and predicts."""

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple, TypeVar, cast

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader

from conversation_emotion.datasets.batches import Batch
from conversation_emotion.evaluation.concordance import concordance, concordance_loss

Model = TypeVar("Model", bound=nn.Module)


@dataclass(frozen=True, kw_only=True)
class RatingFitSettings:
    """How a model is fitted.

    Attributes:
        weights: Of the CCC of each dimension in the loss: alpha, beta and gamma.
        epochs: Passes over train at most.
        patience: Epochs without a better valid CCC after which to stop.
        learning_rate: Step size of Adam.
        weight_decay: Of Adam, added to the gradient.
        max_gradient_norm: Longer gradients are shortened to this.
    """

    weights: tuple[float, ...] = (1 / 3, 1 / 3, 1 / 3)
    epochs: int = 50
    patience: int = 50
    learning_rate: float = 2e-4
    weight_decay: float = 1e-5
    max_gradient_norm: float = 1.0


Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
"""From predictions (N, D), ratings (N, D), NaN where none, and weights (D,), to a number."""


class RatingPredictions(NamedTuple):
    """What a model says of some utterances.

    Attributes:
        ratings: In each dimension, (N, D).
        judged: Row number of each utterance, (N,).
    """

    ratings: NDArray[np.float32]
    judged: NDArray[np.int64]


def fit_ratings(
    model: Model,
    train: DataLoader[int],
    valid: DataLoader[int],
    ratings: Tensor,
    settings: RatingFitSettings,
    *,
    loss: Loss = concordance_loss,
    accelerator: Accelerator | None = None,
    on_epoch: Callable[[int, dict[str, float]], None] = lambda epoch, metrics: None,
) -> Model:
    """Trains a model and returns it with its best weights by the mean CCC of all of valid.

    There is no test argument on purpose, as in `conversation_emotion.training.fit.fit`.

    Args:
        model: Maps a `Batch` to ratings (B, D).
        train: Batches to learn from.
        valid: Batches to choose the epoch by.
        ratings: Of every row of the table, NaN where there is none, (rows, D).
        settings: How to train.
        loss: What to lower on train; valid is always judged by its CCC.
        accelerator: Device and processes; one is made if none is given.
        on_epoch: Called after each epoch with its number and metrics, for curves.

    Raises:
        FloatingPointError: The loss is not finite.
    """
    accelerator = accelerator or Accelerator()
    optimizer = torch.optim.Adam(
        model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    prepared, optimizer, train, valid = accelerator.prepare(model, optimizer, train, valid)
    known = ratings.to(accelerator.device)
    best, best_epoch, weights = -np.inf, 0, copy.deepcopy(model.state_dict())
    for epoch in range(settings.epochs):
        lost = _train_epoch(prepared, train, optimizer, known, loss, settings, accelerator)
        found = predict_ratings(prepared, valid, accelerator)
        score = float(concordance(torch.from_numpy(found.ratings), ratings[found.judged]).mean())
        on_epoch(epoch, {"train/loss": lost, "valid/ccc": score})
        if score > best:
            best, best_epoch, weights = score, epoch, copy.deepcopy(model.state_dict())
        if epoch - best_epoch >= settings.patience:
            break
    model.load_state_dict(weights)
    return model


def predict_ratings(
    model: nn.Module,
    batches: Iterable[Batch] | DataLoader[int],
    accelerator: Accelerator | None = None,
) -> RatingPredictions:
    """Rates every utterance once, in evaluation mode.

    Batches that ``accelerator`` prepared are gathered from all its processes.
    """
    model.eval()
    parts: list[tuple[Tensor, Tensor]] = []
    with torch.inference_mode():
        for batch in cast(Iterable[Batch], batches):
            part = (model(batch).float(), batch.judged)
            if accelerator is not None:
                part = cast(tuple[Tensor, Tensor], accelerator.gather_for_metrics(part))
            parts.append(part)
    ratings, judged = (torch.cat(tensors).cpu().numpy() for tensors in zip(*parts, strict=True))
    return RatingPredictions(ratings, judged)


def squared_error_loss(predictions: Tensor, ratings: Tensor, weights: Tensor) -> Tensor:
    """Weighted sum of the dimensions' mean squared errors over what is rated; see `Loss`."""
    is_rated = ~ratings.isnan()
    errors = torch.where(is_rated, predictions.float() - torch.nan_to_num(ratings), 0.0).square()
    return (weights * errors.sum(dim=0) / is_rated.sum(dim=0).clamp(min=1)).sum()


def _train_epoch(
    model: nn.Module,
    batches: DataLoader[int],
    optimizer: torch.optim.Optimizer,
    ratings: Tensor,
    measure: Loss,
    settings: RatingFitSettings,
    accelerator: Accelerator,
) -> float:
    """Learns from every batch once -> mean loss."""
    model.train()
    weights = ratings.new_tensor(settings.weights)
    losses = []
    for batch in cast(Iterable[Batch], batches):
        loss = measure(model(batch), ratings[batch.judged], weights)
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(model.parameters(), settings.max_gradient_norm)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.detach())
    mean = float(torch.stack(losses).mean())
    if not np.isfinite(mean):
        raise FloatingPointError(f"the train loss is {mean}; lower --learning-rate")
    return mean
