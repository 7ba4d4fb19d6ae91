"""Where the trials of sweeps are kept: a journal file, a database, or a server in front of one.

A journal is locked by the kernel, so that the lock ends with the process that holds it, even by
`kill -9`; a line that such a process left unfinished is cut off before the next one is added. Any
other damage, as a machine leaves behind that lost its power, is named with its line.
"""

import json
import os
import shlex
import time
import warnings
from pathlib import Path
from urllib.parse import urlsplit

import optuna
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import BaseStorage, GrpcStorageProxy, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from experiments.framework.commandline import describe_error, hide_password
from experiments.sweep.settings import GRPC_PORT

try:
    import fcntl
except ImportError:  # a system without kernel locks
    fcntl = None

JOURNAL = Path("mlruns") / "optuna.journal"
"""The journal of the current folder."""

INSTALL = "pip install 'conversation-emotion[machines]'"
"""Installs the drivers of databases and gRPC."""

_TRIES = 5
_ANSWER_SECONDS = 12.0


def open_storage(place: str | None) -> BaseStorage:
    """Opens the storage that ``--storage`` names.

    Args:
        place: A file for a journal, the URL of a database, ``grpc://HOST:PORT`` for a server in
            front of one; None is the journal of the current folder.

    Raises:
        ValueError: Its driver is not installed, it cannot be reached, or it is damaged.
    """
    if place is None or "://" not in place:
        return _open_journal(Path(place) if place else JOURNAL)
    return _open_grpc(place) if place.startswith("grpc://") else _open_database(place)


def describe(place: str | None) -> str:
    """Names a storage without the password that its URL may hold."""
    return hide_password(place) if place else str(JOURNAL)


def _open_journal(file: Path) -> JournalStorage:
    file.parent.mkdir(parents=True, exist_ok=True)
    path = str(file.resolve())
    lock = JournalFileOpenLock(path) if fcntl is None else _KernelLock(path)
    backend = JournalFileBackend(path, lock_obj=lock)
    check_journal(file)
    try:
        return JournalStorage(backend)
    except (AssertionError, LookupError, TypeError, ValueError) as error:
        raise ValueError(
            f"--storage {file}: its records contradict each other ({describe_error(error)}); "
            f"restore a copy of it, or move it away and its studies begin anew"
        ) from error


def check_journal(file: Path) -> None:
    """Looks at every line of a journal; the last one may be unfinished.

    Raises:
        ValueError: One is no record; the message says which, and how to keep those before it.
    """
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if line.endswith(b"\n") and not _is_record(line):
                content = f"{len(line)} bytes that begin with {line[:8]!r}"
                whole, kept = (shlex.quote(f"{file}{end}") for end in ("", ".kept"))
                raise ValueError(
                    f"--storage {file}: line {number} is damaged ({content}), as by a loss of "
                    f"power; `head -n {number - 1} {whole} > {kept} && mv {kept} {whole}` keeps "
                    f"the {number - 1} records before it, or move the file away to begin anew"
                )


def _is_record(line: bytes) -> bool:
    try:
        record = json.loads(line.decode())
    except ValueError:
        return False
    return isinstance(record, dict) and {"op_code", "worker_id"} <= record.keys()


def _open_grpc(place: str) -> GrpcStorageProxy:
    parts = urlsplit(place)
    host, port = parts.hostname or "127.0.0.1", parts.port or GRPC_PORT
    try:
        with warnings.catch_warnings(action="ignore", category=ExperimentalWarning):
            proxy = GrpcStorageProxy(host=host, port=port)
        proxy.wait_server_ready(timeout=_ANSWER_SECONDS)
    except ImportError as error:
        raise ValueError(f"--storage {place} needs grpcio: {INSTALL}") from error
    except ConnectionError as error:
        raise ValueError(
            f"--storage {place}: nothing answers there; start the server with "
            "python -m experiments.sweep.server --storage URL_OF_A_DATABASE"
        ) from error
    return proxy


def _open_database(place: str) -> BaseStorage:
    """Opens a database; its tables may be created by another process at the same moment."""
    url = place.replace("postgresql://", "postgresql+psycopg://", 1)
    is_server = urlsplit(url).scheme.startswith(("postgresql", "mysql"))
    waiting = {"connect_args": {"connect_timeout": int(_ANSWER_SECONDS)}} if is_server else {}
    deadline = time.monotonic() + _ANSWER_SECONDS
    for attempt in range(1, _TRIES + 1):
        try:
            # A connection for each request: trials are long, and databases take few of them.
            return optuna.storages.get_storage(
                RDBStorage(url, engine_kwargs={"poolclass": NullPool, **waiting})
            )
        except ImportError as error:
            raise ValueError(
                f"--storage {describe(place)} needs a driver: for PostgreSQL, {INSTALL}"
            ) from error
        except (SQLAlchemyError, StorageInternalError, RuntimeError) as error:
            if attempt == _TRIES or time.monotonic() >= deadline:
                raise ValueError(
                    f"--storage {describe(place)} cannot be opened: {describe_error(error)}"
                ) from error
            time.sleep(0.2 * attempt)
    raise AssertionError("unreachable")


class _KernelLock(JournalFileOpenLock):
    """A lock that the kernel releases with its process, on a journal whose last line is whole."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._path = path
        self._held: int | None = None

    def acquire(self) -> bool:
        assert fcntl is not None
        held = os.open(self._path + ".lock", os.O_CREAT | os.O_RDWR, 0o666)
        fcntl.flock(held, fcntl.LOCK_EX)
        self._held = held
        _cut_torn_line(self._path)
        return True

    def release(self) -> None:
        if self._held is not None:
            os.close(self._held)
            self._held = None


def _cut_torn_line(path: str) -> None:
    """Cuts off a last line that a killed process did not finish."""
    with open(path, "rb+") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 1))
        if file.read(1) in (b"\n", b""):
            return
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)
