"""An experiment of milliseconds, to sweep in tests: python -m tests.tiny_experiment --trials 4."""

import dataclasses
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from conversation_emotion.evaluation.metrics import Interval
from conversation_emotion.tracker import Memory, Validation

if TYPE_CHECKING:
    import optuna


@dataclass(frozen=True, kw_only=True)
class TinyConfig:
    """Settings of a parabola."""

    x: float = 0.5
    """Where it is measured; its top is at 0.7."""

    fusion: Literal["early", "late"] = "early"
    """late is worse by 0.1."""

    modality: str = "speech+text"
    """Stands for what is heard."""

    pause: float = 0.0
    """Seconds of each training."""

    folds: int = 3
    """Trainings of each trial."""

    break_above: float = 2.0
    """Fails where x is larger."""


def search_space(trial: "optuna.trial.BaseTrial", config: TinyConfig) -> TinyConfig:
    return dataclasses.replace(
        config,
        x=trial.suggest_float("x", 0.0, 1.0),
        fusion=trial.suggest_categorical("fusion", ["early", "late"]),
    )


def prepare(config: TinyConfig) -> str:
    return "tiny data"


def validate(config: TinyConfig, memory: Memory) -> Iterator[Validation]:
    for fold in range(config.folds):
        time.sleep(config.pause)
        if config.x > config.break_above:
            raise ValueError(f"x is {config.x:.2f}, above {config.break_above}")
        loss = (config.x - 0.7) ** 2 + 0.01 * fold + 0.1 * (config.fusion == "late")
        yield Validation(f"fold{fold}-seed0", 1 - loss, 10, {"train/loss": [1.0, loss]})


def test(config: TinyConfig) -> dict[str, Interval]:
    with open("tested.txt", "a") as file:
        file.write(f"{config.x} {config.fusion} {os.getpid()}\n")
    score = 1 - (config.x - 0.7) ** 2
    return {"uar": Interval(score, score - 0.1, score + 0.1, 0.05, 30)}


def main() -> None:
    from experiments.sweep import __main__ as sweep

    sweep.EXPERIMENTS["tiny"] = ("tests.tiny_experiment", "TinyConfig")
    sys.argv[1:1] = ["tiny"]
    sweep.main()


if __name__ == "__main__":
    main()
