"""What the tracking of a folder holds."""

from typing import NamedTuple

from mlflow import MlflowClient
from mlflow.entities import Run

from experiments.tracking import runs as _tracking


class Tracked(NamedTuple):
    """The client of the store, the runs of commands, and those of their trainings."""

    client: MlflowClient
    parents: list[Run]
    children: list[Run]


def find_runs(name: str) -> Tracked:
    """Finds the runs of an experiment in the store of the current folder."""
    client = MlflowClient(_tracking.tracking_uri())
    experiment = client.get_experiment_by_name(name)
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    children = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    return Tracked(client, parents, children)
