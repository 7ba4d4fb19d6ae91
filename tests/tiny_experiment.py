"""An experiment of milliseconds, to sweep in tests: python -m tests.tiny_experiment --trials 4."""

import dataclasses
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from conversation_emotion.tracker import Memory, Validation

if TYPE_CHECKING:
    import optuna

    from conversation_emotion.evaluation.metrics import Interval

HOLD = Path("hold")
"""While a sweep's folder has this file, no training ends."""


@dataclass(frozen=True, kw_only=True)
class TinyConfig:
    """Settings of a parabola."""

    x: float = 0.5
    """Where it is measured; its top is at 0.7."""

    fusion: Literal["early", "late"] = "early"
    """late is worse by 0.1."""

    modality: str = "speech+text"
    """Stands for the input."""

    metric: str = "uar"
    """Name of the score."""

    pause: float = 0.0
    """Seconds of each training."""

    folds: int = 3
    """Trainings of each trial."""

    break_above: float = 2.0
    """Fails where x is larger."""


class TinyExperiment:
    """How high is a parabola?"""

    name = "tiny_experiment"
    settings = TinyConfig

    def search_space(self, trial: "optuna.trial.BaseTrial", settings: TinyConfig) -> TinyConfig:
        return dataclasses.replace(
            settings,
            x=trial.suggest_float("x", 0.0, 1.0),
            fusion=trial.suggest_categorical("fusion", ["early", "late"]),
        )

    def prepare(self, settings: TinyConfig) -> str:
        return "tiny data"

    def validate(self, settings: TinyConfig, memory: Memory) -> Iterator[Validation]:
        for fold in range(settings.folds):
            time.sleep(settings.pause)
            while HOLD.exists():
                time.sleep(0.01)
            if settings.x > settings.break_above:
                raise ValueError(f"x is {settings.x:.2f}, above {settings.break_above}")
            loss = (settings.x - 0.7) ** 2 + 0.01 * fold + 0.1 * (settings.fusion == "late")
            curves = {"train/loss": [1.0, loss]}
            yield Validation(f"fold{fold}-seed0", 1 - loss, 10, curves, settings.metric)

    def test(self, settings: TinyConfig) -> "dict[str, Interval]":
        from conversation_emotion.evaluation.metrics import Interval

        with open("tested.txt", "a") as file:
            file.write(f"{settings.x} {settings.fusion} {os.getpid()}\n")
        score = 1 - (settings.x - 0.7) ** 2
        return {"uar": Interval(score, score - 0.1, score + 0.1, 0.05, 30)}

    def run(self, settings: TinyConfig) -> None:
        print(self.test(settings))


EXPERIMENT = TinyExperiment()


def main() -> None:
    from experiments.framework.commandline import run_or_explain
    from experiments.sweep import __main__ as sweep

    module = "tests.tiny_experiment"
    found = sweep.read_flags(module, sys.argv[1:])
    run_or_explain(lambda: sweep.run(module, *found))


if __name__ == "__main__":
    main()
