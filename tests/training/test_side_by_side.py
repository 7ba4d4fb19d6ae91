"""Trainings in processes: the same numbers, true statuses, errors as they are, and no orphans."""

import dataclasses
import multiprocessing
import os
import signal
import time
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pandas as pd
import psutil
import pytest
import torch

from conversation_emotion.settings.training import TrainingSettings
from conversation_emotion.tracker import MemoryTracker
from conversation_emotion.training import side_by_side
from conversation_emotion.training.cross_validation import cross_validate
from conversation_emotion.training.side_by_side import Work, count_workers
from tests.small_tasks import Planted, make_fold, make_utterances
from tests.training.test_fit import Linear

SETTINGS = TrainingSettings(epochs=3, learning_rate=0.05, batch_size=10, seeds=2)
NAMES = ["only-seed0", "only-seed1", "swapped-seed0", "swapped-seed1"]


def make_task(workers: int, make=lambda: Linear(2)) -> Planted:
    values = np.random.default_rng(0).normal(size=(80, 3)).astype(np.float32)
    inputs = make_utterances(values, (values[:, 0] > 0).astype(np.int64), 40)
    first, second = np.arange(40), np.arange(40, 80)
    folds = (make_fold(first, second), make_fold(second, first, "swapped"))
    split = dataclasses.replace(inputs.dataset.split, folds=folds)
    arrays = dict.fromkeys(("only", "swapped"), inputs.arrays["only"])
    inputs = inputs._replace(dataset=inputs.dataset._replace(split=split), arrays=arrays)
    return Planted(inputs, dataclasses.replace(SETTINGS, workers=workers), make)


def statuses(tracker: MemoryTracker) -> dict[str, str]:
    return {name: child.status for name, child in tracker.children.items()}


def test_processes_give_the_tables_curves_and_models_of_one_after_another():
    tables, curves, models = [], [], []
    for workers in (1, 3):
        tracker, found = MemoryTracker(), {}
        table = cross_validate(
            make_task(workers),
            tracker,
            on_trained=lambda trained, run, found=found: found.update(
                {run.run_id: trained.model.get_parameter("head.weight").tolist()}
            ),
        )
        tables.append(table)
        points = {name: child.points for name, child in tracker.children.items()}
        for one in points.values():
            del one["seconds"]
        assert statuses(tracker) == dict.fromkeys(NAMES, "FINISHED")
        curves.append(points)
        models.append(found)
    pd.testing.assert_frame_equal(*tables)
    assert curves[0] == curves[1]
    assert models[0] == models[1]


class Failing(Linear):
    """Fails in the second fold, whose first target is in the upper half of the table."""

    def forward(self, batch):
        if self.training and int(batch.target_rows.min()) >= 40:
            raise ValueError("the second fold fails, and says why")
        return super().forward(batch)


def test_an_error_is_raised_as_where_trainings_run_one_after_another():
    errors = []
    for workers in (1, 2):
        tracker = MemoryTracker()
        with pytest.raises(ValueError, match=r"^the second fold fails, and says why$") as caught:
            cross_validate(make_task(workers, lambda: Failing(2)), tracker)
        errors.append(str(caught.traceback[-1].path))
        found = statuses(tracker)
        assert {found[name] for name in NAMES[:2]} == {"FINISHED"}
        # Of two that fail side by side, the first to do so ends the other.
        second = [found.get(name, "KILLED") for name in ("swapped-seed0", "swapped-seed1")]
        assert sorted(second) == ["FAILED", "KILLED"]
    assert errors == [__file__] * 2
    assert not multiprocessing.active_children()


class Dying(Linear):
    def forward(self, batch):
        if multiprocessing.parent_process() is not None:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().forward(batch)


def test_a_process_that_the_system_ends_is_named():
    message = "fold 'only', seed [01], was ended by signal 9; where memory is short, lower --work"
    with pytest.raises(ChildProcessError, match=message):
        cross_validate(make_task(2, lambda: Dying(2)), MemoryTracker())


def test_an_interrupt_ends_all_processes_and_marks_their_runs():
    def interrupt(trained, run):
        raise KeyboardInterrupt

    tracker = MemoryTracker()
    with pytest.raises(KeyboardInterrupt):
        cross_validate(make_task(2), tracker, on_trained=interrupt)
    assert {*statuses(tracker).values()} == {"KILLED"}
    assert len(tracker.children) == 2
    assert not multiprocessing.active_children()


def _start_and_die(connection) -> None:
    work = Work(
        read=lambda fold, seed: None,
        open_run=lambda fold, seed: nullcontext(MemoryTracker()),
        train=lambda fold, seed, on_epoch: time.sleep(60),
        keep=lambda result, run: result,
    )
    forked = side_by_side._fork(make_fold(np.arange(1), np.arange(1)), 0, work)[1]
    connection.send(forked.process.pid)
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_training_ends_with_the_process_that_started_it():
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    command = context.Process(target=_start_and_die, args=(sender,))
    command.start()
    training = psutil.Process(receiver.recv())
    command.join()
    assert command.exitcode == -signal.SIGKILL
    psutil.wait_procs([training], timeout=10)
    assert not training.is_running() or training.status() == psutil.STATUS_ZOMBIE


def test_there_is_a_process_for_each_core_unless_one_is_best(monkeypatch):
    def count(wanted: int | None, *, is_resumable: bool = False) -> int:
        training = SimpleNamespace(workers=wanted)
        return count_workers(SimpleNamespace(training=training, is_resumable=is_resumable), 5)  # type: ignore[arg-type]

    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    assert [count(None), count(2), count(9)] == [4, 2, 5]
    assert [count(None, is_resumable=True), count(2, is_resumable=True)] == [1, 2]
    monkeypatch.setattr(side_by_side, "find_device", lambda: torch.device("cuda"))
    assert [count(None), count(1)] == [1, 1]
    with pytest.raises(ValueError, match="--workers 2: trainings on cuda run one after another"):
        count(2)
