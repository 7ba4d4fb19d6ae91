"""Commands in processes of their own, forked from one that has imported the libraries.

What a command takes to start, the import of PyTorch, MLflow and transformers, is paid once by all
tests of a session, and so is that of the workers of a command, which are forked from that process
too. All else is as in a process that a shell starts: modules of the project are imported by the
command, and memory, signals and exit are its own.
"""

import json
import multiprocessing
import os
import runpy
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from multiprocessing import forkserver
from pathlib import Path
from typing import Self

CONTEXT = multiprocessing.get_context("forkserver")
"""Makes processes that are forked from the one with the libraries."""

CONTEXT.set_forkserver_preload(
    [
        "accelerate",
        "matplotlib.pyplot",
        "mlflow.artifacts",
        "mlflow.store.db.utils",
        "mlflow.store.tracking.sqlalchemy_store",
        "optuna.visualization.matplotlib",
        "pandas",
        "sklearn.ensemble",
        "sklearn.model_selection",
        "torch._dynamo",
        "torch.distributed.tensor",
        "torchaudio",
        "transformers.modeling_utils",
    ]
)

_SERVER = forkserver._forkserver
_ADDRESS = ("_forkserver_address", "_forkserver_authkey")
_SHARED = "TESTS_FORKSERVER"


def share_forkserver() -> None:
    """Starts the process that all others of a parallel session fork theirs from."""
    _SERVER.ensure_running()
    os.environ[_SHARED] = json.dumps(_find_address())


def join_forkserver() -> None:
    """Takes the process that the session shares, if it shares one."""
    if address := os.environ.get(_SHARED):
        _use(json.loads(address))


def fork(function: Callable[..., None], *given: object) -> int | None:
    """Runs a function in a process of its own and returns how it ended."""
    _SERVER.ensure_running()
    process = CONTEXT.Process(target=function, args=given)
    process.start()
    process.join()
    return process.exitcode


def _find_address() -> dict[str, str]:
    found = vars(_SERVER)
    return {name: os.fsencode(found[name]).hex() for name in _ADDRESS if name in found}


def _use(address: Mapping[str, str]) -> None:
    known: dict[str, object] = {name: bytes.fromhex(text) for name, text in address.items()}
    if vars(_SERVER).get("_forkserver_alive_fd") is None:
        known["_forkserver_alive_fd"] = os.open(os.devnull, os.O_WRONLY)  # it lives without us
    vars(_SERVER).update(known, ensure_running=lambda: None)


def free_port() -> int:
    """Returns a port that no process of this machine uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Command:
    """A command as ``python -m MODULE`` or ``python SCRIPT.py`` starts it.

    Args:
        program: A module, or the path of a script.
        arguments: Of the command line.
        folder: Where it runs.
        environment: Variables that this process does not have.
        printed: File to which it appends what it prints.
    """

    def __init__(
        self,
        program: str | Path,
        *arguments: str,
        folder: Path,
        environment: Mapping[str, str] | None = None,
        printed: Path | None = None,
    ) -> None:
        variables = {**os.environ, **(environment or {})}
        _SERVER.ensure_running()
        self._process = CONTEXT.Process(
            target=_run,
            args=(_find_address(), program, arguments, folder, variables, printed or os.devnull),
        )
        self._process.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error: object, *more: object) -> None:
        """Waits for its end; a test that fails does not."""
        if error is not None:
            self.send_signal(signal.SIGKILL)
        self.wait()

    @property
    def pid(self) -> int:
        """Returns its id."""
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """Returns how it ended, by a signal as its negative number; None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int | None:
        """Waits for its end, at most so many seconds."""
        self._process.join(timeout)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Sends a signal, unless it has ended."""
        if self.returncode is None:
            os.kill(self.pid, number)


def _run(
    address: Mapping[str, str],
    program: str | Path,
    arguments: tuple[str, ...],
    folder: Path,
    environment: Mapping[str, str],
    printed: str | Path,
) -> None:
    _use(address)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background ignores it
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    with open(printed, "a") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    sys.argv = [str(program), *arguments]
    if isinstance(program, Path):
        runpy.run_path(str(program), run_name="__main__")
    else:
        runpy.run_module(program, run_name="__main__", alter_sys=True)
