"""What records a training: the protocol of runs, one in memory, and what a sweep gets of it.

`experiments.tracking.runs` records in MLflow; `MemoryTracker` lets the engine run without it.
"""

from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar, Union, cast

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

Made = TypeVar("Made")

PREDICTIONS = "predictions.parquet"
"""Table of a run that holds its predictions on valid and test."""

UTTERANCES = "utterances.parquet"
"""Table of a run that holds the words of what it predicts, and where their sound is."""


def training_name(fold: str, seed: int) -> str:
    """Names the run of a training."""
    return f"{fold}-seed{seed}"


class Tracker(Protocol):
    """The run of one training."""

    run_id: str

    def log_metrics(self, metrics: Mapping[str, float]) -> None:
        """Records final scores."""

    def log_step(self, step: int, metrics: Mapping[str, float]) -> None:
        """Adds a point to the curve of each metric; written by `flush` or when the run ends."""

    def flush(self) -> None:
        """Writes the curves so far."""

    def log_table(self, table: "pd.DataFrame", file: str) -> None:
        """Records a table under the name of a Parquet file."""

    def log_text(self, text: str, file: str) -> None:
        """Records a text under the name of a file."""

    def log_figure(self, figure: "Figure", file: str) -> None:
        """Records a picture under the name of a file."""

    def log_folder(self, path: Path, name: str) -> None:
        """Records copies of all files of a folder under another name."""


class ParentTracker(Tracker, Protocol):
    """The run of a whole command, with a child for each training."""

    def read_finished(self, name: str, file: str) -> "pd.DataFrame | None":
        """Returns a table of the finished child of that name; None if there is no such child."""
        ...

    def open_child(
        self, name: str, params: Mapping[str, object]
    ) -> AbstractContextManager[Tracker]:
        """Opens the run of one training, which finishes unless an exception leaves the context."""
        ...


class Validation(NamedTuple):
    """The result of one training on valid.

    Attributes:
        name: Fold and seed; trainings of the same name use the same utterances.
        score: By the metric that selects; larger is better.
        num_parameters: Parameters that were trained.
        curves: A number for each epoch, by what it measures.
    """

    name: str
    score: float
    num_parameters: int
    curves: dict[str, list[float]]
    metric: str = "uar"


Artifact = Union["pd.DataFrame", str, "Figure", bytes]
"""What a `MemoryTracker` keeps under the name of a file."""


@dataclass(eq=False)
class MemoryTracker:
    """A run in memory, parent or child, for use of the engine without MLflow.

    Attributes:
        params: Its settings.
        points: The curve of each metric, values in the order of their steps.
        metrics: Final scores.
        artifacts: Tables, texts, figures, and the bytes of files, by name.
        children: The run of each training by name, of a name the last.
        status: ``RUNNING``, ``FINISHED``, ``KILLED`` by an interrupt, or ``FAILED``.
    """

    run_id: str = "memory"
    params: Mapping[str, object] = field(default_factory=dict)
    points: dict[str, list[float]] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    artifacts: dict[str, Artifact] = field(default_factory=dict)
    children: dict[str, "MemoryTracker"] = field(default_factory=dict)
    status: str = "RUNNING"

    def log_metrics(self, metrics: Mapping[str, float]) -> None:
        """Records final scores."""
        self.metrics.update({name: float(value) for name, value in metrics.items()})

    def log_step(self, step: int, metrics: Mapping[str, float]) -> None:
        """Adds a point to the curve of each metric."""
        del step
        for name, value in metrics.items():
            self.points.setdefault(name, []).append(float(value))

    def flush(self) -> None:
        """Does nothing: the points are in memory."""

    def log_table(self, table: "pd.DataFrame", file: str) -> None:
        """Records a copy of a table."""
        self.artifacts[file] = table.reset_index(drop=True)

    def log_text(self, text: str, file: str) -> None:
        """Records a text."""
        self.artifacts[file] = text

    def log_figure(self, figure: "Figure", file: str) -> None:
        """Records a picture."""
        self.artifacts[file] = figure

    def log_folder(self, path: Path, name: str) -> None:
        """Records the bytes of all files of a folder, each as ``name/its path in the folder``."""
        for file in sorted(path.rglob("*")):
            if file.is_file():
                self.artifacts[f"{name}/{file.relative_to(path).as_posix()}"] = file.read_bytes()

    def read_finished(self, name: str, file: str) -> "pd.DataFrame | None":
        """Returns a copy of a table of the finished child of that name, None without such a child.

        Raises:
            KeyError: The child has no such table.
        """
        child = self.children.get(name)
        if child is None or child.status != "FINISHED":
            return None
        return cast("pd.DataFrame", child.artifacts[file]).copy()

    @contextmanager
    def open_child(self, name: str, params: Mapping[str, object]) -> Iterator["MemoryTracker"]:
        """Opens the run of one training, which finishes unless an exception leaves the context."""
        child = self.children[name] = MemoryTracker(f"{self.run_id}/{name}", params)
        try:
            yield child
        except KeyboardInterrupt:
            child.status = "KILLED"
            raise
        except BaseException:
            child.status = "FAILED"
            raise
        child.status = "FINISHED"


class Memory:
    """Keeps the last ``most`` results that were costly to compute, such as a corpus's features."""

    def __init__(self, most: int = 8) -> None:
        self._most = most
        self._kept: dict[Hashable, object] = {}

    def recall(self, key: Hashable, make: Callable[[], Made]) -> Made:
        """Returns the result of a key, computed at the first call."""
        made = self._kept.pop(key) if key in self._kept else make()
        self._kept[key] = made
        while len(self._kept) > self._most:
            del self._kept[next(iter(self._kept))]
        return cast(Made, made)
