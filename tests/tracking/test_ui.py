"""The command that opens MLflow's pages: the right store, this computer only, and a clean end."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from experiments import ui
from experiments.tracking import runs, server
from experiments.tracking.runs import find_experiment
from experiments.tracking.store import open_client, tracking_uri
from tests.command_line import usage_error
from tests.processes import Command
from tests.sweeps import wait_for


def test_without_a_store_it_says_how_to_make_one(workplace):
    message = f"no {re.escape(str(workplace))}/mlruns/mlflow.db; .*python -m experiments.epc"
    with pytest.raises(FileNotFoundError, match=message):
        ui.run(ui.UISettings())
    assert list(workplace.iterdir()) == []


def test_a_server_as_store_has_pages_of_its_own(workplace, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking:5000")
    with pytest.raises(ValueError, match="is a server: open http://tracking:5000 in a browser"):
        ui.run(ui.UISettings())


def make_store(folder: Path) -> None:
    (folder / "mlruns").mkdir()
    (folder / "mlruns" / "mlflow.db").touch()


def test_a_port_that_is_taken_is_refused_if_named_and_avoided_if_not(workplace, monkeypatch):
    make_store(workplace)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"--port {port} of 127.0.0.1 is taken"):
            ui.run(ui.UISettings(port=port))
        monkeypatch.setattr(server, "USUAL_PORT", port)
        monkeypatch.setattr(subprocess, "Popen", NeverStarts)
        with pytest.raises(NeverStarts.Asked) as asked:
            ui.run(ui.UISettings())
    command = asked.value.args[0]
    assert command[command.index("--port") + 1] != str(port)
    assert command[command.index("--host") + 1] == "127.0.0.1"
    assert command[command.index("--backend-store-uri") + 1] == tracking_uri()


class NeverStarts:
    """Instead of a process: tells how it was asked for."""

    class Asked(Exception):  # noqa: N818
        pass

    def __init__(self, command: list[str], **more: object) -> None:
        raise self.Asked(command)


def test_a_server_that_does_not_start_shows_the_end_of_its_log(workplace, monkeypatch):
    make_store(workplace)
    broken = [sys.executable, "-c", "raise SystemExit('the database is broken')"]
    monkeypatch.setattr(server, "write_command", lambda *settings: broken)
    with pytest.raises(OSError, match="does not answer at http://127.0.0.1:(.|\n)*is broken"):
        ui.run(ui.UISettings())


def test_it_tells_where_the_trials_of_the_newest_sweep_are_compared(workplace):
    client = open_client()
    older, sweep = find_experiment(client, "epc"), find_experiment(client, "sweep-epc")
    parent = client.create_run(sweep, start_time=2, tags={"sweep": "parent"}).info.run_id
    tags = {"command": "python -m experiments.epc", "tested_for": "the sweep"}
    client.create_run(older, start_time=9, tags=tags)
    client.create_run(older, start_time=1, tags={"command": "an older one, which was killed"})
    trials = [
        client.create_run(sweep, start_time=3 + n, tags={MLFLOW_PARENT_RUN_ID: parent}).info.run_id
        for n in range(3)
    ]
    for number, trial in enumerate(trials[:2]):
        client.log_metric(trial, "valid/uar", 0.5 + 0.1 * number)
        client.log_param(trial, "dialogue_model", ["single", "hierarchical"][number])
        client.log_param(trial, "fusion", ["early", "late"][number])
        client.set_terminated(trial)
    table, charts = ui.find_places(ui.UISettings())
    assert (table.what, charts.what) == ("runs of sweep-epc", "2 of them compared")
    for place in (table, charts):
        address = urlsplit(urlsplit(place.path).fragment)
        assert address.path == f"/experiments/{sweep}/runs"
        query = parse_qs(address.query)
        assert query["workflowType"] == ["machine_learning"]
        (view,) = query["viewStateShareKey"]
    tags = client.get_experiment(sweep).tags
    shown = json.loads(tags[f"mlflow.sharedViewState.{view}"])
    assert parent in shown["searchFilter"]
    ranked = client.search_runs(
        [sweep], shown["searchFilter"], order_by=["metrics.`valid/uar` DESC"]
    )
    assert [run.info.run_id for run in ranked] == [trials[1], trials[0]]  # the third did not finish
    assert shown["orderByKey"] == "metrics.`valid/uar`"
    assert shown["compareRunCharts"][0]["selectedParams"] == ["fusion", "dialogue_model"]


def test_the_runs_of_a_command_are_shown_by_name_with_few_columns(workplace):
    client = open_client()
    experiment = find_experiment(client, "epc")
    for number in range(3):
        run = client.create_run(experiment, tags={"command": "python -m experiments.epc"})
        for name in range(20):
            client.log_param(run.info.run_id, f"setting{name}", number)
        client.log_metric(run.info.run_id, "test/uar", 0.5 + 0.1 * number)
        client.set_terminated(run.info.run_id)
    ui.find_places(ui.UISettings())
    tags = client.get_experiment(experiment).tags
    (view,) = (json.loads(text) for name, text in tags.items() if "sharedViewState" in name)
    assert len(client.search_runs([experiment], view["searchFilter"])) == 3
    assert view["orderByKey"] == "metrics.`test/uar`"
    assert len(view["selectedColumns"]) == 13
    with pytest.raises(ValueError, match="up to 50 runs are compared by name, got 51"):
        ui.find_places(ui.UISettings(runs=tuple(map(str, range(51)))))


def test_runs_of_several_experiments_are_compared_by_their_ids(workplace):
    client = open_client()
    found = [client.create_run(find_experiment(client, name)).info for name in ("epc", "ser")]
    (place,) = ui.find_places(ui.UISettings(runs=tuple(str(run.run_id) for run in found)))
    query = parse_qs(urlsplit(urlsplit(place.path).fragment).query)
    assert json.loads(query["runs"][0]) == [run.run_id for run in found]


def test_without_a_run_it_says_so(workplace):
    open_client()
    assert ui.find_places(ui.UISettings()) == [("MLflow's pages, without a run yet", "")]


@pytest.mark.parametrize("port", ["0", "65536"])
def test_a_port_that_does_not_exist_is_a_usage_error(port, capsys):
    message = f"--port must lie between 1 and 65535, got {port}"
    assert message in usage_error(ui.UISettings, ["--port", port], capsys)


def find_processes(session: int) -> list[str]:
    """Commands of the processes whose environment shows that a session started them."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"UI_TEST={session}\0".encode() in (folder / "environ").read_bytes() + b"\0":
                found.append((folder / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return [command for command in found if command]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes are listed in /proc")
def test_it_serves_the_store_and_leaves_no_process_behind(workplace):
    with runs.open_run("served", ui.UISettings(), "data"):
        pass
    printed = workplace / "printed.txt"
    with Command(
        "experiments.ui",
        folder=workplace,
        environment={"UI_TEST": str(os.getpid())},
        printed=printed,
    ) as command:
        [address] = wait_for(
            lambda: printed.exists() and re.findall(r"http://127\.0\.0\.1:\d+", printed.read_text())
        )
        found = urllib.request.urlopen(
            urllib.request.Request(
                f"{address}/api/2.0/mlflow/experiments/get-by-name?experiment_name=served"
            )
        )
        assert b'"served"' in found.read()
        assert len(find_processes(os.getpid())) >= 1
        command.send_signal(signal.SIGINT)
        assert command.wait(30) == 0
    assert "ended" in printed.read_text()
    deadline = time.monotonic() + 5
    while find_processes(os.getpid()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert find_processes(os.getpid()) == []
