"""The best epochs of a training, in memory or in a folder that survives a kill."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, cast

import torch
from torch import nn

from conversation_emotion.models.averaging import Weights
from conversation_emotion.training.checkpoint import read_state, write_state


class RankedEpoch(NamedTuple):
    """One epoch of a training.

    Attributes:
        epoch: Its number.
        score: On valid, larger for better.
        loss: On valid; the lower one ranks first where scores tie. 0 where it is not computed.
    """

    epoch: int
    score: float
    loss: float

    def rank(self) -> tuple[float, float, int]:
        """Orders checkpoints, the best first: by score, loss, and the earlier epoch."""
        return -self.score, self.loss, self.epoch


class Checkpoints:
    """The best epochs of a training, in memory.

    Args:
        keep: How many; with 0 none is kept, and training runs to its last epoch.

    Attributes:
        best: Those kept, the best first.
        epoch: Epochs so far.
        since_best: Epochs since the best.
        num_updates: Updates so far.
    """

    def __init__(self, keep: int) -> None:
        self.keep = keep
        self.best: list[RankedEpoch] = []
        self.epoch = self.since_best = self.num_updates = 0
        self._weights: dict[int, Weights] = {}

    def add(
        self,
        score: float,
        loss: float,
        export: Callable[[nn.Module], Weights],
        model: nn.Module,
    ) -> int:
        """Adds an epoch, keeps its weights if it is among the best, and returns its number."""
        new = RankedEpoch(self.epoch, score, loss)
        self.epoch += 1
        if self.keep:
            is_best = not self.best or new.rank() < self.best[0].rank()
            self.since_best = 0 if is_best else self.since_best + 1
            self.best = sorted([*self.best, new], key=RankedEpoch.rank)[: self.keep]
            if new in self.best:
                self._keep(new, export(model))
        return new.epoch

    def read(self, checkpoint: RankedEpoch) -> Weights:
        """Returns the weights of a checkpoint that was kept."""
        return self._weights[checkpoint.epoch]

    def restore(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Does nothing: a training in memory starts anew."""

    def save(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Forgets the weights that are no longer among the best."""
        kept = {checkpoint.epoch for checkpoint in self.best}
        self._weights = {epoch: w for epoch, w in self._weights.items() if epoch in kept}

    def _keep(self, checkpoint: RankedEpoch, weights: Weights) -> None:
        self._weights[checkpoint.epoch] = weights


class StoredCheckpoints(Checkpoints):
    """The best epochs of a training and its state in a folder, each whole or not at all.

    What an epoch does must depend on its number alone; a training that was killed then continues
    from its last whole epoch to the weights that it would have had.

    Args:
        folder: Where they are written.
        keep: How many.
    """

    def __init__(self, folder: Path, keep: int) -> None:
        super().__init__(keep)
        self.folder = folder

    def read(self, checkpoint: RankedEpoch) -> Weights:
        """Reads the weights of a checkpoint that was kept."""
        return cast(Weights, read_state(self._path(checkpoint.epoch)))

    def restore(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Loads the state of an interrupted training, if there is one."""
        state = read_state(self.folder / "state.pt")
        if state is None:
            return
        model.load_state_dict(cast(Weights, state["model"]))
        optimizer.load_state_dict(cast(dict[str, object], state["optimizer"]))
        self.best = [RankedEpoch(*fields) for fields in cast(list[tuple], state["kept"])]
        numbers = cast(tuple[int, int, int], state["numbers"])
        self.epoch, self.since_best, self.num_updates = numbers

    def save(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Writes the state and deletes the checkpoints that are no longer among the best."""
        state = {
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "kept": [tuple(checkpoint) for checkpoint in self.best],
            "numbers": (self.epoch, self.since_best, self.num_updates),
        }
        write_state(self.folder / "state.pt", state)
        kept = {self._path(checkpoint.epoch) for checkpoint in self.best}
        for path in self.folder.glob("epoch-*.pt"):
            if path not in kept:
                path.unlink()

    def _keep(self, checkpoint: RankedEpoch, weights: Weights) -> None:
        write_state(self._path(checkpoint.epoch), weights)

    def _path(self, epoch: int) -> Path:
        return self.folder / f"epoch-{epoch:04d}.pt"
