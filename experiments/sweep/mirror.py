"""Mirrors a study in MLflow: a parent run for the sweep, a child for each trial, true statuses.

Workers never wait for MLflow. The command that keeps the records reads the study about once a
second, wherever its trials run, and writes what is new; after a kill it goes on where it was.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NAME
from optuna.trial import FrozenTrial

from experiments.sweep import space as _search
from experiments.sweep.storage import describe
from experiments.sweep.study import CAUSES, Order, SweepStudy, classify, trainings
from experiments.tracking.runs import (
    ParentRun,
    TrackedRun,
    as_params,
    ending_truthfully,
    find_children,
    find_experiment,
    termination_as_interrupt,
    tracking_uri,
    versions,
)

_PARENT = "mlflow_run"
_BATCH = 1000

_ENDS = {"complete": "FINISHED", "pruned": "KILLED", "failed": "FAILED", "lost": "FAILED"}


def experiment_name(order: Order) -> str:
    """Names the MLflow experiment that holds the sweeps of an experiment."""
    return "sweep-" + order.experiment.rpartition(".")[2]


@contextmanager
def open_parent(study: SweepStudy, order: Order) -> Iterator[ParentRun]:
    """Opens the run of a sweep, or takes up the one of a study that is resumed."""
    client = MlflowClient(tracking_uri=tracking_uri())
    experiment_id = find_experiment(client, experiment_name(order))
    run_id = _find_parent(client, study)
    if run_id is None:
        run = client.create_run(experiment_id, run_name=order.name)
        run_id = str(run.info.run_id)
        _describe(ParentRun(client, run_id, experiment_id), order)
        study.study.set_user_attr(_PARENT, run_id)
    else:
        client.update_run(run_id, status="RUNNING")
    parent = ParentRun(client, run_id, experiment_id)
    with ending_truthfully(parent), termination_as_interrupt(), _gpu_metrics(run_id):
        yield parent


def _find_parent(client: MlflowClient, study: SweepStudy) -> str | None:
    """Returns the run that the study was mirrored in, if this store has it."""
    run_id = study.study.user_attrs.get(_PARENT)
    if run_id is None:
        return None
    try:
        return str(client.get_run(run_id).info.run_id)
    except MlflowException:
        return None


def _describe(parent: ParentRun, order: Order) -> None:
    """Keeps what the trials have in common, and how it is searched."""
    sweep = order.sweep
    common = {**_search.settings_of(order.config), **versions()}
    search = {
        "search/objective": sweep.objective,
        "search/sampler": sweep.sampler,
        "search/pruner": sweep.pruner,
        "search/seed": sweep.seed,
    }
    parent.client.log_batch(parent.run_id, params=as_params({**common, **search}))
    tags = {
        "study": order.name,
        "storage": describe(sweep.storage),
        "sweep": "parent",
    }
    parent.client.log_batch(parent.run_id, tags=[RunTag(*tag) for tag in tags.items()])
    config = json.dumps(_search.written(order.config), indent=2)
    parent.log_text(config, "config.json")


@contextmanager
def _gpu_metrics(run_id: str) -> Iterator[None]:
    """Samples the load of processors and GPUs into a run, where there is a GPU."""
    try:
        import pynvml  # pyright: ignore[reportMissingImports]

        pynvml.nvmlInit()
        has_gpu = pynvml.nvmlDeviceGetCount() > 0
    except Exception:  # pynvml has an error of its own for each way in which a GPU is missing
        has_gpu = False
    if not has_gpu:
        yield
        return
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    monitor = SystemMetricsMonitor(run_id, tracking_uri=tracking_uri())
    monitor.start()
    try:
        yield
    finally:
        monitor.finish()


class Mirror:
    """Writes what is new of a study into the children of its parent run.

    Args:
        parent: Run of the sweep.
    """

    def __init__(self, parent: ParentRun) -> None:
        self.parent = parent
        self._children: dict[int, TrackedRun] = {}
        self._ended: set[int] = set()
        self._logged: dict[int, int] = {}
        for run in find_children(parent.client, parent.experiment_id, parent.run_id):
            number = int(run.data.tags["trial"])
            self._children[number] = self._tracked(str(run.info.run_id))
            if run.info.status != "RUNNING":
                self._ended.add(number)

    def update(self, trials: list[FrozenTrial]) -> None:
        """Opens, feeds and ends the runs of trials."""
        for trial in trials:
            kind = classify(trial)
            if trial.number in self._ended or kind in (None, "waiting", "duplicates"):
                continue
            if kind == "running" and "config" not in trial.user_attrs:
                continue  # its settings are still being proposed, or prove to be a repetition
            self._feed(trial)
            if kind != "running":
                self._end(trial, str(kind))

    def run_id(self, number: int) -> str | None:
        """Returns the run of a trial."""
        child = self._children.get(number)
        return None if child is None else child.run_id

    def _feed(self, trial: FrozenTrial) -> None:
        if trial.number not in self._children:
            self._children[trial.number] = self._open(trial)
        child, done = self._children[trial.number], self._logged.get(trial.number, 0)
        found = trainings(trial)
        points = [point for training in found[done:] for point in _points(training)]
        for first in range(0, len(points), _BATCH):
            self.parent.client.log_batch(child.run_id, metrics=points[first : first + _BATCH])
        self._logged[trial.number] = len(found)

    def _open(self, trial: FrozenTrial) -> TrackedRun:
        """Opens the run of a trial: only what varies as parameters, the rest as an artifact."""
        name = f"trial-{trial.number}"
        tags = {
            MLFLOW_PARENT_RUN_ID: self.parent.run_id,
            MLFLOW_RUN_NAME: name,
            "trial": str(trial.number),
        }
        if "worker" in trial.user_attrs:
            worker = trial.user_attrs["worker"]
            tags |= {"host": worker["host"].split("/")[0], "pid": str(worker["pid"])}
        if "retry_of" in trial.user_attrs:
            tags["retry_of"] = str(trial.user_attrs["retry_of"])
        info = self.parent.client.create_run(
            self.parent.experiment_id,
            tags=tags,
            run_name=name,
            start_time=_milliseconds(trial.datetime_start),
        ).info
        child = self._tracked(str(info.run_id))
        params = [Param(key, _search.write_value(value)) for key, value in trial.params.items()]
        self.parent.client.log_batch(child.run_id, params=params)
        if "config" in trial.user_attrs:
            whole = json.loads(trial.user_attrs["config"])
            child.log_text(json.dumps(whole, indent=2), "config.json")
        return child

    def _end(self, trial: FrozenTrial, kind: str) -> None:
        child, client = self._children[trial.number], self.parent.client
        at = _milliseconds(trial.datetime_complete)
        metrics = [Metric(name, value, at, 0) for name, value in summarise(trial).items()]
        tags = [RunTag("outcome", kind)]
        if kind == "pruned":
            tags.append(RunTag("pruned", "true"))
        if kind in ("failed", "lost"):
            why = next(
                (trial.user_attrs[name] for name in CAUSES if name in trial.user_attrs), "unknown"
            )
            tags.append(RunTag("error", why))
        client.log_batch(child.run_id, metrics=metrics, tags=tags)
        client.set_terminated(child.run_id, _ENDS[kind], end_time=at)
        self._ended.add(trial.number)

    def _tracked(self, run_id: str) -> TrackedRun:
        return TrackedRun(self.parent.client, run_id, self.parent.experiment_id)


def summarise(trial: FrozenTrial) -> Mapping[str, float]:
    """Returns the final numbers of a trial: score on valid, size and time."""
    found = trainings(trial)
    if not found:
        return {}
    return {
        "valid/mean": found[-1]["mean"],
        "trainings": float(len(found)),
        "parameters": float(found[-1]["num_parameters"]),
        "seconds": sum(training["seconds"] for training in found),
    }


def _points(training: Mapping) -> list[Metric]:
    """Turns a training into points of curves; written twice, with the same time, they are one."""
    step, at, name = training["step"], training["at"], training["name"]
    points = [
        Metric("valid/score", training["score"], at, step),
        Metric("valid/running_mean", training["mean"], at, step),
    ]
    for curve, values in training["curves"].items():
        points += [
            Metric(f"{curve}/{name}", value, at, epoch) for epoch, value in enumerate(values)
        ]
    return points


def _milliseconds(moment: datetime | None) -> int:
    return int((moment or datetime.now()).timestamp() * 1000)
