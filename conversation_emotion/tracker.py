"""What a sweep is told of each training of a setting: how it did on valid, never on test."""

from collections.abc import Callable, Hashable, Mapping
from typing import NamedTuple, Protocol, TypeVar, cast

Made = TypeVar("Made")


class Validation(NamedTuple):
    """How one training did on valid.

    Attributes:
        name: Fold and seed; trainings of the same name learn and judge the same utterances.
        score: Larger is better.
        num_parameters: Parameters that were trained.
        curves: A number for each epoch, by what it measures.
    """

    name: str
    score: float
    num_parameters: int
    curves: dict[str, list[float]]
    metric: str = "uar"


class CurveKeeper(Protocol):
    """What is told of each epoch; a run of the tracking is one."""

    def log_step(self, step: int, metrics: Mapping[str, float]) -> None:
        """Adds the numbers of one epoch."""
        ...

    def flush(self) -> None:
        """Writes what was gathered."""
        ...


class Curves:
    """Gathers what is measured after each epoch."""

    def __init__(self) -> None:
        self.points: dict[str, list[float]] = {}

    def log_step(self, step: int, metrics: Mapping[str, float]) -> None:
        """Adds the numbers of one epoch."""
        del step
        for name, value in metrics.items():
            self.points.setdefault(name, []).append(float(value))

    def flush(self) -> None:
        """Does nothing: what is gathered is passed on as a whole."""


class Memory:
    """Keeps the last things that were costly to make, such as a corpus with its features.

    Args:
        most: How many.
    """

    def __init__(self, most: int = 8) -> None:
        self._most = most
        self._kept: dict[Hashable, object] = {}

    def recall(self, key: Hashable, make: Callable[[], Made]) -> Made:
        """Returns what was made for a key, or makes it."""
        made = self._kept.pop(key) if key in self._kept else make()
        self._kept[key] = made
        while len(self._kept) > self._most:
            del self._kept[next(iter(self._kept))]
        return cast(Made, made)
