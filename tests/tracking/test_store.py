"""The store of runs: whole or absent, opened before any work, and refused in one line."""

import re
import socket
import sqlite3
import time
from contextlib import closing
from importlib import reload

import mlflow
import pytest
import sqlalchemy
from mlflow.environment_variables import MLFLOW_DISABLE_TELEMETRY
from mlflow.store.db import utils
from mlflow.store.tracking.dbmodels.initial_models import Base as InitialBase

import experiments.framework.pretraining.command as pretraining
from experiments import pretrain_cpc, ser, tracking
from experiments.framework.commandline import explained
from experiments.framework.experiment import Experiment
from experiments.sweep import __main__ as sweep
from experiments.sweep import search
from experiments.sweep.settings import SweepSettings
from experiments.tracking import store
from experiments.tracking.store import StoreError, check_store, open_client


@pytest.fixture
def database(workplace):
    """Where the store of the folder lies; it is not there yet."""
    (workplace / "mlruns").mkdir()
    return workplace / "mlruns" / "mlflow.db"


def leave_unfinished(database):
    """Leaves what a kill after the first of the migrations leaves."""
    engine = sqlalchemy.create_engine(f"sqlite:///{database}")
    InitialBase.metadata.create_all(engine)
    engine.dispose()


def test_use_is_not_reported_to_mlflows_makers(monkeypatch):
    monkeypatch.delenv("MLFLOW_DISABLE_TELEMETRY", raising=False)
    reload(tracking)
    assert MLFLOW_DISABLE_TELEMETRY.get()


@pytest.fixture
def empty(tmp_path, monkeypatch):
    """Where an empty store is kept; it is not there yet."""
    monkeypatch.setenv("CONVERSATION_EMOTION_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / f"empty-mlflow-{mlflow.__version__}.db"


def test_the_second_store_is_a_copy_of_the_empty_first(tmp_path, database, empty, monkeypatch):
    store.prepare_database(tmp_path / "first.db")
    monkeypatch.setattr(utils, "_initialize_tables", None)  # no migration takes place
    client = open_client()
    client.create_run(client.create_experiment("works"))
    store.prepare_database(tmp_path / "third.db")
    with closing(sqlite3.connect(tmp_path / "third.db")) as connection:
        assert connection.execute("SELECT * FROM runs").fetchall() == []


@pytest.mark.parametrize("harm", ["DELETE FROM alembic_version", "DROP TABLE runs", None])
def test_an_empty_store_that_is_not_whole_is_made_anew(tmp_path, empty, harm):
    store.prepare_database(tmp_path / "first.db")
    whole = empty.read_bytes()
    if harm is None:
        empty.write_bytes(b"no database at all")
    else:
        with closing(sqlite3.connect(empty)) as connection:
            connection.execute(harm)
            connection.commit()
    store.prepare_database(tmp_path / "second.db")
    assert (tmp_path / "second.db").read_bytes()[100:] == whole[100:]  # behind its counters
    assert empty.read_bytes()[100:] == whole[100:]


def test_nothing_has_the_name_of_the_store_before_it_is_whole(database, empty, monkeypatch):
    seen = []

    def create(engine):
        real(engine)
        seen.append((database.exists(), str(engine.url.database) != str(database)))

    real = utils._initialize_tables
    monkeypatch.setattr(utils, "_initialize_tables", create)
    open_client()
    assert seen == [(False, True)]
    assert {file.name for file in database.parent.iterdir()} == {"mlflow.db", ".mlflow.db.lock"}


def test_a_store_that_a_kill_left_unfinished_is_made_anew(database, capsys):
    leave_unfinished(database)
    client = open_client()
    client.create_run(client.create_experiment("works"))
    assert f"note: {database} was left unfinished and held no run" in capsys.readouterr().out
    open_client()
    assert client.get_experiment_by_name("works") is not None
    assert capsys.readouterr().out == ""


def test_an_unfinished_store_that_holds_anything_is_never_replaced(database):
    leave_unfinished(database)
    with closing(sqlite3.connect(database)) as found, found:
        found.execute("INSERT INTO experiments (experiment_id, name) VALUES (7, 'mine')")
    store.prepare_database(database)
    with closing(sqlite3.connect(database)) as found:
        assert found.execute("SELECT name FROM experiments").fetchall() == [("mine",)]


def test_a_store_that_is_no_database_is_named_and_left_as_it_is(database):
    database.write_bytes(b"garbage" * 1000)
    with pytest.raises(StoreError, match=f"{database} .*not a database; .* move it away"):
        open_client()
    assert database.read_bytes() == b"garbage" * 1000


def test_a_store_that_another_process_holds_is_named(database, monkeypatch):
    open_client()
    monkeypatch.setattr(store, "_LOCK_SECONDS", 0.1)
    with closing(sqlite3.connect(database, isolation_level=None)) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreError, match=f"{database} .*is locked; end the process"):
            open_client()


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("http://me:secret@127.0.0.1:9", r"http://me:\*{3}@127.0.0.1:9 .*refused"),
        ("postgresql+psycopg://me:secret@127.0.0.1:9/runs", r"me:\*{3}@127.0.0.1:9/runs .*refused"),
        ("./runs", "./runs cannot be opened: .*; MLFLOW_TRACKING_URI takes a server"),
        ("file:runs", "file:runs cannot be opened: .*; MLFLOW_TRACKING_URI takes a server"),
        ("nothing://x", "nothing://x cannot be opened: .*; MLFLOW_TRACKING_URI takes a server"),
        ("sqlite:////dev/null/x.db", "/dev/null/x.db cannot be opened: .*File exists"),
    ],
)
def test_what_cannot_be_opened_is_refused_in_one_line_at_once(workplace, monkeypatch, uri, message):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    began = time.monotonic()
    with pytest.raises(SystemExit) as refusal, explained():
        open_client()
    assert time.monotonic() - began < 5
    assert re.match(f"error: .*{message}", str(refusal.value))
    assert "\n" not in str(refusal.value)
    assert "secret" not in str(refusal.value)


def test_a_server_that_takes_connections_and_never_answers_counts_as_dead(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        monkeypatch.setattr(store, "ANSWER_SECONDS", 0.3)
        with pytest.raises(StoreError, match=f"{uri} cannot be opened: .*no answer within 0.3 s"):
            open_client()


def test_no_command_works_before_its_store_is_open(workplace, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr(Experiment, "_prepare", pytest.fail)
    monkeypatch.setattr(pretraining, "find_sources", pytest.fail)
    monkeypatch.setattr(search, "prepare", pytest.fail)
    settings = ser.EXPERIMENT.settings()
    cpc = pretrain_cpc.EXPERIMENT
    for run in (
        lambda: ser.EXPERIMENT.run(settings),
        lambda: sweep.run("experiments.ser", SweepSettings(), settings),
        lambda: cpc.run(cpc.settings()),
    ):
        with pytest.raises(StoreError, match="refused"):
            run()


def test_a_store_that_cannot_be_made_is_refused_and_one_that_can_is_not_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    check_store()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "mlruns").write_text("a file")
    with pytest.raises(StoreError, match=f"cannot be made: {tmp_path / 'mlruns'} is no folder"):
        check_store()
