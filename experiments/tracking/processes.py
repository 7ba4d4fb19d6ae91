"""Which process a record belongs to, and whether it still runs.

Ids of processes are given again, so that a process is known by its id and when it started, on a
machine since its boot.
"""

import os
import socket
from pathlib import Path
from typing import TypedDict

import psutil


class Process(TypedDict):
    """A process, as a store keeps it."""

    host: str
    pid: int
    started: float


def this_process() -> Process:
    """Returns this process."""
    return Process(host=_host(), pid=os.getpid(), started=psutil.Process().create_time())


def is_dead(process: Process) -> bool | None:
    """Returns whether a process of this machine is dead, None for one of another machine."""
    if process["host"] != _host():
        return None
    try:
        found = psutil.Process(process["pid"])
        is_same = abs(found.create_time() - process["started"]) < 1.0
        return not is_same or found.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def is_gone(process: Process) -> bool:
    """Returns whether a process has ended, of which no heartbeat is kept.

    One of another machine counts as running; one of this machine before its last boot has ended.
    """
    dead = is_dead(process)
    if dead is not None:
        return dead
    (name, boot), (own_name, own_boot) = (
        host.split("/")[:2] for host in (process["host"], _host())
    )
    return name == own_name and boot != own_boot


def _host() -> str:
    """Names this machine since its boot, and its namespace of process ids."""
    parts = [socket.gethostname()]
    boot, namespace = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    try:
        parts += [boot.read_text().strip(), os.readlink(namespace)]
    except OSError:
        parts.append(str(round(psutil.boot_time())))
    return "/".join(parts)
