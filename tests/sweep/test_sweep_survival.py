"""A sweep whose processes are killed loses no more than its running trials, and goes on."""

import os
import signal
from pathlib import Path

import psutil
import pytest

from experiments.sweep.study import SweepStudy, classify
from tests.sweeps import make_spec, start_command, wait_for
from tests.tiny_experiment import HOLD
from tests.tracked import find_runs, write_empty_store

pytestmark = pytest.mark.faults

JOURNAL = "mlruns/optuna.journal"


@pytest.fixture
def folder(workplace) -> Path:
    """A folder to sweep in, where trainings begin but do not end."""
    write_empty_store(workplace / "mlruns" / "mlflow.db")
    HOLD.touch()
    return workplace


def open_tiny() -> SweepStudy:
    spec = make_spec(storage=JOURNAL)
    return SweepStudy.open(spec._replace(name="tiny_experiment"))


def running_processes(folder: Path) -> list[int]:
    """Processes that work on trials now."""
    if not (folder / JOURNAL).exists():
        return []
    trials = [trial for trial in open_tiny().trials() if classify(trial) == "running"]
    return [trial.user_attrs["worker"]["pid"] for trial in trials if "worker" in trial.user_attrs]


def test_kill_of_a_worker_and_then_of_everything_leaves_nothing_running(folder):
    flags = ("--trials", "4", "--workers", "2", "--pruner", "none", "--top", "1")
    with start_command(folder, *flags) as sweep:
        first = wait_for(lambda: len(found := running_processes(folder)) == 2 and found)
        os.kill(first[0], signal.SIGKILL)
        wait_for(lambda: open_tiny().counts().lost == 1)
        now = wait_for(
            lambda: len(found := running_processes(folder)) == 2 and first[0] not in found and found
        )
        for pid in (sweep.pid, *now):
            os.kill(pid, signal.SIGKILL)
    assert sweep.returncode == -signal.SIGKILL
    assert open_tiny().counts().running == len(now) == 2
    assert [run.info.status for run in find_runs("sweep-tiny_experiment").parents] == ["RUNNING"]

    HOLD.unlink()
    with start_command(folder, *flags) as again:
        assert again.wait(timeout=300) == 0, (folder / "printed.txt").read_text()

    counts = open_tiny().counts()
    assert (counts.complete, counts.running, counts.waiting) == (4, 0, 0)
    assert counts.lost == 3
    trials = open_tiny().trials()
    retries = {t.user_attrs["retry_of"]: t for t in trials if "retry_of" in t.user_attrs}
    lost = [t for t in trials if classify(t) == "lost" and "retry_of" not in t.user_attrs]
    assert retries.keys() == {trial.number for trial in lost}
    for trial in lost:
        assert trial.params.items() <= retries[trial.number].params.items()
    runs = find_runs("sweep-tiny_experiment")
    assert [run.info.status for run in runs.parents] == ["FINISHED"]
    statuses = [run.info.status for run in runs.children]
    assert (statuses.count("FINISHED"), statuses.count("RUNNING")) == (4, 0)
    tested = (folder / "tested.txt").read_text().splitlines()
    assert len(tested) == len(set(tested)) in (1, 2)  # the best, and the default if that is another


def test_workers_end_with_a_command_that_is_killed_and_give_their_trials_back(folder):
    with start_command(folder, "--trials", "4", "--workers", "2") as sweep:
        workers = wait_for(lambda: len(found := running_processes(folder)) == 2 and found)
        sweep.send_signal(signal.SIGKILL)
    wait_for(lambda: not any(psutil.pid_exists(pid) for pid in workers))
    counts = open_tiny().counts()
    assert (counts.running, counts.lost, counts.waiting) == (0, 2, 2)


def test_an_interrupt_marks_the_sweep_killed_and_gives_the_trials_back(folder):
    with start_command(folder, "--trials", "4", "--workers", "2") as sweep:
        wait_for(lambda: len(running_processes(folder)) == 2)
        sweep.send_signal(signal.SIGINT)
        assert sweep.wait(timeout=300) == 130
    counts = open_tiny().counts()
    assert (counts.running, counts.waiting) == (0, counts.lost)
    runs = find_runs("sweep-tiny_experiment")
    assert [run.info.status for run in runs.parents] == ["KILLED"]
    assert not [run for run in runs.children if run.info.status == "RUNNING"]


def test_a_second_command_joins_and_one_of_them_scores_on_test_once(folder):
    flags = ("--trials", "6", "--pruner", "none", "--top", "2")
    with start_command(folder, *flags) as first, start_command(folder, *flags) as second:
        wait_for(lambda: len(running_processes(folder)) == 2)
        HOLD.unlink()
        assert (first.wait(timeout=300), second.wait(timeout=300)) == (0, 0)
    assert "joins study 'tiny_experiment'" in (folder / "printed.txt").read_text()
    counts = open_tiny().counts()
    assert (counts.complete, counts.running) == (6, 0)
    workers = {trial.user_attrs["worker"]["pid"] for trial in open_tiny().trials()}
    assert len(workers) == 2
    tested = (folder / "tested.txt").read_text().splitlines()
    assert len(tested) == len(set(tested)) <= 3
