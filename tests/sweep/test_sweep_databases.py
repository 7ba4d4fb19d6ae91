"""Sweeps kept in PostgreSQL, and behind a gRPC server, each with two processes."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from glob import glob
from pathlib import Path

import psutil
import pytest

from experiments.sweep.server import ServerSettings
from experiments.sweep.settings import SweepSettings
from experiments.sweep.study import SweepSpec, SweepStudy
from tests.command_line import usage_error
from tests.sweeps import ROOT, make_spec, wait_for
from tests.tiny_experiment import TinyConfig

_WORKER = """
import sys
from experiments.sweep.trials import run_trials
from tests.sweep.test_sweep_databases import make_database_spec
run_trials(make_database_spec(sys.argv[1]), int(sys.argv[2]))
"""


def make_database_spec(place: str) -> SweepSpec:
    """What the workers are given; each kind of storage has a study of its own."""
    config, name = TinyConfig(pause=0.05), place.split(":")[0]
    return make_spec(name=name, trials=12, storage=place, config=config, pruner="none")


def _find_binary(name: str) -> str | None:
    found = [shutil.which(name), *sorted(glob(f"/usr/lib/postgresql/*/bin/{name}"), reverse=True)]
    return next((path for path in found if path), None)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def postgres(tmp_path_factory) -> Iterator[str]:
    """A PostgreSQL of its own in a temporary folder, and its URL."""
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    initdb, server = _find_binary("initdb"), _find_binary("postgres")
    if initdb is None or server is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    folder = tmp_path_factory.mktemp("postgres")
    data, port = folder / "data", _free_port()
    user: dict[str, str] = {}
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        user = {"user": "postgres"}
        for part in (folder, *folder.parents[:3]):
            part.chmod(0o755)
        shutil.chown(folder, "postgres")
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder}
    making = [initdb, "-D", data, "-U", "sweeper", "-A", "trust", "--no-sync"]
    subprocess.run(making, check=True, **user, **quiet)
    serving = [server, "-D", data, "-p", str(port), "-h", "127.0.0.1", "-k", folder, "-F"]
    with subprocess.Popen(serving, **user, **quiet) as process:
        try:
            wait_for(lambda: _answers(port))
            yield f"postgresql://sweeper:secret@127.0.0.1:{port}/postgres"
        finally:
            process.send_signal(signal.SIGINT)  # do not wait for idle connections


def _answers(port: int) -> bool:
    import psycopg

    try:
        psycopg.connect(f"postgresql://sweeper@127.0.0.1:{port}/postgres").close()
    except psycopg.OperationalError:
        return False
    return True


@pytest.fixture
def server(postgres, tmp_path) -> Iterator[str]:
    """The server in front of that database, and its address."""
    pytest.importorskip("grpc", reason="grpcio is not installed")
    port = _free_port()
    command = [sys.executable, "-m", "experiments.sweep.server", "--storage", postgres]
    with subprocess.Popen(
        [*command, "--port", str(port)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as process:
        assert process.stdout is not None
        assert "postgresql://sweeper:***@127.0.0.1" in process.stdout.readline()
        yield f"grpc://127.0.0.1:{port}"
        process.terminate()


def work_with_two_processes(place: str, folder: Path) -> SweepStudy:
    """Lets two processes work on a study, and one be killed in the middle and replaced."""
    study = SweepStudy.open(make_database_spec(place))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def start(number: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", _WORKER, place, str(number)]
        return subprocess.Popen(command, cwd=folder, env=environment)

    with start(0) as first, start(1) as second:
        workers = wait_for(lambda: len(found := _working(study)) == 2 and found)
        psutil.Process(first.pid).kill()
        first.wait()
        wait_for(lambda: study.give_up_dead() or second.poll() is not None)
        with start(2) as third:
            assert (second.wait(timeout=120), third.wait(timeout=120)) == (0, 0)
    assert workers == {first.pid, second.pid}
    return study


def _working(study: SweepStudy) -> set[int]:
    workers = [trial.user_attrs.get("worker") for trial in study.trials()]
    return {worker["pid"] for worker in workers if worker}


def test_two_processes_sweep_in_postgresql(postgres, tmp_path):
    counts = work_with_two_processes(postgres, tmp_path).counts()
    assert (counts.complete, counts.running, counts.waiting) == (12, 0, 0)
    assert counts.lost <= 1


def test_two_processes_sweep_through_the_server(server, postgres, tmp_path):
    counts = work_with_two_processes(server, tmp_path).counts()
    assert (counts.complete, counts.running, counts.waiting) == (12, 0, 0)
    kept = SweepStudy.open(
        make_database_spec(server)._replace(sweep=SweepSettings(storage=postgres))
    )
    assert kept.counts() == counts  # what was given to the server is in the database


def test_a_journal_cannot_be_served(capsys):
    message = usage_error(ServerSettings, ["--storage", "sweep.journal"], capsys)
    assert "--storage must be the URL of a database" in message


def test_a_sweep_of_nothing_is_refused():
    with pytest.raises(ValueError, match="--trials must be 1 or more, got 0"):
        SweepSettings(trials=0)
    with pytest.raises(ValueError, match="--top must be 0 or more, got -1"):
        SweepSettings(top=-1)
