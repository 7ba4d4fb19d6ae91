"""The worker processes of one command: started, watched, replaced when they die, stopped."""

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from multiprocessing.queues import Queue
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Self

from threadpoolctl import threadpool_limits

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext, SpawnContext

_LIBRARIES = (
    "matplotlib.figure",
    "mlflow.store.tracking.sqlalchemy_store",
    "optuna",
    "pandas",
    "torch",
)
"""What workers import, and takes long; no import of them touches a GPU."""

_REPLACEMENTS = 3  # of each worker; what kills more of them will kill the next as well
_STOP_SECONDS = 20.0


@dataclass(eq=False)
class WorkerPool:
    """Processes that do the same work, each with a thread, a device and a log of its own.

    Args:
        work: What a worker does, given its number; a function of a module, or a `partial` of one.
        num_workers: How many processes.
        devices: GPUs to assign, in turn; none on a machine without.
        logs: Folder of what they print.
    """

    work: Callable[[int], None]
    num_workers: int
    devices: Sequence[str]
    logs: Path
    _deaths: Counter[int] = field(default_factory=Counter)
    _processes: dict[int, BaseProcess] = field(default_factory=dict)

    def __enter__(self) -> Self:
        self.logs.mkdir(parents=True, exist_ok=True)
        for number in range(self.num_workers):
            self._start(number)
        return self

    def __exit__(self, *error: object) -> None:
        """Terminates all, so that they give back their trials, and kills those that do not end."""
        for process in self._processes.values():
            process.terminate()
        deadline = time.monotonic() + _STOP_SECONDS
        for process in self._processes.values():
            process.join(max(0.0, deadline - time.monotonic()))
            if process.exitcode is None:
                process.kill()
                process.join()

    def watch(self, seconds: float) -> bool:
        """Waits until a worker ends, or so long; replaces dead ones -> whether any is running.

        Raises:
            ChildProcessError: A worker fails, or dies again and again.
        """
        wait([process.sentinel for process in self._processes.values()], timeout=seconds)
        for number, process in [*self._processes.items()]:
            if process.exitcode is not None:
                del self._processes[number]
                self._handle_exit(number, process.exitcode)
        return bool(self._processes)

    def _handle_exit(self, number: int, exitcode: int) -> None:
        """Replaces a worker that was killed; one that failed by itself would fail again."""
        log = self._log(number)
        if exitcode == 0:
            return
        if exitcode > 0:
            last = log.read_text(errors="replace").strip().splitlines()[-1:] or ["nothing"]
            raise ChildProcessError(f"worker {number} failed: {last[0]}; its whole log is {log}")
        self._deaths[number] += 1
        if self._deaths[number] > _REPLACEMENTS:
            raise ChildProcessError(
                f"worker {number} died {self._deaths[number]} times, last of signal {-exitcode}; "
                f"its log is {log}"
            )
        print(f"worker {number} died of signal {-exitcode}; another one replaces it")
        self._start(number)

    def _start(self, number: int) -> None:
        device = self.devices[number % len(self.devices)] if self.devices else None
        process = _fresh_processes().Process(
            target=_run_worker,
            args=(self.work, number, dict(os.environ), device, self._log(number)),
            name=f"worker-{number}",
        )
        process.start()
        self._processes[number] = process

    def _log(self, number: int) -> Path:
        return self.logs / f"worker-{number}.log"


def run_jobs(
    work: Callable[..., object],
    jobs: Sequence[tuple[object, ...]],
    *,
    num_workers: int,
    devices: Sequence[str] = (),
    log: Path | None = None,
) -> Iterator[object]:
    """Runs jobs in processes like those of a pool and yields what they return, in order."""
    context = _fresh_processes()
    free = context.Queue()
    for number in range(num_workers):
        free.put(devices[number % len(devices)] if devices else None)
    with ProcessPoolExecutor(
        min(num_workers, max(1, len(jobs))),
        mp_context=context,
        initializer=_set_up_queued,
        initargs=(dict(os.environ), free, log),
    ) as pool:
        waiting = [pool.submit(work, *job) for job in jobs]
        try:
            for job in waiting:
                yield job.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                process.terminate()
            raise


def _fresh_processes() -> "ForkServerContext | SpawnContext":
    """Returns what starts processes that share neither connections nor threads with this one.

    Where the system can, they are forked from a server that does nothing but import `_LIBRARIES`,
    once for all of them.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*_LIBRARIES])
    return context


def find_devices(named: Sequence[str]) -> tuple[str, ...]:
    """Returns the GPUs to use: those named, else all that are visible to this process."""
    if named:
        return tuple(named)
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return tuple(device for device in visible.split(",") if device)
    import torch

    return tuple(map(str, range(torch.cuda.device_count())))


def _run_worker(
    work: Callable[[int], None],
    number: int,
    environment: Mapping[str, str],
    device: str | None,
    log: Path,
) -> None:
    _set_up(environment, device, log)
    try:
        work(number)
    except KeyboardInterrupt:
        print("interrupted", flush=True)


def _set_up_queued(
    environment: Mapping[str, str], free: "Queue[str | None]", log: Path | None
) -> None:
    _set_up(environment, free.get(), log)


def _set_up(environment: Mapping[str, str], device: str | None, log: Path | None) -> None:
    """Gives a fresh process the variables of its parent, a thread, a device and a log.

    It ends with its parent. Ctrl-C reaches every process of a terminal; here the parent alone
    handles it.
    """
    os.environ.clear()  # of the server, which started when the variables may have been others
    os.environ.update(environment)
    threads = int(os.environ.setdefault("OMP_NUM_THREADS", "1").split(",")[0])
    threadpool_limits(threads)  # libraries that are loaded do not read the variable again
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)
    if device is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = device
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _interrupt)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if log is not None:
        with log.open("a") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(_STOP_SECONDS)
        os._exit(1)


def _interrupt(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt
