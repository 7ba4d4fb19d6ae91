"""Sweeps of the tiny experiment, in this process or as a command."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from experiments.sweep.settings import SweepSettings
from experiments.sweep.study import SweepSpec, SweepStudy
from experiments.sweep.trials import run_trials
from tests.processes import Command
from tests.tiny_experiment import TinyConfig


def make_spec(*, name: str = "tiny", config: TinyConfig | None = None, **sweep: Any) -> SweepSpec:
    """What the workers of a tiny sweep are given; its journal is in the current folder."""
    settings = SweepSettings(**{"trials": 6, "storage": "sweep.journal", **sweep})
    return SweepSpec("tests.tiny_experiment", name, settings, config or TinyConfig())


def run_here(spec: SweepSpec, worker: int = 0) -> SweepStudy:
    """Does a worker's work in this process and returns the study."""
    SweepStudy.open(spec)
    run_trials(spec, worker)
    return SweepStudy.open(spec)


def start_command(folder: Path, *flags: str) -> Command:
    """Starts a sweep of the tiny experiment as a user would, with what it prints in a file."""
    printed = folder / "printed.txt"
    variables = {"CUDA_VISIBLE_DEVICES": ""}  # to count GPUs takes an import of torch
    return Command(
        "tests.tiny_experiment", *flags, folder=folder, environment=variables, printed=printed
    )


def wait_for(condition: Callable[[], Any], seconds: float = 300.0) -> Any:
    """Waits until something is true and returns it."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.05)
    return found
