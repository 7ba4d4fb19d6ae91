"""What MLflow's pages show where: addresses below that of its server."""

import json
from urllib.parse import urlencode

from mlflow import MlflowClient
from mlflow.entities import Run

from experiments.tracking.runs import find_children

MOST = 100
"""Runs of one comparison; more make an address that browsers cut."""


def list_runs(experiment_id: str) -> str:
    """Returns the address of the table of an experiment's runs."""
    return f"/#/experiments/{experiment_id}/runs"


def compare_runs(runs: list[Run]) -> str:
    """Returns the address of the comparison of runs."""
    ids = [str(run.info.run_id) for run in runs[:MOST]]
    experiments = sorted({str(run.info.experiment_id) for run in runs})
    shown = {"runs": json.dumps(ids), "experiments": json.dumps(experiments)}
    return f"/#/compare-runs?{urlencode(shown)}"


def find_newest(client: MlflowClient) -> Run | None:
    """Returns the newest run of a command; None if there is none."""
    experiments = [str(one.experiment_id) for one in client.search_experiments()]
    found = [
        run
        for wanted in ("tags.command != ''", "tags.sweep = 'parent'")
        for run in client.search_runs(
            experiments, wanted, order_by=["attributes.start_time DESC"], max_results=1
        )
    ]
    return max(found, key=lambda run: int(run.info.start_time or 0), default=None)


def find_comparable(client: MlflowClient, run: Run) -> list[Run]:
    """Returns what is compared with a run: of a sweep its whole trials, else its command's runs."""
    experiment = str(run.info.experiment_id)
    if run.data.tags.get("sweep") == "parent":
        found = find_children(client, experiment, str(run.info.run_id))
    else:
        found = [*client.search_runs([experiment], "tags.command != ''", max_results=MOST)]
    return [one for one in found if one.info.status == "FINISHED"]
