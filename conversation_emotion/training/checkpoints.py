"""The best epochs of a training, in memory or in a folder that survives a kill; their average."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, cast

import torch
from torch import nn

from conversation_emotion.tasks.task import Weights


class RankedEpoch(NamedTuple):
    """The score (larger is better) and the loss of an epoch on valid.

    The lower loss ranks first where scores tie; it is 0 where it is not computed.
    """

    epoch: int
    score: float
    loss: float

    def rank(self) -> tuple[float, float, int]:
        """Orders checkpoints, the best first: by score, loss, and the earlier epoch."""
        return -self.score, self.loss, self.epoch


class Checkpoints:
    """The best epochs of a training, in memory, the best first.

    With ``keep`` 0 none is kept, and training runs to its last epoch. ``epoch`` and ``num_updates``
    count so far, ``since_best`` the epochs since the best.
    """

    def __init__(self, keep: int) -> None:
        self.keep = keep
        self.best: list[RankedEpoch] = []
        self.epoch = self.since_best = self.num_updates = 0
        self._weights: dict[int, Weights] = {}

    def add(
        self, score: float, loss: float, export: Callable[[nn.Module], Weights], model: nn.Module
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
        """Drops the weights that are no longer among the best."""
        kept = {checkpoint.epoch for checkpoint in self.best}
        self._weights = {epoch: w for epoch, w in self._weights.items() if epoch in kept}

    def _keep(self, checkpoint: RankedEpoch, weights: Weights) -> None:
        self._weights[checkpoint.epoch] = weights


class StoredCheckpoints(Checkpoints):
    """The best epochs of a training and its state in a folder, each whole or not at all.

    What an epoch does must depend on its number alone; a training that was killed then continues
    from its last whole epoch to the weights that it would have had.
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


def average_weights(checkpoints: Sequence[Weights]) -> Weights:
    """Averages checkpoints name by name, in double precision.

    Integer buffers, such as counters, cannot be averaged; they are taken from the first.

    Raises:
        ValueError: There are none, or they differ in their names.
    """
    if not checkpoints:
        raise ValueError("nothing to average: no checkpoint was given")
    first = checkpoints[0]
    for number, other in enumerate(checkpoints[1:], start=1):
        if different := sorted(first.keys() ^ other.keys()):
            raise ValueError(f"checkpoints 0 and {number} differ in {different}")
    return {
        name: torch.stack([weights[name].double() for weights in checkpoints])
        .mean(dim=0)
        .to(tensor.dtype)
        if tensor.is_floating_point()
        else tensor.clone()
        for name, tensor in first.items()
    }


def greedy_soup(checkpoints: Sequence[Weights], score: Callable[[Weights], float]) -> Weights:
    """Averages those checkpoints that do not lower a score on valid (Wortsman et al., 2022).

    Checkpoints come from the best, which is always in, to the worst; a larger score is better.

    Raises:
        ValueError: There are none, or they differ in their names.
    """
    chosen = list(checkpoints[:1])
    best = average_weights(chosen)
    best_score = score(best)
    for checkpoint in checkpoints[1:]:
        weights = average_weights([*chosen, checkpoint])
        if (reached := score(weights)) >= best_score:
            chosen, best, best_score = [*chosen, checkpoint], weights, reached
    return best


def write_state(path: Path, state: Mapping[str, object]) -> None:
    """Writes tensors and plain data to a temporary file, then renames it.

    If the process is killed, the old file remains, whole.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            torch.save(dict(state), file)
            file.flush()
            os.fsync(file.fileno())  # else a crash may rename a file whose content is not on disk
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    for left in path.parent.glob(f"{path.name}.*.tmp"):  # of processes that were killed
        left.unlink(missing_ok=True)


def read_state(path: Path) -> dict[str, object] | None:
    """Reads what `write_state` wrote to the CPU, None if there is none; never runs code from it.

    Raises:
        ValueError: The file is damaged, or holds more than numbers, names, and tensors.
    """
    if not path.is_file():
        return None
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # of damaged bytes, PyTorch raises many kinds
        raise ValueError(
            f"{path}: is no checkpoint of a training, or a damaged one ({type(error).__name__}); "
            "delete it, and the same command trains that part again"
        ) from error
