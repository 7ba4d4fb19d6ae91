"""Reads hostile files in a process that may crash, hang, or ask for too much, and judges the end.

A file ends well in a result, or refused in one sentence that names it, as the commands print it. A
finding is all else: an error of a library, a crash, a hang, memory, a program that was started.
"""

import contextlib
import importlib
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal, NamedTuple

import psutil

from tests import processes

MOST_SECONDS = 10.0
"""Of processor time, which other work on the machine does not lengthen."""

_MOST_WAITED = 90.0  # seconds without an end, whatever the process does

MOST_MEGABYTES = 2048.0

_ADDRESSES = 5 << 30  # bytes that a file may ask for beyond what is there before it is read

_FORBIDDEN = (
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
    "subprocess.Popen",
    "socket.connect",
)
"""Events of the interpreter that no file may cause."""


class Outcome(NamedTuple):
    """How the reading of a file ended; ``megabytes`` is the most memory beyond what was there."""

    end: Literal["result", "refused", "finding"]
    message: str
    seconds: float
    megabytes: float


class Reader:
    """A process that reads one file after the other; after a crash or a hang, another one.

    Args:
        room: Module whose functions read files, named by what they read.
    """

    def __init__(self, room: str) -> None:
        self._room = room
        self._start()

    def _start(self) -> None:
        self._pipe, theirs = processes.CONTEXT.Pipe()
        self._process = processes.CONTEXT.Process(
            target=_serve, args=(self._room, theirs), daemon=True
        )
        self._process.start()
        theirs.close()
        self._pipe.recv()  # when all is imported

    def read(self, kind: str, file: Path, root: Path) -> Outcome:
        """Reads a file of a kind, which may lie deep in a folder of its own, the root."""
        handle = psutil.Process(self._process.pid)
        began, waited = _processor_time(handle), time.monotonic()
        self._pipe.send((kind, file, root))
        with contextlib.suppress(EOFError, ConnectionResetError):
            while not self._pipe.poll(0.25):
                used = _processor_time(handle) - began
                if used > MOST_SECONDS or time.monotonic() - waited > _MOST_WAITED:
                    self._process.kill()
                    return self._replace(f"hangs: no end after {used:.0f} s", used)
            return self._pipe.recv()
        self._process.join()
        return self._replace(f"crashes: the process ends with {self._process.exitcode}", 0.0)

    def _replace(self, message: str, seconds: float) -> Outcome:
        self.close()
        self._start()
        return Outcome("finding", message, seconds, 0.0)

    def close(self) -> None:
        """Ends the process."""
        self._pipe.close()
        self._process.kill()
        self._process.join()


def _processor_time(process: psutil.Process) -> float:
    with contextlib.suppress(psutil.Error):
        times = process.cpu_times()
        return times.user + times.system
    return 0.0


def _serve(room: str, pipe: Connection) -> None:
    """Reads files until nobody asks for more."""
    log = tempfile.TemporaryFile()  # noqa: SIM115
    for stream in (1, 2):
        os.dup2(log.fileno(), stream)
    readers = vars(importlib.import_module(room))
    caused: list[str] = []
    sys.addaudithook(lambda event, _: caused.append(event) if event in _FORBIDDEN else None)
    most = psutil.Process().memory_info().vms + _ADDRESSES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    pipe.send("ready")
    with contextlib.suppress(EOFError):
        while True:
            kind, file, root = pipe.recv()
            caused.clear()
            log.truncate(0)
            outcome = _read(readers[kind], file, root)
            sys.stdout.flush()
            log.seek(0)
            if caused:
                outcome = outcome._replace(end="finding", message=f"caused {', '.join(caused)}")
            elif b"Traceback (most recent" in log.read():
                outcome = outcome._replace(end="finding", message="prints a traceback")
            pipe.send(outcome)


def _read(reader: Callable[[Path], object], file: Path, root: Path) -> Outcome:
    Path("/proc/self/clear_refs").write_text("5")  # the highest memory counts from here
    before, began = _status("VmRSS"), time.process_time()
    end, message = "result", ""
    try:
        reader(file)
    except BaseException as error:  # also what is no Exception, such as panics of Rust
        end, message = _judge(error, file, root)
    seconds, megabytes = time.process_time() - began, _status("VmHWM") - before
    if megabytes > MOST_MEGABYTES:
        end, message = "finding", f"takes {megabytes:.0f} MB"
    if seconds > MOST_SECONDS:
        end, message = "finding", f"takes {seconds:.1f} s"
    return Outcome(end, message, seconds, max(megabytes, 0.0))


def _status(name: str) -> float:
    """Returns a size of this process in megabytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) / 1024


def _judge(
    error: BaseException, file: Path, root: Path
) -> tuple[Literal["refused", "finding"], str]:
    """Judges an error by the line that the commands would print of it."""
    from experiments.framework.commandline import explain_error

    line, kind = explain_error(error), type(error).__name__
    if line.startswith(f"{kind}:") or line == kind:
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        place = "" if trace is None else f" ({trace.tb_frame.f_code.co_filename}:{trace.tb_lineno})"
        return "finding", f"no sentence: {line[:300]}{place}"
    if file.name not in line and str(root) not in line:
        return "finding", f"does not name the file: {line[:300]}"
    if any(word in line for word in ("MemoryError", "annot allocate memory", "can't allocate")):
        return "finding", f"asks for too much memory: {line[:300]}"
    return "refused", line
