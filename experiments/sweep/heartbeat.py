"""Which process works on a trial, and whether it is still alive.

On this machine the process id answers that, elsewhere a heartbeat in the storage, whatever the
storage is. Clocks of machines are not compared: a heartbeat that does not change while this process
watches has stopped.
"""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

import psutil

HEARTBEAT_SECONDS = 20.0
"""Between two heartbeats."""

GRACE_SECONDS = 120.0
"""Without a heartbeat, after which a process on another machine is taken for dead."""


class Worker(TypedDict):
    """A process, as it is kept in the storage: also when it started, since ids are given again."""

    host: str
    pid: int
    started: float


def this_worker() -> Worker:
    """Returns this process."""
    return Worker(host=_host(), pid=os.getpid(), started=psutil.Process().create_time())


def is_dead(worker: Worker) -> bool | None:
    """Returns whether a process of this machine is dead, None for one of another machine."""
    if worker["host"] != _host():
        return None
    try:
        process = psutil.Process(worker["pid"])
        is_same = abs(process.create_time() - worker["started"]) < 1.0
        return not is_same or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@dataclass(eq=False)
class HeartbeatWatch:
    """Detects heartbeats that have stayed the same for a grace period."""

    grace_seconds: float = GRACE_SECONDS
    _seen: dict[object, tuple[object, float]] = field(default_factory=dict)

    def has_stopped(self, who: object, heartbeat: object, grace: float | None = None) -> bool:
        """Notes a heartbeat and returns whether it has been the same for the grace period."""
        now = time.monotonic()
        before, since = self._seen.setdefault(who, (heartbeat, now))
        if before != heartbeat:
            self._seen[who] = (heartbeat, now)
            return False
        return now - since > (self.grace_seconds if grace is None else grace)


@contextmanager
def send_heartbeats(
    write: Callable[[int], None], seconds: float = HEARTBEAT_SECONDS
) -> Iterator[None]:
    """Has heartbeats written, by their number, from a thread of its own while a block runs."""
    ended = threading.Event()

    def run() -> None:
        number = 0
        while not ended.wait(seconds):
            number += 1
            with suppress(Exception):  # the storage was away for a moment, or the trial is over
                write(number)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _host() -> str:
    """Names this machine since its boot, and its namespace of process ids."""
    parts = [socket.gethostname()]
    boot, namespace = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    try:
        parts += [boot.read_text().strip(), os.readlink(namespace)]
    except OSError:
        parts.append(str(round(psutil.boot_time())))
    return "/".join(parts)
