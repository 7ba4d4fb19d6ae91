"""Sweeps kept in PostgreSQL, and behind a gRPC server, each with two processes."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from glob import glob
from pathlib import Path

import pytest

from experiments.sweep.server import ServerSettings
from experiments.sweep.settings import SweepSettings
from experiments.sweep.study import SweepSpec, SweepStudy
from tests.command_line import usage_error
from tests.processes import Command, free_port
from tests.sweeps import make_spec, wait_for
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


@pytest.fixture(scope="module")
def postgres(tmp_path_factory) -> Iterator[str]:
    """A PostgreSQL of its own in a temporary folder, and its URL."""
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    initdb, server = _find_binary("initdb"), _find_binary("postgres")
    if initdb is None or server is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    folder = tmp_path_factory.mktemp("postgres")
    data, port = folder / "data", free_port()
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
    port, printed = free_port(), tmp_path / "printed.txt"
    flags = ["--storage", postgres, "--port", str(port)]
    with Command("experiments.sweep.server", *flags, folder=tmp_path, printed=printed) as process:
        wait_for(lambda: printed.exists() and printed.read_text().count("\n"))
        assert "postgresql://sweeper:***@127.0.0.1" in printed.read_text().splitlines()[0]
        yield f"grpc://127.0.0.1:{port}"
        process.send_signal(signal.SIGTERM)


def work_with_two_processes(place: str, folder: Path) -> SweepStudy:
    """Lets two processes work on a study, and one be killed in the middle and replaced."""
    study = SweepStudy.open(make_database_spec(place))
    script = folder / "worker.py"
    script.write_text(_WORKER)

    def start(number: int) -> Command:
        return Command(script, place, str(number), folder=folder)

    with start(0) as first, start(1) as second:
        workers = wait_for(lambda: len(found := _working(study)) == 2 and found)
        first.send_signal(signal.SIGKILL)
        first.wait()
        wait_for(lambda: study.give_up_dead() or second.returncode is not None)
        with start(2) as third:
            assert (second.wait(timeout=300), third.wait(timeout=300)) == (0, 0)
    assert workers == {first.pid, second.pid}
    return study


def _working(study: SweepStudy) -> set[int]:
    workers = [trial.user_attrs.get("worker") for trial in study.trials()]
    return {worker["pid"] for worker in workers if worker}


@pytest.mark.faults
def test_two_processes_sweep_in_postgresql(postgres, tmp_path):
    counts = work_with_two_processes(postgres, tmp_path).counts()
    assert (counts.complete, counts.running, counts.waiting) == (12, 0, 0)
    assert counts.lost <= 1


@pytest.mark.faults
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
