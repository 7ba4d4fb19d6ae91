"""Where the trials of sweeps are kept: a journal file, a database, or a server in front of one.

A journal is locked by the kernel, so that the lock ends with the process that holds it, even by
`kill -9`; a line that such a process left unfinished is cut off before the next one is added.
"""

import os
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
_ANSWER_SECONDS = 20.0


def open_storage(place: str | None) -> BaseStorage:
    """Opens the storage that ``--storage`` names.

    Args:
        place: A file for a journal, the URL of a database, ``grpc://HOST:PORT`` for a server in
            front of one; None is the journal of the current folder.

    Raises:
        ValueError: Its driver is not installed, or it cannot be reached.
    """
    if place is None or "://" not in place:
        return _open_journal(Path(place) if place else JOURNAL)
    return _open_grpc(place) if place.startswith("grpc://") else _open_database(place)


def describe(place: str | None) -> str:
    """Names a storage without the password that its URL may hold."""
    if place is None or "://" not in place:
        return str(Path(place) if place else JOURNAL)
    return place.replace(f":{urlsplit(place).password}@", ":***@", 1)


def _open_journal(file: Path) -> JournalStorage:
    file.parent.mkdir(parents=True, exist_ok=True)
    path = str(file.resolve())
    lock = JournalFileOpenLock(path) if fcntl is None else _KernelLock(path)
    return JournalStorage(JournalFileBackend(path, lock_obj=lock))


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
    for attempt in range(1, _TRIES + 1):
        try:
            # A connection for each request: trials are long, and databases take few of them.
            return optuna.storages.get_storage(
                RDBStorage(url, engine_kwargs={"poolclass": NullPool})
            )
        except ImportError as error:
            raise ValueError(
                f"--storage {describe(place)} needs a driver: for PostgreSQL, {INSTALL}"
            ) from error
        except (SQLAlchemyError, StorageInternalError) as error:
            if attempt == _TRIES:
                raise ValueError(
                    f"--storage {describe(place)} cannot be opened: {str(error).splitlines()[0]}"
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
