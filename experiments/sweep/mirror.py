"""Mirrors a study in MLflow: a parent run for the sweep, a child for each trial, true statuses.

Workers never wait for MLflow. The command that keeps the records reads the study about once a
second, wherever its trials run, and writes what is new; after a kill it goes on where it was.
"""

import json
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from itertools import zip_longest
from statistics import fmean

from mlflow.entities import Metric
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID
from optuna.trial import FrozenTrial

from conversation_emotion.settings.flags import flatten, format_setting, format_settings
from experiments.framework.commandline import command_of
from experiments.sweep.storage import describe
from experiments.sweep.study import (
    IDENTITY,
    SweepSpec,
    SweepStudy,
    cause_of,
    classify,
    trainings,
)
from experiments.tracking.runs import (
    NAMING,
    ParentRun,
    TrackedRun,
    describe_source,
    ending_truthfully,
    find_children,
    find_experiment,
    measuring_load,
    termination_as_interrupt,
    versions,
)
from experiments.tracking.store import open_client

_ENDS = {"complete": "FINISHED", "pruned": "KILLED", "failed": "FAILED", "lost": "FAILED"}


@contextmanager
def open_parent(study: SweepStudy, spec: SweepSpec) -> Iterator[ParentRun]:
    """Opens the run of a sweep, or the one of a study that is resumed, if this store has it."""
    client = open_client()
    experiment_id = find_experiment(client, "sweep-" + spec.experiment.rpartition(".")[2])
    sweep_id = str(study.study.user_attrs.get(IDENTITY, uuid.uuid4().hex))
    study.study.set_user_attr(IDENTITY, sweep_id)  # kept first, or a kill would orphan the run
    tags = {"sweep_id": sweep_id, "study": spec.name, "sweep": "parent"}
    found = client.search_runs([experiment_id], f"tags.sweep_id = '{sweep_id}'", max_results=1)
    run = found[0] if found else client.create_run(experiment_id, run_name=spec.name, tags=tags)
    client.update_run(run.info.run_id, status="RUNNING")
    parent = ParentRun(client, run)
    if "storage" not in run.data.tags:
        _describe(parent, spec)
    is_wanted = bool(spec.sweep.devices)
    with (
        ending_truthfully(parent),
        termination_as_interrupt(),
        measuring_load(parent, is_wanted=is_wanted),
    ):
        yield parent


def _describe(parent: ParentRun, spec: SweepSpec) -> None:
    """Keeps what the trials have in common, and how settings are searched.

    Only what names a run is a column in MLflow's table next to what varies; all is in a file.
    """
    search, settings = ("objective", "sampler", "pruner", "seed"), flatten(spec.settings)
    common = {f"search/{name}": getattr(spec.sweep, name) for name in search}
    common |= {name: settings[name] for name in NAMING if name in settings}
    parent.log_text(json.dumps(format_settings(spec.settings), indent=2), "config.json")
    parent.log_dataset(settings, spec.data)
    command = command_of(f"sweep {spec.experiment.rpartition('.')[2]}", spec.sweep, spec.settings)
    source = describe_source(command)
    # Last: it is whole now.
    parent.describe(common, {**source, **versions(), "storage": describe(spec.sweep.storage)})


class Mirror:
    """Writes what is new of a study into the children of its parent run, by the trials' numbers."""

    def __init__(self, parent: ParentRun) -> None:
        self.parent = parent
        self.children: dict[int, TrackedRun] = {}
        self._ended: set[int] = set()
        self._logged: dict[int, int] = {}
        self._described: set[int] = set()
        for run in find_children(parent.client, parent.experiment_id, parent.run_id):
            number = int(run.data.tags["trial"])
            self.children[number] = TrackedRun(parent.client, run)
            if run.info.status != "RUNNING":
                self._ended.add(number)

    def update(self, trials: list[FrozenTrial]) -> None:
        """Opens, continues and ends the runs of trials."""
        for trial in trials:
            kind = classify(trial)
            if trial.number in self._ended or kind in (None, "waiting", "duplicates"):
                continue
            if kind == "running" and "config" not in trial.user_attrs:
                continue  # its settings are still being proposed, or prove to be a repetition
            self._log_trainings(trial)
            if kind != "running":
                self._end(trial, str(kind))

    def _log_trainings(self, trial: FrozenTrial) -> None:
        if trial.number not in self.children:
            self.children[trial.number] = self._open(trial)
        if trial.number not in self._described:
            self._describe(trial)
        found, done = trainings(trial), self._logged.get(trial.number, 0)
        points = [point for training in found[done:] for point in _points(training)]
        self.children[trial.number].log_points(points)
        self._logged[trial.number] = len(found)

    def _open(self, trial: FrozenTrial) -> TrackedRun:
        """Opens the run of a trial, findable by its tags whenever this process is killed."""
        client, attributes = self.parent.client, trial.user_attrs
        tags = {MLFLOW_PARENT_RUN_ID: self.parent.run_id, "trial": str(trial.number)}
        if worker := attributes.get("worker"):
            tags |= {"host": worker["host"].split("/")[0], "pid": str(worker["pid"])}
        if "retry_of" in attributes:
            tags["retry_of"] = str(attributes["retry_of"])
        run = client.create_run(
            self.parent.experiment_id,
            tags=tags,
            run_name=name_trial(trial),
            start_time=_milliseconds(trial.datetime_start),
        )
        return TrackedRun(client, run)

    def _describe(self, trial: FrozenTrial) -> None:
        """Records what varies as parameters, the rest as an artifact; again after a kill."""
        child, attributes = self.children[trial.number], trial.user_attrs
        child.describe(trial.params, {})
        if "config" in attributes:
            child.log_text(json.dumps(json.loads(attributes["config"]), indent=2), "config.json")
        self._described.add(trial.number)

    def _end(self, trial: FrozenTrial, kind: str) -> None:
        child, at = self.children[trial.number], _milliseconds(trial.datetime_complete)
        ends = {name: x for name, x in summarise(trial).items() if not name.startswith("valid/")}
        points = [Metric(name, x, at, 0) for name, x in ends.items()]
        child.log_points([*points, *_mean_curves(trial, at)])
        tags = {"outcome": kind}
        if kind == "pruned":
            tags["pruned"] = "true"
        if kind in ("failed", "lost"):
            tags["error"] = cause_of(trial) or "unknown"
        child.describe({}, tags)
        child.client.set_terminated(child.run_id, _ENDS[kind], end_time=at)
        self._ended.add(trial.number)


def summarise(trial: FrozenTrial) -> Mapping[str, float]:
    """Returns the final numbers of a trial: mean on valid, size and time."""
    found = trainings(trial)
    if not found:
        return {}
    return {
        f"valid/{found[-1]['metric']}": found[-1]["mean"],
        "trainings": float(len(found)),
        "parameters": float(found[-1]["num_parameters"]),
        "seconds": sum(training["seconds"] for training in found),
    }


def name_trial(trial: FrozenTrial) -> str:
    """Names the run of a trial by its number and what it varies, such as `4 gated · single · 64`.

    Strategies come first, then sizes, then what is a point on a scale.
    """
    values = sorted(trial.params.items(), key=lambda item: (_place(*item), item[0]))
    shown = [
        f"{value:.3g}" if isinstance(value, float) else format_setting(value) for _, value in values
    ]
    return f"{trial.number} {' · '.join(map(str, shown))}"[:120]


def _place(name: str, value: object) -> tuple[int, int]:
    """Orders settings for a name: those that name a run, other words, whole numbers, the rest."""
    named = NAMING[::-1].index(name) if name in NAMING else len(NAMING)
    return next(n for n, kind in enumerate((str, int, object)) if isinstance(value, kind)), named


def _points(training: Mapping) -> list[Metric]:
    """Turns a training into points of curves; logged twice, with the same time, they are one.

    The mean so far, whose last value is the score of the trial, comes first: MLflow's page that
    compares runs begins with the metric that was logged first.
    """
    step, at = training["step"], training["at"]
    return [
        Metric(f"valid/{training['metric']}", training["mean"], at, step),
        Metric("trainings/score", training["score"], at, step),
    ]


def _mean_curves(trial: FrozenTrial, at: int) -> Iterator[Metric]:
    """Yields each curve as its mean, in every epoch, over the trainings that reached it."""
    found = [training["curves"] for training in trainings(trial)]
    for curve in dict.fromkeys(name for curves in found for name in curves):
        columns = zip_longest(*(curves.get(curve, ()) for curves in found))
        for epoch, values in enumerate(columns):
            there = [value for value in values if value is not None]
            yield Metric(f"curves/{curve}", fmean(there), at, epoch)


def _milliseconds(moment: datetime | None) -> int:
    return int((moment or datetime.now()).timestamp() * 1000)
