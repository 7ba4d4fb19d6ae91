"""What MLflow's pages show where: addresses below that of its server."""

import json
from collections.abc import Sequence
from urllib.parse import urlencode

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from experiments.tracking.runs import NAMING, find_children

MOST = 50
"""Runs of one comparison that are named one by one; more make an address that browsers cut."""


VIEW = "chosen"
"""Name under which an experiment keeps what its pages show."""

MOST_COLUMNS = 12
"""Settings that the table of runs shows."""

MOST_AXES = 4
"""Settings that the chart of parallel coordinates shows."""


def show_runs(client: MlflowClient, runs: Sequence[Run]) -> tuple[str, str]:
    """Returns the addresses of the table and of the charts of an experiment's runs.

    Both show these runs, the best first. The columns of the table and the axes of the charts are
    the metric that ranks runs and the settings in which they differ; those that name a strategy
    come first, and numbers that a sweep draws from a range last.
    """
    metric, settings = find_metric(runs), list_differing(runs)
    columns = [f"params.`{name}`" for name in settings[:MOST_COLUMNS]]
    view: dict[str, object] = {"searchFilter": _select(runs), "selectedColumns": columns}
    if metric is not None:
        key = f"metrics.`{metric}`"
        view |= {"selectedColumns": [key, *columns], "orderByKey": key, "orderByAsc": False}
        view |= _draw(metric, settings[:MOST_AXES])
    (experiment,) = {str(run.info.experiment_id) for run in runs}
    client.set_experiment_tag(experiment, f"mlflow.sharedViewState.{VIEW}", json.dumps(view))
    # MLflow opens on its pages for language models otherwise.
    query = urlencode({"workflowType": "machine_learning", "viewStateShareKey": VIEW})
    table = f"/#/experiments/{experiment}/runs?{query}"
    return table, f"{table}&compareRunsMode=CHART"


def _select(runs: Sequence[Run]) -> str:
    """Returns the filter that finds these runs."""
    parents = {run.data.tags.get(MLFLOW_PARENT_RUN_ID) for run in runs}
    if len(parents) == 1 and (parent := parents.pop()):
        return f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{parent}' and attributes.status = 'FINISHED'"
    return f"attributes.run_id IN ({', '.join(repr(str(run.info.run_id)) for run in runs[:MOST])})"


def _draw(metric: str, settings: Sequence[str]) -> dict[str, object]:
    """Returns the charts: the settings as parallel coordinates up to the metric, and its bars."""
    kept = {"deleted": False, "isGenerated": False}
    section = {"uuid": VIEW, "name": "Strategies and settings", "display": True, "columns": 1}
    axes = {"selectedParams": [*settings], "selectedMetrics": [metric], "showAllRuns": True}
    charts = [{"type": "PARALLEL", **axes}, {"type": "BAR", "metricKey": metric}]
    return {
        "runsHiddenMode": "SHOWALL",
        "isAccordionReordered": True,
        "compareRunSections": [{**section, **kept, "isReordered": True}],
        "compareRunCharts": [
            {**chart, **kept, "uuid": str(chart["type"]), "metricSectionId": VIEW}
            for chart in charts
        ],
    }


def compare_runs(runs: Sequence[Run]) -> str:
    """Returns the address of the comparison of runs of several experiments."""
    ids = [str(run.info.run_id) for run in runs[:MOST]]
    experiments = sorted({str(run.info.experiment_id) for run in runs})
    shown = {"runs": json.dumps(ids), "experiments": json.dumps(experiments)}
    return f"/#/compare-runs?{urlencode(shown)}"


def find_metric(runs: Sequence[Run]) -> str | None:
    """Returns the metric that ranks runs: on valid of trials, on test of commands."""
    names = dict.fromkeys(name for run in runs for name in run.data.metrics)
    part = "valid/" if any(MLFLOW_PARENT_RUN_ID in run.data.tags for run in runs) else "test/"
    return next((name for name in names if name.startswith(part)), None)


def list_differing(runs: Sequence[Run]) -> list[str]:
    """Returns the settings in which runs differ, those that name a run first."""
    names = {name for run in runs for name in run.data.params}
    values = {name: {run.data.params.get(name) for run in runs} for name in names}
    places = {name: place for place, name in enumerate(reversed(NAMING))}
    return sorted(
        (name for name in names if len(values[name]) > 1),
        key=lambda name: (places.get(name, len(places)), len(values[name]), name),
    )


def find_newest(client: MlflowClient) -> Run | None:
    """Returns the newest run of a command; None if there is none.

    Runs that test the settings of a sweep begin after it, and are a part of it.
    """
    experiments = [str(one.experiment_id) for one in client.search_experiments()]
    found = [
        run
        for wanted in ("tags.command != ''", "tags.sweep = 'parent'")
        for run in client.search_runs(
            experiments, wanted, order_by=["attributes.start_time DESC"], max_results=1_000
        )
        if "tested_for" not in run.data.tags
    ]
    return max(found, key=lambda run: int(run.info.start_time or 0), default=None)


def find_comparable(client: MlflowClient, run: Run) -> list[Run]:
    """Returns what is compared with a run: of a sweep its whole trials, else its command's runs.

    Those are the newest `MOST`.
    """
    experiment = str(run.info.experiment_id)
    if run.data.tags.get("sweep") == "parent":
        found = find_children(client, experiment, str(run.info.run_id))
        return [one for one in found if one.info.status == "FINISHED"]
    wanted = "tags.command != '' and attributes.status = 'FINISHED'"
    return [*client.search_runs([experiment], wanted, max_results=MOST)]
