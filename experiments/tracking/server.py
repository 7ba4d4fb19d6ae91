"""MLflow's server as a child process: it answers before its address is shown, and ends with us."""

import errno
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple
from urllib.error import URLError

from experiments.tracking.runs import termination_as_interrupt
from experiments.tracking.store import find_store, open_client

USUAL_PORT = 5000

_PATIENCE = 180.0
"""Seconds until a server that does not answer counts as broken; a slow computer takes 20."""

_QUIET = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
"""Without the processes for jobs of language models, and without reports to MLflow's makers."""


class Pages(NamedTuple):
    """The URL of pages that can be opened, and the process that serves them."""

    address: str
    server: subprocess.Popen[bytes]


def find_own_store() -> str:
    """Returns the URI of a store whose pages this computer has to serve.

    Raises:
        FileNotFoundError: There is no store yet.
        ValueError: The store is a server that has pages of its own.
    """
    store = find_store()
    if store.startswith(("http://", "https://")):
        raise ValueError(f"MLFLOW_TRACKING_URI is a server: open {store} in a browser")
    return store


@contextmanager
def serve(host: str, port: int | None) -> Iterator[Pages]:
    """Serves the pages of the store as soon as they can be opened, until the context ends.

    Args:
        host: Address to listen on.
        port: Port to listen on; None takes the usual one or any that is free.

    Raises:
        FileNotFoundError: There is no store yet.
        OSError: The port is taken, or the server does not start.
        ValueError: The store is a server that has pages of its own.
    """
    store = find_own_store()
    open_client()  # a store that cannot be opened is refused here, and not in the server's log
    port = _choose_port(host, port)
    seen_from_here = "127.0.0.1" if host in ("0.0.0.0", "") else host
    address = f"http://{seen_from_here}:{port}"
    with tempfile.TemporaryFile("w+") as log, termination_as_interrupt(*_end_signals()):
        server = subprocess.Popen(
            write_command(store, host, port),
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **_QUIET},
            start_new_session=True,  # Ctrl-C is for us; we then end the server and its children
        )
        try:
            _wait_until_open(address, server, log)
            yield Pages(address, server)
        finally:
            _end(server)


def write_command(store: str, host: str, port: int) -> list[str]:
    """Writes the command that serves the pages of a store."""
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store]
    command += ["--host", host, "--port", str(port), "--workers", "1"]
    if store.startswith("sqlite:///"):
        uploads = Path(store.removeprefix("sqlite:///")).parent / "artifacts"
        command += ["--artifacts-destination", uploads.as_uri()]
    return command


def _choose_port(host: str, port: int | None) -> int:
    for candidate in (USUAL_PORT, 0) if port is None else (port,):
        try:
            with socket.create_server((host, candidate)) as probe:
                return int(probe.getsockname()[1])
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
    raise OSError(f"--port {port} of {host} is taken; without --port a free one is found")


def _wait_until_open(address: str, server: subprocess.Popen[bytes], log: IO[str]) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with opener.open(f"{address}/health", timeout=5):
                return
        except (URLError, ConnectionError, TimeoutError):
            time.sleep(0.2)
    log.seek(0)
    last = "".join(log.readlines()[-15:])
    raise OSError(f"MLflow's server does not answer at {address}; the end of its log:\n{last}")


def _end(server: subprocess.Popen[bytes]) -> None:
    """Ends the server and its children, politely at first."""
    for number, patience in ((signal.SIGTERM, 10.0), (signal.SIGKILL, 10.0)):
        try:
            os.killpg(server.pid, number)
        except ProcessLookupError:
            break
        try:
            server.wait(patience)
        except subprocess.TimeoutExpired:
            continue


def _end_signals() -> list[int]:
    """Returns the signals that end the server as Ctrl-C does: a polite kill, the terminal's end.

    A signal that our parent ignores, as nohup does, stays ignored; but for Ctrl-C, which shells
    ignore for whatever they start in the background.
    """
    is_ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    return [signal.SIGINT, signal.SIGTERM, *([] if is_ignored else [signal.SIGHUP])]
