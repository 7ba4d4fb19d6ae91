"""The store of runs: found, created whole or not at all, and opened before any work begins.

It is ``MLFLOW_TRACKING_URI``, else ``mlruns/mlflow.db`` of the current folder. MLflow creates a
database by some seventy migrations, and one that was killed between two of them can be opened
never again; a new database is therefore made under another name and renamed once it is whole. An
empty one is kept with the features, of which all others are copies: the migrations take seconds.
"""

import logging
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import cache, partial
from pathlib import Path
from urllib.parse import urlsplit

import sqlalchemy
from mlflow import MlflowClient
from mlflow.store.db import utils
from mlflow.store.db.db_types import DATABASE_ENGINES
from mlflow.version import VERSION
from sqlalchemy.exc import ArgumentError

from conversation_emotion.settings.cache import cache_folder
from experiments.framework.commandline import describe_error, hide_password

try:
    import fcntl
except ImportError:  # a system without kernel locks
    fcntl = None

ANSWER_SECONDS = 12.0
"""A server that does not answer for so long counts as dead."""

_LOCK_SECONDS = 20.0
_FORGOTTEN_SECONDS = 3600.0  # after which a database that was being made is nobody's


class StoreError(OSError):
    """The store of runs cannot be opened."""


def tracking_uri() -> str:
    """Returns ``MLFLOW_TRACKING_URI`` or a database under ``mlruns/`` of the current folder."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{Path.cwd() / 'mlruns/mlflow.db'}"


def find_store() -> str:
    """Returns the store to read from; unlike that of `tracking_uri` it has to be there.

    Raises:
        FileNotFoundError: No experiment has run here yet.
    """
    store = tracking_uri()
    file = _find_database(store)
    if file is not None and not file.is_file():
        raise FileNotFoundError(
            f"no runs yet: there is no {file}; make the first with python -m experiments.epc, or "
            "go to the folder in which experiments were run"
        )
    return store


def open_client() -> MlflowClient:
    """Opens the store, makes it if it is a database file that is not there, and asks it something.

    Raises:
        StoreError: It is damaged, locked, not to be written, of no known kind, or does not answer.
    """
    uri = tracking_uri()
    try:
        file = _find_database(uri)
        if file is not None:
            prepare_database(file)
        else:
            answer_within(ANSWER_SECONDS, partial(_knock, uri))
        client = MlflowClient(tracking_uri=uri)
        client.search_experiments(max_results=1)
    except StoreError:
        raise
    except Exception as error:
        raise StoreError(
            f"the tracking store {hide_password(uri)} cannot be opened: {describe_error(error)}; "
            "MLFLOW_TRACKING_URI takes a server that runs (http://HOST:PORT) or a database "
            "(sqlite:///FILE); without it, runs are kept in mlruns/ of the current folder"
        ) from error
    return client


def check_store() -> None:
    """Opens the store, or checks that a database file that is not there can be made.

    So a command that ends before its first run leaves nothing behind.

    Raises:
        StoreError: As for `open_client`.
    """
    file = _find_database(tracking_uri())
    if file is None or file.exists():
        open_client()
        return
    place = next(folder for folder in file.absolute().parents if folder.exists())
    if not (place.is_dir() and os.access(place, os.W_OK)):
        reason = "cannot be written" if place.is_dir() else "is no folder"
        raise StoreError(f"the tracking store {file} cannot be made: {place} {reason}")


def answer_within(seconds: float, ask: Callable[[], object]) -> None:
    """Waits for a call, in a thread that ends with the process if it never returns.

    Raises:
        TimeoutError: It did not return in time.
    """
    answers: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()

    def run() -> None:
        try:
            ask()
        except Exception as error:
            answers.put(error)
        else:
            answers.put(None)

    threading.Thread(target=run, daemon=True).start()
    try:
        error = answers.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError(f"no answer within {seconds:g} s") from None
    if error is not None:
        raise error


def prepare_database(file: Path) -> None:
    """Makes sure that a file is a whole database of MLflow that can be written.

    Raises:
        StoreError: It is no database, damaged, locked, or cannot be written.
    """
    if file.exists() and not _is_unfinished(file):
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    with _lock(file.with_name(f".{file.name}.lock")):
        if not file.exists():
            _create(file)
        elif _is_unfinished(file):
            print(f"note: {file} was left unfinished and held no run; it is made anew", flush=True)
            _create(file)


def _is_unfinished(file: Path) -> bool:
    """Returns whether a process was killed while it created a database, which holds nothing."""
    try:
        with closing(sqlite3.connect(file, timeout=_LOCK_SECONDS)) as connection:
            connection.execute("BEGIN IMMEDIATE")  # it can be written, and a torn write is undone
            query = "SELECT name FROM sqlite_master WHERE type = 'table'"
            tables = {name for (name,) in connection.execute(query)}
            revisions = (
                {revision for (revision,) in connection.execute("SELECT * FROM alembic_version")}
                if "alembic_version" in tables
                else set()
            )
            is_whole = revisions == {_newest_revision()}
            return not is_whole and not any(
                connection.execute(f'SELECT 1 FROM "{name}" LIMIT 1').fetchone()
                for name in tables - {"alembic_version"}
            )
    except sqlite3.Error as error:
        is_damaged = not isinstance(error, sqlite3.OperationalError)
        remedy = (
            "restore a copy of it, or move it away: the next command then makes a new one"
            if is_damaged
            else "end the process that holds it, or make file and folder writable"
        )
        raise StoreError(f"the tracking store {file} cannot be used: {error}; {remedy}") from error


def _create(file: Path) -> None:
    """Creates a database under another name and renames it; a kill leaves the old file or none."""
    for left in file.parent.glob(f".{file.name}.*.partial*"):
        if time.time() - left.stat().st_mtime > _FORGOTTEN_SECONDS:
            left.unlink(missing_ok=True)
    unfinished = file.with_name(f".{file.name}.{os.getpid()}.partial")
    unfinished.unlink(missing_ok=True)  # of a process that had our id
    empty = cache_folder() / f"empty-mlflow-{VERSION}.db"
    try:
        if not _copy_empty(empty, unfinished):
            _initialise(unfinished)
            _keep_empty(unfinished, empty)
        os.replace(unfinished, file)
    finally:
        unfinished.unlink(missing_ok=True)


def _initialise(file: Path) -> None:
    logging.getLogger("alembic").setLevel(logging.WARNING)
    engine = sqlalchemy.create_engine(sqlalchemy.URL.create("sqlite", database=str(file)))
    try:
        utils._initialize_tables(engine)
    finally:
        engine.dispose()


def _copy_empty(empty: Path, target: Path) -> bool:
    """Copies the empty database that is kept, if it is whole and of the installed MLflow."""
    try:
        _copy(empty, target)
        with closing(sqlite3.connect(target)) as connection:
            is_whole = connection.execute("PRAGMA quick_check").fetchall() == [("ok",)]
            revisions = connection.execute("SELECT * FROM alembic_version").fetchall()
            runs = connection.execute("SELECT 1 FROM runs LIMIT 1").fetchall()
    except (OSError, sqlite3.Error):
        is_whole, revisions, runs = False, [], []
    if is_whole and not runs and revisions == [(_newest_revision(),)]:
        return True
    target.unlink(missing_ok=True)
    return False


def _copy(source: Path, target: Path) -> None:
    """Copies a database to the disk, which copies of files may only reach later."""
    reading = sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)
    with closing(reading), closing(sqlite3.connect(target)) as writing:
        reading.backup(writing)


def _keep_empty(whole: Path, empty: Path) -> None:
    """Keeps a copy of a new database, where the cache can be written."""
    copy = empty.with_name(f".{empty.name}.{os.getpid()}.partial")
    try:
        with suppress(OSError, sqlite3.Error):
            empty.parent.mkdir(parents=True, exist_ok=True)
            _copy(whole, copy)
            os.replace(copy, empty)
    finally:
        with suppress(OSError):
            copy.unlink(missing_ok=True)


@contextmanager
def _lock(file: Path) -> Iterator[None]:
    """Keeps other processes out of a block; the kernel ends the lock with the process."""
    with file.open("w") as held:
        if fcntl is not None:
            fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _find_database(uri: str) -> Path | None:
    """Returns the file of an SQLite database, None for a store of another kind."""
    try:
        url = sqlalchemy.make_url(uri)
    except ArgumentError:
        return None
    is_file = url.get_backend_name() == "sqlite" and url.database not in (None, "", ":memory:")
    return Path(str(url.database)) if is_file else None


def _knock(uri: str) -> None:
    """Asks a server once, where MLflow itself would try for minutes."""
    scheme = urlsplit(uri).scheme.partition("+")[0]
    if scheme in DATABASE_ENGINES:
        with closing(sqlalchemy.create_engine(uri).connect()):
            pass
    elif scheme in ("http", "https"):
        with _environment(MLFLOW_HTTP_REQUEST_MAX_RETRIES="0"):
            MlflowClient(tracking_uri=uri).search_experiments(max_results=1)


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


@cache
def _newest_revision() -> str:
    """Returns the revision of the tables that the installed MLflow makes."""
    return utils._get_latest_schema_revision()
