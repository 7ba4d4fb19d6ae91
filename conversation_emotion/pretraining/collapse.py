"""Stops a self-supervised training whose targets or predictions no longer depend on the input."""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field


class CollapseError(ArithmeticError):
    """Targets or predictions no longer differ; further training cannot help."""


@dataclass(eq=False)
class CollapseMonitor:
    """Tracks deviations over time and over clips, and stops a training in which one vanishes.

    Args:
        least: Least deviation by the name of its metric; metrics that are missing are not watched.
        grace: Updates before the first check; untrained predictions are the same everywhere.
        memory: Share of the running mean that is kept at each update.

    Attributes:
        means: Running mean of each metric, for checkpoints.
    """

    least: Mapping[str, float]
    _: KW_ONLY
    grace: int = 200
    memory: float = 0.98
    means: dict[str, float] = field(default_factory=dict, init=False)

    def watch(self, step: int, metrics: Mapping[str, float]) -> None:
        """Adds an update to the running means.

        Raises:
            CollapseError: A running mean lies below its least value.
        """
        for name in self.least.keys() & metrics.keys():
            before = self.means.get(name, metrics[name])
            self.means[name] = self.memory * before + (1 - self.memory) * metrics[name]
        if step < self.grace:
            return
        for name, mean in sorted(self.means.items()):
            if mean < self.least[name]:
                what, _, where = name.partition("_over_")
                raise CollapseError(
                    f"collapse at step {step}: the deviation of the {what}s over {where} is "
                    f"{mean:.2g}, expected {self.least[name]:g} or more; lower --learning-rate, "
                    "let the teacher move slower (--tau-start), or mask less"
                )
