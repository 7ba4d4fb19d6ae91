"""Sweeps of the tiny experiment, in this process or as a command."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from experiments.sweep.settings import SweepSettings
from experiments.sweep.study import SweepSpec, SweepStudy
from experiments.sweep.trials import run_trials
from tests.tiny_experiment import TinyConfig

ROOT = Path(__file__).parents[1]


def make_spec(*, name: str = "tiny", config: TinyConfig | None = None, **sweep: Any) -> SweepSpec:
    """What the workers of a tiny sweep are given; its journal is in the current folder."""
    settings = SweepSettings(**{"trials": 6, "storage": "sweep.journal", **sweep})
    return SweepSpec("tests.tiny_experiment", name, settings, config or TinyConfig())


def run_here(spec: SweepSpec, worker: int = 0) -> SweepStudy:
    """Does a worker's work in this process and returns the study."""
    SweepStudy.open(spec)
    run_trials(spec, worker)
    return SweepStudy.open(spec)


def start_command(folder: Path, *flags: str) -> subprocess.Popen[str]:
    """Starts a sweep of the tiny experiment as a user would, with what it prints in a file."""
    command = [sys.executable, "-m", "tests.tiny_experiment", *flags]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with (folder / "printed.txt").open("a") as printed:
        return subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdout=printed,
            stderr=printed,
            text=True,
            preexec_fn=_accept_interrupts,
        )


def _accept_interrupts() -> None:
    """Undoes what a shell does to commands in its background, and these inherit."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def wait_for(condition: Callable[[], Any], seconds: float = 60.0) -> Any:
    """Waits until something is true and returns it."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.05)
    return found
