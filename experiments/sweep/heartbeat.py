"""Who works on a trial, and whether that process still lives.

On this machine its process id tells, elsewhere a pulse in the storage, whatever the storage is.
Clocks of machines are not compared: a pulse that does not change while we watch is none.
"""

import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypedDict

import psutil

PULSE_SECONDS = 20.0
"""Between two beats of a pulse."""

GRACE_SECONDS = 120.0
"""Without a beat, after which a process on another machine is taken for dead."""


class Worker(TypedDict):
    """A process, as it is kept in the storage.

    Attributes:
        host: Machine, its start, and the space of process ids.
        pid: Process id.
        started: When it started; a process id is given again.
    """

    host: str
    pid: int
    started: float


def this_worker() -> Worker:
    """Returns this process."""
    return Worker(host=_host(), pid=os.getpid(), started=psutil.Process().create_time())


def is_dead(worker: Worker) -> bool | None:
    """Tells whether a process of this machine is dead, None for one of another machine."""
    if worker["host"] != _host():
        return None
    try:
        process = psutil.Process(worker["pid"])
        is_same = abs(process.create_time() - worker["started"]) < 1.0
        return not is_same or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


class PulseWatch:
    """Watches pulses, and tells which have stood still for too long.

    Args:
        grace_seconds: How long is too long.
    """

    def __init__(self, grace_seconds: float = GRACE_SECONDS) -> None:
        self.grace_seconds = grace_seconds
        self._seen: dict[object, tuple[object, float]] = {}

    def has_stopped(self, who: object, beat: object, grace_seconds: float | None = None) -> bool:
        """Notes a beat and tells whether it has been the same for the time of grace."""
        now = time.monotonic()
        before, since = self._seen.get(who, (None, now))
        if who not in self._seen or before != beat:
            self._seen[who] = (beat, now)
            return False
        return now - since > (self.grace_seconds if grace_seconds is None else grace_seconds)


class Pulse:
    """Beats in a thread of its own while a block runs.

    Args:
        beat: Writes a beat, given its number.
        seconds: Between two beats.
    """

    def __init__(self, beat: Callable[[int], None], seconds: float = PULSE_SECONDS) -> None:
        self._beat = beat
        self._seconds = seconds
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Pulse":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        number = 0
        while not self._ended.wait(self._seconds):
            number += 1
            try:
                self._beat(number)
            except Exception:
                continue  # the storage was away for a moment, or the trial is over


def _host() -> str:
    """Names this machine since its start, and its space of process ids."""
    parts = [socket.gethostname()]
    boot, space = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    try:
        parts += [boot.read_text().strip(), os.readlink(space)]
    except OSError:
        parts.append(str(round(psutil.boot_time())))
    return "/".join(parts)
