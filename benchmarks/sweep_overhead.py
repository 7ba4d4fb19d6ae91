"""What do the records of a sweep cost, and how much faster are two workers than one?

    python -m benchmarks.sweep_overhead

Sweeps epc on the demo corpus, speech and text, once with one worker and once with two. Both run the
same settings, drawn at random and trained for the same number of epochs, one torch thread for each
worker; nothing is pruned, and test is not used. The speed is counted from the start of the first
trial to the end of the last, so it holds the reading of the corpus in each worker.

The cost of records is what a worker does not spend on training, from its first trial to its last,
and the processor time of the command that watches the workers and writes to MLflow; their share is
of the time of all workers. Takes about seven minutes on two quiet cores; on a busy machine its
figures mean nothing.
"""

import os
import platform
import tempfile
import time
from collections.abc import Iterator
from contextlib import chdir
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import NamedTuple

import optuna
import tyro
from optuna.trial import FrozenTrial

from benchmarks.board.row import Plan, Row
from conversation_emotion.settings.recognition import EPCSettings
from experiments.epc import EXPERIMENT
from experiments.sweep import search
from experiments.sweep.mirror import Mirror, open_parent
from experiments.sweep.settings import SweepSettings
from experiments.sweep.study import SweepSpec, SweepStudy, trainings


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of the measurement."""

    trials: int = 10
    """Settings to run, the same for one worker and for two."""

    epochs: int = 6
    """Epochs of every training."""

    workers: int = 2
    """Workers to compare with one."""

    def __post_init__(self) -> None:
        if self.trials < 2 * self.workers:
            raise ValueError(f"--trials must be {2 * self.workers} or more, got {self.trials}")


class Cost(NamedTuple):
    """The time of one sweep.

    Attributes:
        seconds: From the start of the first trial to the end of the last.
        at_work: Of all workers together, from the first trial of each to its last.
        unspent: Of that, what was not training: records, proposals, reading the storage.
        watching: Processor time of the command that watches and writes to MLflow.
        num_trials: Trials.
    """

    seconds: float
    at_work: float
    unspent: float
    watching: float
    num_trials: int

    def share(self) -> float:
        """Returns the share of records in the time of all workers."""
        return (self.unspent + self.watching) / self.at_work

    def trials_per_hour(self) -> float:
        """Returns the speed."""
        return 3600 * self.num_trials / self.seconds


def draw_settings(config: EPCSettings, num_trials: int) -> list[dict]:
    """Returns the settings to run, always the same random ones."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    trials = [study.ask() for _ in range(num_trials)]
    for trial in trials:
        EXPERIMENT.search_space(trial, config)
    return [trial.params for trial in trials]


def measure(settings: Settings, num_workers: int) -> Cost:
    """Runs a sweep and measures its time."""
    default = EPCSettings()
    training = replace(default.training, epochs=settings.epochs, patience=settings.epochs)
    config = replace(default, training=training)
    sweep = SweepSettings(trials=settings.trials, workers=num_workers, pruner="none", top=0)
    spec = search.prepare(SweepSpec("experiments.epc", f"workers-{num_workers}", sweep, config))
    study = SweepStudy.open(spec)
    for parameters in draw_settings(config, settings.trials):
        study.study.enqueue_trial(parameters)
    with open_parent(study, spec) as parent:
        mirror = Mirror(parent)
        before = time.process_time()
        search.search(study, spec, lambda: mirror.update(study.trials()))
        watching = time.process_time() - before
    counts = study.counts()
    if counts.complete != settings.trials:
        raise RuntimeError(f"the sweep ended with {counts.describe()}")
    return cost_of(study.trials(), watching)


def cost_of(trials: list[FrozenTrial], watching: float) -> Cost:
    """Adds up the times that the trials report."""
    spans: dict[int, tuple[float, float]] = {}
    for trial in trials:
        assert trial.datetime_start is not None
        assert trial.datetime_complete is not None
        start, end = trial.datetime_start.timestamp(), trial.datetime_complete.timestamp()
        worker = trial.user_attrs["worker"]["pid"]
        first, last = spans.get(worker, (start, end))
        spans[worker] = (min(first, start), max(last, end))
    at_work = sum(last - first for first, last in spans.values())
    trained = sum(training["seconds"] for trial in trials for training in trainings(trial))
    seconds = max(last for _, last in spans.values()) - min(first for first, _ in spans.values())
    return Cost(seconds, at_work, at_work - trained, watching, len(trials))


def format_row(workers: int, cost: Cost) -> str:
    """Formats a line of the table."""
    return (
        f"| {workers} | {cost.seconds:.0f} | {cost.trials_per_hour():.1f} | "
        f"{cost.unspent:.1f} | {cost.watching:.1f} | {cost.share():.1%} |"
    )


def measure_all(settings: Settings, workers: tuple[int, ...]) -> dict[int, Cost]:
    """Runs a sweep for each number of workers, in a folder that goes with its runs."""
    os.environ["OMP_NUM_THREADS"] = "1"
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        os.environ.pop("MLFLOW_TRACKING_URI", None)
        return {number: measure(settings, number) for number in workers}


def board_rows(plan: Plan) -> Iterator[Row]:
    """Measures a trial with two workers, one worker being the peer, in one turn."""
    settings = Settings(trials=4, epochs=2) if plan.is_quick else Settings()
    costs = measure_all(settings, (1, settings.workers) if plan.has_peers else (settings.workers,))
    yield Row(
        name=f"{settings.trials} trials of {settings.epochs} epochs, {settings.workers} workers",
        per="trial",
        ours=(costs[settings.workers].seconds / settings.trials,),
        is_clock=True,
        peer="one worker",
        theirs=(costs[1].seconds / settings.trials,) if plan.has_peers else (),
    )


def main() -> None:
    """Runs both sweeps and prints the table."""
    settings = tyro.cli(Settings, prog="python -m benchmarks.sweep_overhead", description=__doc__)
    costs = measure_all(settings, (1, settings.workers))
    load = os.getloadavg()[1]
    print(
        f"\n{platform.processor() or platform.machine()}, {os.cpu_count()} cores, load {load:.1f} "
        f"over the last five minutes, Python {platform.python_version()}, torch "
        f"{version('torch')}, optuna {version('optuna')}, mlflow {version('mlflow')}; "
        f"{settings.trials} trials of epc on the demo corpus, {settings.epochs} epochs\n"
    )
    print(
        "| workers | seconds | trials an hour | not training, s | watching, s | share of records |"
    )
    print("|---|---|---|---|---|---|")
    for workers, cost in costs.items():
        print(format_row(workers, cost))
    ratio = costs[settings.workers].trials_per_hour() / costs[1].trials_per_hour()
    print(f"\n{settings.workers} workers run {ratio:.2f} times the trials an hour of one")


if __name__ == "__main__":
    main()
