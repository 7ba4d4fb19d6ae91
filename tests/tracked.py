"""What the tracking of a folder holds, and runs that the tests of a module share."""

import fcntl
import io
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.store.db import utils
from sqlalchemy import Engine, create_engine, event

from experiments.framework.experiment import Experiment
from experiments.tracking.store import tracking_uri

_create_tables = utils._initialize_tables


def _copy_tables(engine: Engine) -> None:
    """Copies the tables of a new store, whose migrations take seconds, from that of the session."""
    tables = Path(os.environ["TESTS_FOLDER"]) / "tables.db"
    with tables.with_suffix(".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if not tables.exists():
            unfinished = tables.with_suffix(".partial")
            _create_tables(create_engine(f"sqlite:///{unfinished}"))
            unfinished.rename(tables)
    with sqlite3.connect(tables) as source, sqlite3.connect(str(engine.url.database)) as copy:
        source.backup(copy)
    source.close()
    copy.close()


def share_tables() -> None:
    """Lets every new store of a test take its tables from the first one, and not wait.

    The revision of the tables, which each opening of a store looks up, is read once.
    """
    if utils._initialize_tables is not _copy_tables:
        utils._initialize_tables = _copy_tables
        utils._get_latest_schema_revision = cache(utils._get_latest_schema_revision)
        event.listen(Engine, "connect", _wait_for_no_disk)


def _wait_for_no_disk(connection: object, record: object) -> None:
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous = OFF")  # no test loses power


def write_empty_store(file: Path) -> None:
    """Writes a store without runs, for a process of its own that would migrate for seconds."""
    file.parent.mkdir(parents=True, exist_ok=True)
    _copy_tables(create_engine(f"sqlite:///{file}"))


class Tracked(NamedTuple):
    """The client of the store, the runs of commands, and those of their trainings."""

    client: MlflowClient
    parents: list[Run]
    children: list[Run]


class FinishedRun(NamedTuple):
    """A run of an experiment: where it ran, what it printed and tracked."""

    folder: Path
    printed: str
    tracked: Tracked


def find_runs(name: str) -> Tracked:
    """Finds the runs of an experiment in the store of the current folder."""
    client = MlflowClient(tracking_uri())
    experiment = client.get_experiment_by_name(name)
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    children = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    return Tracked(client, parents, children)


@contextmanager
def in_folder(folder: Path) -> Iterator[None]:
    """Works in a folder, with the cache that all tests of a session share."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONVERSATION_EMOTION_CACHE", f"{os.environ['TESTS_FOLDER']}/shared-cache")
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.chdir(folder)
        yield


def run_once(
    factory: pytest.TempPathFactory, experiment: Experiment[Any], settings: Any
) -> Iterator[FinishedRun]:
    """Runs an experiment in a folder of its own, for a fixture of a module."""
    folder = factory.mktemp(experiment.name)
    with in_folder(folder), redirect_stdout(io.StringIO()) as printed:
        experiment.run(settings)
        tracked = find_runs(experiment.name)
    yield FinishedRun(folder, printed.getvalue(), tracked)
