"""Where sweeps keep their trials, and what a killed process may leave there."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time

import optuna
import pytest

from experiments.sweep import storage
from experiments.sweep.storage import describe, open_storage


def test_a_torn_last_line_is_cut_off_and_the_journal_goes_on(tmp_path):
    file = tmp_path / "sweep.journal"
    study = optuna.create_study(storage=open_storage(str(file)), study_name="torn")
    study.tell(study.ask(), 1.0)
    with file.open("a") as journal:
        journal.write('{"op_code": 4, "worker')
    again = optuna.load_study(storage=open_storage(str(file)), study_name="torn")
    again.tell(again.ask(), 2.0)
    assert [json.loads(line)["op_code"] for line in file.read_text().splitlines()]
    fresh = optuna.load_study(storage=open_storage(str(file)), study_name="torn")
    assert [trial.value for trial in fresh.trials] == [1.0, 2.0]


def test_a_process_killed_while_it_holds_the_lock_holds_up_nobody(tmp_path):
    file = tmp_path / "sweep.journal"
    open_storage(str(file))
    hold = (
        "import sys, time; from experiments.sweep import storage; "
        "storage._KernelLock(sys.argv[1]).acquire(); print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(file)], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        holder.send_signal(signal.SIGKILL)
    began = time.monotonic()
    optuna.create_study(storage=open_storage(str(file)))
    assert time.monotonic() - began < 1


def _add(path: str, number: int) -> None:
    study = optuna.load_study(storage=open_storage(path), study_name="many")
    for _ in range(10):
        study.tell(study.ask(), float(number))


def test_processes_that_write_at_once_lose_nothing(tmp_path):
    path = str(tmp_path / "sweep.journal")
    study = optuna.create_study(storage=open_storage(path), study_name="many")
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_add, args=(path, number)) for number in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert sorted(trial.values[0] for trial in study.trials) == sorted([0.0, 1.0, 2.0] * 10)


def test_the_journal_of_the_folder_is_the_default(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    open_storage(None)
    assert (tmp_path / "mlruns" / "optuna.journal").is_file()


def test_without_kernel_locks_a_lock_file_is_used(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "fcntl", None)
    study = optuna.create_study(storage=open_storage(str(tmp_path / "sweep.journal")))
    study.tell(study.ask(), 1.0)
    assert study.best_value == 1.0


@pytest.mark.parametrize(
    ("place", "shown"),
    [
        (None, "mlruns/optuna.journal"),
        ("some/file.journal", "some/file.journal"),
        ("postgresql://me:secret@host:5432/sweeps", "postgresql://me:***@host:5432/sweeps"),
        ("grpc://host:13000", "grpc://host:13000"),
    ],
)
def test_a_storage_is_shown_without_its_password(place, shown):
    assert describe(place) == shown


def test_a_database_that_cannot_be_opened_says_so_without_its_password(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "_TRIES", 1)
    place = f"sqlite:///{tmp_path}/absent/sweeps.db"
    with pytest.raises(ValueError, match="absent/sweeps.db cannot be opened: .*unable to open"):
        open_storage(place)


def test_a_server_that_does_not_answer_is_named_with_the_remedy(monkeypatch):
    pytest.importorskip("grpc")
    monkeypatch.setattr(storage, "_ANSWER_SECONDS", 0.2)
    with pytest.raises(ValueError, match="grpc://127.0.0.1:1: nothing answers there; start"):
        open_storage("grpc://127.0.0.1:1")


def test_a_sqlite_database_is_a_storage_too(tmp_path):
    place = f"sqlite:///{tmp_path}/sweeps.db"
    study = optuna.create_study(storage=open_storage(place), study_name="sqlite")
    study.tell(study.ask(), 1.0)
    again = optuna.load_study(storage=open_storage(place), study_name="sqlite")
    assert again.best_value == 1.0
    assert os.path.exists(tmp_path / "sweeps.db")


@pytest.mark.parametrize(
    ("damage", "line"),
    [
        (lambda lines: [*lines, b"\0" * 300 + b"\n"], 5),  # as after a loss of power
        (lambda lines: [*lines[:2], b"\0\0\n", *lines[2:]], 3),
        (lambda lines: [lines[0], lines[1][:9] + b"\n", *lines[2:]], 2),
        (lambda lines: [*lines, b"17\n"], 5),
        (lambda lines: [*lines, b"\xff\xfe\n"], 5),
    ],
)
def test_a_damaged_journal_is_named_and_the_remedy_keeps_what_is_whole(tmp_path, damage, line):
    file = tmp_path / "my sweep.journal"
    study = optuna.create_study(storage=open_storage(str(file)), study_name="whole")
    study.tell(study.ask(), 1.0)
    lines = file.read_bytes().splitlines(keepends=True)
    lines = [*lines[:3], lines[0].replace(b"whole", b"other")]
    file.write_bytes(b"".join(damage(lines)))
    with pytest.raises(ValueError, match=f"--storage {file}: line {line} is damaged") as refusal:
        open_storage(str(file))
    subprocess.run(str(refusal.value).split("`")[1], shell=True, check=True)
    open_storage(str(file))
    assert file.read_bytes() == b"".join(lines[: line - 1])


@pytest.mark.parametrize("code", [4, 99])
def test_a_record_that_is_incomplete_or_unknown_is_named(tmp_path, code):
    file = tmp_path / "sweep.journal"
    file.write_text(f'{{"op_code": {code}, "worker_id": "x"}}\n')
    with pytest.raises(ValueError, match=f"--storage {file}: its records contradict each other"):
        open_storage(str(file))
