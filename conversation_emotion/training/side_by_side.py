"""Trainings side by side: each in a process of one thread, or one after another in this process.

A small model on stored features gains next to nothing from a second thread, and twice the speed
from a second process. Processes are forks of this one, which has read and laid out everything: they
start in milliseconds and share its memory. What they compute comes back through a pipe; files and
stores of runs are written by this process alone, so that a kill leaves nothing half-written.
"""

import multiprocessing
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Generic, TypeVar

import torch
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from conversation_emotion.splits.folds import Fold
from conversation_emotion.tasks.task import Task, find_device
from conversation_emotion.tracker import Tracker
from conversation_emotion.training.fit import OnEpoch

Result = TypeVar("Result")
Kept = TypeVar("Kept")

Training = tuple[Fold, int]
"""A fold and a seed."""


@dataclass(frozen=True)
class Work(Generic[Result, Kept]):
    """What a training is made of; only `train` may run in another process.

    Attributes:
        read: Reads back what was kept of a training that an interrupted command finished, or None.
        open_run: Opens the run of a training, which ends with the context.
        train: Trains, and reports each epoch with its number and metrics.
        keep: Keeps a result with its run, and returns what is to be collected.
    """

    read: Callable[[Fold, int], Kept | None]
    open_run: Callable[[Fold, int], AbstractContextManager[Tracker]]
    train: Callable[[Fold, int, OnEpoch], Result]
    keep: Callable[[Result, Tracker], Kept]


def run_trainings(task: Task, work: Work[Result, Kept], title: str) -> dict[tuple[str, int], Kept]:
    """Runs the trainings of a task, or reads them back, with a progress bar of the given title.

    There are as many processes as `count_workers` says; their numbers are those of one thread.

    Returns:
        What was kept, by name of the fold and seed, in the order of the task.

    Raises:
        ChildProcessError: The system ended a process.
    """
    trainings = task.trainings()
    found = {(fold.name, seed): work.read(fold, seed) for fold, seed in trainings}
    waiting = [(fold, seed) for fold, seed in trainings if found[fold.name, seed] is None]
    workers = count_workers(task, len(waiting))
    run = _run_forked(task, waiting, work, workers) if workers > 1 else _run(task, waiting, work)
    done, total = len(trainings) - len(waiting), len(trainings)
    with tqdm(desc=title, initial=done, total=total, unit="training", leave=False) as bar:
        for (fold, seed), kept in run:
            found[fold.name, seed] = kept
            bar.update()
    return {training: kept for training, kept in found.items() if kept is not None}


def count_workers(task: Task, num_trainings: int) -> int:
    """Returns how many trainings run at once: those that are asked for, or one for each core.

    Unless more are asked for it is one for an encoder that is tuned, and with OMP_NUM_THREADS=1, as
    the workers of a sweep have it.

    Raises:
        ValueError: Several are asked for on a GPU, or where processes cannot be forked.
    """
    wanted, device = task.training.workers, find_device().type
    place = device if device != "cpu" else sys.platform
    if place != "linux":  # elsewhere a fork of a process with threads, or with a GPU, is not safe
        if wanted is not None and wanted > 1:
            raise ValueError(f"--workers {wanted}: trainings on {place} run one after another")
        return 1
    if wanted is None:
        wanted = 1 if task.is_resumable else torch.get_num_threads()
    return max(1, min(wanted, num_trainings))


def _run(
    task: Task, trainings: Sequence[Training], work: Work[Result, Kept]
) -> Iterator[tuple[Training, Kept]]:
    """Runs trainings one after another, and yields what is kept of each."""
    for fold, seed in trainings:
        with work.open_run(fold, seed) as run:
            kept = work.keep(_train_here(task, fold, seed, work, run), run)
        yield (fold, seed), kept


def _train_here(
    task: Task, fold: Fold, seed: int, work: Work[Result, Kept], run: Tracker
) -> Result:
    return work.train(fold, seed, lambda epoch, metrics: _show(task, run, epoch, metrics))


def _show(task: Task, run: Tracker, epoch: int, metrics: dict[str, float]) -> None:
    run.log_step(epoch, metrics)
    if task.is_resumable:
        run.flush()


@dataclass(frozen=True)
class _Forked:
    """A training in another process, and its open run."""

    fold: Fold
    seed: int
    run: Tracker
    runs: ExitStack
    process: BaseProcess


def _run_forked(
    task: Task, trainings: Sequence[Training], work: Work[Result, Kept], workers: int
) -> Iterator[tuple[Training, Kept]]:
    """Runs trainings in processes, and yields what is kept of each, in the order they end."""
    waiting, running = list(trainings), dict[Connection, _Forked]()
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                receiver, forked = _fork(*waiting.pop(0), work)
                running[receiver] = forked
            for receiver in wait(list(running)):
                assert isinstance(receiver, Connection)
                message = _receive(receiver)
                if message is not None and len(message) == 2:
                    _show(task, running[receiver].run, *message)
                    continue
                forked = running.pop(receiver)
                receiver.close()
                yield (forked.fold, forked.seed), _finish(task, forked, message, work)
    finally:
        for forked in running.values():
            forked.process.terminate()
        for forked in running.values():
            forked.process.join()
            forked.runs.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)


def _receive(receiver: Connection) -> tuple[Any] | tuple[int, dict[str, float]] | None:
    """Takes an epoch, or a result alone; None from a process that failed."""
    try:
        return pickle.loads(receiver.recv_bytes())
    except EOFError:
        return None


def _finish(
    task: Task, forked: _Forked, message: tuple[Result] | None, work: Work[Result, Kept]
) -> Kept:
    """Keeps the result of a process; what failed there is done again here.

    Its error is thus raised where it lies, with everything that tells of its place.
    """
    with forked.runs:
        forked.process.join()
        if message is not None:
            return work.keep(message[0], forked.run)
        if (status := forked.process.exitcode) is not None and status < 0:
            raise ChildProcessError(
                f"the training of fold {forked.fold.name!r}, seed {forked.seed}, was ended by "
                f"signal {-status}; where memory is short, lower --workers"
            )
        result = _train_here(task, forked.fold, forked.seed, work, forked.run)
        return work.keep(result, forked.run)


def _fork(fold: Fold, seed: int, work: Work[Result, Kept]) -> tuple[Connection, _Forked]:
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    with ExitStack() as runs:
        run = runs.enter_context(work.open_run(fold, seed))
        process = context.Process(target=_work, args=(work, fold, seed, sender), daemon=True)
        process.start()
        sender.close()
        return receiver, _Forked(fold, seed, run, runs.pop_all(), process)


def _work(work: Work[Result, Kept], fold: Fold, seed: int, sender: Connection) -> None:
    """Trains in a forked process; its parent alone handles Ctrl-C, and it ends with its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)  # pools of threads do not survive a fork

    def send(*message: object) -> None:
        sender.send_bytes(pickle.dumps(message))  # `send` would leave tensors in shared memory

    with threadpool_limits(1):
        try:
            send(work.train(fold, seed, send))
        except BaseException:
            os._exit(1)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
