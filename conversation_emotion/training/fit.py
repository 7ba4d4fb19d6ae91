"""Fitting: trains a model on train, selects its weights on valid.

One loop serves frozen features, ratings, and encoders that are tuned for hours: what differs comes
with the task (loss, predictions, scores) and with its settings (optimizer, schedule).
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sized
from itertools import chain, islice, repeat
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn

from conversation_emotion.datasets.clip_batches import ClipLoader
from conversation_emotion.settings.training import FitSettings, RunSettings
from conversation_emotion.splits.folds import Fold
from conversation_emotion.tasks.task import Loss, Task, Weights, find_device
from conversation_emotion.training.checkpoints import Checkpoints, average_weights, greedy_soup
from conversation_emotion.training.optimisation import make_optimisation

MAX_GRADIENT_NORM = 1.0
"""Longer gradients are scaled down to this."""

OnEpoch = Callable[[int, dict[str, float]], None]


class Fitted(NamedTuple):
    """A fitted model with averaged weights, and the weights of the best single checkpoint.

    ``single`` is None where the last epoch was kept; ``epochs`` led to it, or to the last.
    """

    model: nn.Module
    single: Weights | None
    epochs: int


def fit(
    task: Task,
    fold: Fold,
    model: nn.Module,
    train: Iterable[Any],
    valid: Iterable[Any],
    *,
    checkpoints: Checkpoints | None = None,
    on_epoch: OnEpoch = lambda epoch, metrics: None,
) -> Fitted:
    """Trains a model and returns it with the average of its best weights by valid.

    There is no test argument on purpose: choosing an epoch by its test score is the most common
    error in published code for this task.

    ``fold`` gives the statistics of train that the loss may use. The checkpoints of a training that
    was interrupted continue it. ``on_epoch`` is called after each epoch with its number and
    metrics, for curves and pruning.

    Raises:
        FloatingPointError: The loss is not finite.
    """
    settings, device = task.training, find_device()
    checkpoints = checkpoints or Checkpoints(settings.average_best)
    loss = task.loss(fold, device)
    num_batches = len(train) if isinstance(train, Sized) else 0
    task.precompute(model, (train, valid))
    optimisation = make_optimisation(model.to(device), settings, num_batches)
    checkpoints.restore(model, optimisation.optimizer)
    if isinstance(train, ClipLoader):
        train.epoch = checkpoints.epoch
    for batches in _rounds(train, settings, checkpoints.epoch):
        if checkpoints.since_best >= settings.patience:
            break
        started = time.monotonic()
        mean = _train_epoch(model, batches, loss, optimisation, checkpoints, settings)
        optimisation.end_epoch()
        scores = task.score(task.predict(model, valid))
        epoch = checkpoints.add(task.rank(scores), scores.get("loss", 0.0), task.export, model)
        checkpoints.save(model, optimisation.optimizer)
        metrics = {f"valid/{name}": value for name, value in scores.items()}
        on_epoch(epoch, {"train/loss": mean, **metrics, "seconds": time.monotonic() - started})
    return _select(task, model, checkpoints, valid, device)


def _rounds(train: Iterable[Any], settings: RunSettings, first: int) -> Iterator[Iterable[Any]]:
    """Yields the batches between two evaluations on valid."""
    if not isinstance(settings, FitSettings) or settings.updates is None:
        yield from repeat(train, settings.epochs - first)
        return
    endless = chain.from_iterable(repeat(train))
    for done in range(0, settings.updates, settings.evaluate_every):
        yield islice(endless, min(settings.evaluate_every, settings.updates - done))


def _train_epoch(
    model: nn.Module,
    batches: Iterable[Any],
    loss: Loss,
    optimisation: Any,
    checkpoints: Checkpoints,
    settings: RunSettings,
) -> float:
    """Trains on every batch once and returns the mean of their losses."""
    model.train()
    parameters = [weights for weights in model.parameters() if weights.requires_grad]
    device = parameters[0].device
    accumulate = getattr(settings, "accumulate", 1)
    losses: list[Tensor] = []
    remaining = iter(batches)
    while group := list(islice(remaining, accumulate)):
        for batch in group:
            lost = loss(model, batch.to(device))
            losses.append(lost.detach())
            # The last group of an epoch may be smaller; its gradient is then smaller as well, as
            # with batches of that size.
            (lost / accumulate if accumulate > 1 else lost).backward()
        optimisation.begin_update(checkpoints.num_updates)
        nn.utils.clip_grad_norm_(parameters, MAX_GRADIENT_NORM)
        optimisation.optimizer.step()
        optimisation.optimizer.zero_grad()
        checkpoints.num_updates += 1
    mean = float(torch.stack(losses).mean())
    if not np.isfinite(mean):
        raise FloatingPointError(f"the train loss is {mean}; lower --learning-rate")
    return mean


def _select(
    task: Task,
    model: nn.Module,
    checkpoints: Checkpoints,
    valid: Iterable[Any],
    device: torch.device,
) -> Fitted:
    """Loads the average of the best checkpoints, or leaves the weights of the last epoch."""
    if not checkpoints.best:
        return Fitted(model, None, checkpoints.epoch)
    weights = [checkpoints.read(checkpoint) for checkpoint in checkpoints.best]
    model = task.rebuild(model).to(device)

    def score(candidate: Weights) -> float:
        model.load_state_dict(candidate)
        return task.rank(task.score(task.predict(model, valid)))

    is_greedy = getattr(task.training, "average", "best") == "greedy"
    average = greedy_soup(weights, score) if is_greedy else average_weights(weights)
    model.load_state_dict(average)
    best = checkpoints.best[0].epoch + 1
    return Fitted(model.eval(), cast(Weights, weights[0]), best)
