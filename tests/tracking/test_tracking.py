"""Runs in MLflow: parents and children, true statuses, and resumption after a kill."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from hashlib import sha256

import pandas as pd
import psutil
import pytest
from mlflow import MlflowClient

from conversation_emotion.settings.training import RunSettings
from experiments.tracking import runs
from experiments.tracking.processes import is_gone, this_process
from experiments.tracking.store import tracking_uri


@dataclass(frozen=True)
class Inner:
    rate: float = 0.5


@dataclass(frozen=True)
class Toy:
    size: int = 3
    inner: Inner = field(default_factory=Inner)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """One database for all tests of this file: making one takes seconds."""
    folder = tmp_path_factory.mktemp("tracking")
    before = os.environ.get("MLFLOW_TRACKING_URI"), os.getcwd()
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    os.chdir(folder)
    yield folder
    os.chdir(before[1])
    if before[0] is not None:
        os.environ["MLFLOW_TRACKING_URI"] = before[0]


@pytest.fixture
def client(store):
    return MlflowClient(tracking_uri())


TABLE = pd.DataFrame({"a": [1, 2]})


def statuses(client, name: str) -> list[tuple[str, str]]:
    experiment = client.get_experiment_by_name(name)
    found = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time"])
    return [(run.info.run_name, run.info.status) for run in found]


def test_a_run_records_its_settings_scores_curves_and_tables(client, store):
    with runs.open_run("records", Toy(), "data") as parent:
        with parent.open_child("f-seed0", {"seed": 0}) as child:
            child.log_step(0, {"valid/uar": 0.25})
            child.log_step(1, {"valid/uar": 0.5})
            child.log_table(TABLE, "predictions.parquet")
        parent.log_metrics({"test/uar": 0.75})
    run = client.get_run(parent.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["size"] == "3"
    assert run.data.params["rate"] == "0.5"
    assert run.data.tags["version/torch"].startswith("2.")
    assert run.data.tags["mlflow.source.name"].startswith("experiments.records")
    assert run.data.tags["mlflow.note.content"].endswith(run.data.tags["command"])
    (used,) = run.inputs.dataset_inputs
    assert (used.dataset.name, used.dataset.digest) == ("data", sha256(b"data").hexdigest()[:16])
    assert run.data.metrics == {"test/uar": 0.75}
    curve = client.get_metric_history(child.run_id, "valid/uar")
    assert [(point.step, point.value) for point in curve] == [(0, 0.25), (1, 0.5)]
    assert client.get_run(child.run_id).data.tags["mlflow.parentRunId"] == parent.run_id
    kept = list((store / "mlruns" / "artifacts" / "records").rglob("predictions.parquet"))
    assert len(kept) == 1


def test_an_interrupted_run_is_killed_and_goes_on_where_it_stopped(client):
    with (
        pytest.raises(KeyboardInterrupt),
        runs.open_run("resumes", Toy(), "data") as parent,
    ):
        with parent.open_child("f-seed0", {}) as child:
            child.log_table(TABLE, "predictions.parquet")
        with parent.open_child("f-seed1", {}):
            raise KeyboardInterrupt
    assert [status for _, status in statuses(client, "resumes")] == ["KILLED", "FINISHED", "KILLED"]
    with runs.open_run("resumes", Toy(), "data") as resumed:
        assert resumed.run_id == parent.run_id
        done = resumed.read_finished("f-seed0", "predictions.parquet")
        assert done is not None
        pd.testing.assert_frame_equal(done, TABLE)
        assert resumed.read_finished("f-seed1", "predictions.parquet") is None
    assert client.get_run(parent.run_id).info.status == "FINISHED"


@pytest.mark.parametrize(
    ("config", "fingerprint"),
    [(Toy(size=4), "data"), (Toy(inner=Inner(0.1)), "data"), (Toy(), "x")],
)
def test_other_settings_or_data_begin_a_run_of_their_own(client, config, fingerprint):
    with pytest.raises(ValueError, match="broken"), runs.open_run("own", Toy(), "data") as one:
        raise ValueError("broken")
    with runs.open_run("own", config, fingerprint) as other:
        pass
    assert one.run_id != other.run_id
    assert client.get_run(one.run_id).info.status == "FAILED"
    assert client.get_run(one.run_id).data.tags["error"] == "ValueError: broken"


def test_a_run_goes_on_with_any_number_of_trainings_at_once(client):
    with pytest.raises(KeyboardInterrupt), runs.open_run("at once", RunSettings(), "data") as one:
        raise KeyboardInterrupt
    with runs.open_run("at once", RunSettings(workers=2), "data") as other:
        pass
    assert one.run_id == other.run_id
    assert "workers" not in client.get_run(one.run_id).data.params


@dataclass(frozen=True)
class Places:
    roots: tuple[str, ...] = tuple(f"corpus{number}=/{'long' * 20}" for number in range(60))


def test_a_run_of_many_corpora_by_nobody_names_them_within_mlflows_limit(client, monkeypatch):
    def fail() -> str:
        raise KeyError("getpwuid(): uid not found: 1234")

    monkeypatch.setattr("getpass.getuser", fail)
    with runs.open_run("many", Places(), "data") as one:
        pass
    run = client.get_run(one.run_id)
    (used,) = run.inputs.dataset_inputs
    assert used.dataset.name.startswith("corpus0 corpus1 corpus2")
    assert len(used.dataset.name) == 500
    assert run.data.tags["mlflow.user"] == "unknown"


def test_a_run_that_tests_a_setting_of_a_sweep_names_it(client):
    token = runs.TESTED_FOR.set("abc")
    with runs.open_run("tested", Toy(), "data") as one:
        pass
    runs.TESTED_FOR.reset(token)
    with runs.open_run("tested", Toy(), "data") as other:
        pass
    tags = [client.get_run(run.run_id).data.tags.get("tested_for") for run in (one, other)]
    assert tags == ["abc", None]


def test_a_finished_run_is_not_taken_up_again(client):
    with runs.open_run("again", Toy(), "data") as one:
        pass
    with runs.open_run("again", Toy(), "data") as other:
        pass
    assert one.run_id != other.run_id


DIES = """
import os, signal
from tests.tracking.test_tracking import Toy
from experiments.tracking import runs
from experiments.tracking.processes import is_gone, this_process
from experiments.tracking.store import tracking_uri
with runs.open_run("dies", Toy(), "data") as parent:
    with parent.open_child("f-seed0", {}):
        print(parent.run_id, flush=True)
        os.kill(os.getpid(), signal.SIGNAL)
"""


@pytest.mark.faults
@pytest.mark.parametrize(("signal", "left"), [("SIGKILL", "RUNNING"), ("SIGTERM", "KILLED")])
def test_a_process_that_is_killed_leaves_a_run_that_resumes(client, signal, left):
    died = subprocess.run(
        [sys.executable, "-c", DIES.replace("SIGNAL", signal).replace("dies", signal)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    run_id = died.stdout.split()[-1]
    assert died.returncode != 0
    assert {status for _, status in statuses(client, signal)} == {left}
    with runs.open_run(signal, Toy(), "data") as resumed:
        assert resumed.run_id == run_id
    assert sorted(status for _, status in statuses(client, signal)) == ["FINISHED", "KILLED"]


def test_runs_of_one_command_end_together_and_are_taken_up_together(client):
    commands = [(Toy(size=1), "data"), (Toy(size=2), "data")]
    with (
        pytest.raises(KeyboardInterrupt),
        runs.open_runs("together", commands) as (first, second),
    ):
        with first.open_child("f-seed0", {}) as child:
            child.log_table(TABLE, "predictions.parquet")
        raise KeyboardInterrupt
    assert {client.get_run(run.run_id).info.status for run in (first, second)} == {"KILLED"}
    with runs.open_runs("together", commands) as resumed:
        assert [run.run_id for run in resumed] == [first.run_id, second.run_id]
        assert resumed[0].read_finished("f-seed0", "predictions.parquet") is not None
    assert {client.get_run(run.run_id).info.status for run in resumed} == {"FINISHED"}


def test_a_living_process_keeps_its_run_and_one_with_its_id_does_not(client):
    parent = psutil.Process(os.getppid())
    other = {**this_process(), "pid": parent.pid, "started": parent.create_time()}
    with runs.open_run("alive", Toy(), "data") as one:
        client.set_tag(one.run_id, "process", json.dumps(other))
        with runs.open_run("alive", Toy(), "data") as second:
            assert second.run_id != one.run_id
        other["started"] -= 60
        client.set_tag(one.run_id, "process", json.dumps(other))
        with runs.open_run("alive", Toy(), "data") as third:
            assert third.run_id == one.run_id


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda host, boot, space: (host, boot, space), False),
        (lambda host, boot, space: (host, "earlier", space), True),
        (lambda host, boot, space: (host, boot, "container"), False),
        (lambda host, boot, space: ("elsewhere", "earlier", space), False),
    ],
)
def test_a_process_before_the_last_boot_of_this_machine_is_gone(change, expected):
    me = this_process()
    host = "/".join(change(*me["host"].split("/", 2)))
    assert is_gone({**me, "host": host}) is expected


def test_a_kill_between_the_creation_of_a_run_and_its_settings_loses_nothing(client, monkeypatch):
    def kill(*given: object) -> None:
        raise KeyboardInterrupt  # no context ends the run yet: it stays as a kill leaves it

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(runs.ParentRun, "describe", kill)
        with runs.open_run("early", Toy(), "data"):
            pass
    assert [status for _, status in statuses(client, "early")] == ["RUNNING"]
    with runs.open_run("early", Toy(), "data") as resumed:
        pass
    assert [status for _, status in statuses(client, "early")] == ["FINISHED"]
    assert client.get_run(resumed.run_id).data.params["rate"] == "0.5"
