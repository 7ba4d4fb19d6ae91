"""Runs in MLflow: a parent per command, a child per training, true statuses, resumption.

The artifacts of ``mlruns/mlflow.db`` lie next to it. A run that was killed is resumed by the same
command: its parent is reopened and the trainings that it finished are read back instead of done
again.
"""

import getpass
import hashlib
import json
import os
import platform
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from functools import cache
from importlib import metadata
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, cast

import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, Run, RunTag
from mlflow.environment_variables import MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING
from mlflow.utils.mlflow_tags import (
    MLFLOW_DATASET_CONTEXT,
    MLFLOW_GIT_COMMIT,
    MLFLOW_PARENT_RUN_ID,
    MLFLOW_RUN_NOTE,
    MLFLOW_SOURCE_NAME,
    MLFLOW_SOURCE_TYPE,
    MLFLOW_USER,
)
from mlflow.utils.time import get_current_time_millis

from conversation_emotion.inference import card
from conversation_emotion.settings.flags import flatten, format_setting
from experiments.framework.commandline import command_of
from experiments.tracking.processes import is_gone, this_process
from experiments.tracking.store import open_client, tracking_uri

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PACKAGES = (*card.PACKAGES, "mlflow")
"""Packages whose versions every run records."""

NAMING = (
    *("corpus", "train", "test", "modality", "speech_encoder", "dialogue_model", "fusion"),
    *("horizons", "retrain"),
)
"""Settings that name a run."""


TESTED_FOR: ContextVar[str | None] = ContextVar("tested_for", default=None)
"""Id of the sweep whose settings are scored on test while a run is opened; it becomes a tag."""


_LONGEST = 500  # letters of a name in MLflow


class TrackedRun:
    """One run of the client's store, a `conversation_emotion.tracker.Tracker`."""

    def __init__(self, client: MlflowClient, run: Run) -> None:
        self.client = client
        self.run_id = str(run.info.run_id)
        self.experiment_id = str(run.info.experiment_id)
        self._curves: list[Metric] = []

    def describe(self, params: Mapping[str, object], tags: Mapping[str, str]) -> None:
        """Records settings as parameters, and tags."""
        self.client.log_batch(
            self.run_id,
            params=[Param(name, format_setting(value)) for name, value in params.items()],
            tags=[RunTag(name, value) for name, value in tags.items()],
        )

    def log_dataset(self, settings: Mapping[str, object], fingerprint: str) -> None:
        """Records which data a run uses: the corpora, their folders, and a digest of the data."""
        places = {
            name: settings[name] for name in ("corpus", "root", "roots") if settings.get(name)
        }
        roots = settings.get("roots")
        corpora = [str(one).partition("=")[0] for one in roots] if isinstance(roots, tuple) else []
        found = Dataset(
            name=str(settings.get("corpus") or " ".join(corpora) or "data")[:_LONGEST],
            digest=hashlib.sha256(fingerprint.encode()).hexdigest()[:16],
            source_type="local",
            source=json.dumps({name: format_setting(value) for name, value in places.items()}),
        )
        context = [InputTag(MLFLOW_DATASET_CONTEXT, "cross-validation")]
        self.client.log_inputs(self.run_id, [DatasetInput(found, context)])

    def log_metrics(self, metrics: Mapping[str, float]) -> None:
        """Records final scores."""
        now = get_current_time_millis()
        entries = [Metric(name, float(value), now, 0) for name, value in metrics.items()]
        self.client.log_batch(self.run_id, metrics=entries)

    def log_step(self, step: int, metrics: Mapping[str, float]) -> None:
        """Adds a point to the curve of each metric; written by `flush` or when the run ends."""
        now = get_current_time_millis()
        self._curves += [Metric(name, float(value), now, step) for name, value in metrics.items()]

    def log_table(self, table: pd.DataFrame, file: str) -> None:
        """Records a table as a Parquet artifact."""
        with tempfile.TemporaryDirectory() as folder:
            table.to_parquet(Path(folder) / file, index=False)
            self.client.log_artifact(self.run_id, str(Path(folder) / file))

    def log_figure(self, figure: "Figure", file: str) -> None:
        """Records a picture."""
        self.client.log_figure(self.run_id, figure, file)

    def log_text(self, text: str, file: str) -> None:
        """Records a text."""
        self.client.log_text(self.run_id, text, file)

    def log_file(self, path: Path) -> None:
        """Records a copy of a file under its own name."""
        self.client.log_artifact(self.run_id, str(path))

    def log_folder(self, path: Path, name: str) -> None:
        """Records copies of all files of a folder under another name."""
        self.client.log_artifacts(self.run_id, str(path), name)

    def flush(self) -> None:
        """Writes the curves so far."""
        self.log_points(self._curves)
        self._curves.clear()

    def log_points(self, points: Sequence[Metric]) -> None:
        """Records points of curves, as many at once as a store takes."""
        for first in range(0, len(points), 500):
            self.client.log_batch(self.run_id, metrics=points[first : first + 500])


class ParentRun(TrackedRun):
    """The run of a whole command, a `conversation_emotion.tracker.ParentTracker`."""

    _finished: dict[str, str] | None = None

    def read_finished(self, name: str, file: str) -> pd.DataFrame | None:
        """Returns a table of the finished child of that name, None without such a child."""
        run_id = self.find_finished(name)
        return None if run_id is None else read_table(self.client, run_id, file)

    def find_finished(self, name: str) -> str | None:
        """Returns the id of the finished child of that name; None if there is none."""
        if self._finished is None:  # asked for once, not for each of many trainings
            children = find_children(self.client, self.experiment_id, self.run_id)
            ended = [child for child in reversed(children) if child.info.status == "FINISHED"]
            self._finished = {str(one.info.run_name): str(one.info.run_id) for one in ended}
        return self._finished.get(name)

    @contextmanager
    def open_child(self, name: str, params: Mapping[str, object]) -> Iterator[TrackedRun]:
        """Opens the run of one training; `ending_truthfully` sets its last status."""
        tags = {MLFLOW_PARENT_RUN_ID: self.run_id}
        run = self.client.create_run(self.experiment_id, tags=tags, run_name=name)
        child = TrackedRun(self.client, run)
        with ending_truthfully(child):
            child.describe(params, {})
            yield child
        self._finished = None


@contextmanager
def open_run(experiment: str, config: object, fingerprint: str) -> Iterator[ParentRun]:
    """Opens the run of a command, or resumes the one that was killed before it finished.

    Every setting of ``config``, a dataclass, becomes a parameter; with the versions, which are
    tags, and ``fingerprint``, a digest of the data, they identify the run to resume.
    """
    client = open_client()
    experiment_id = find_experiment(client, experiment)
    settings = flatten(config)
    if "seeds" in settings:  # no number of trainings depends on how many there are at once
        settings.pop("workers", None)
    identity = json.dumps([settings, fingerprint, versions()], sort_keys=True, default=str)
    digest = hashlib.sha256(identity.encode()).hexdigest()[:32]
    me = this_process()
    tags = {"fingerprint": digest, "host": socket.gethostname(), "pid": str(me["pid"])}
    tags |= {"process": json.dumps(me), **describe_source(command_of(experiment, config))}
    if (sweep := TESTED_FOR.get()) is not None:
        tags["tested_for"] = sweep
    run = _find_interrupted(client, experiment_id, digest)
    if run is None:
        # With its tags: a process may be killed at any moment, and its run has to be found again.
        run = client.create_run(experiment_id, run_name=_name(settings), tags=tags)
    else:
        client.update_run(str(run.info.run_id), status="RUNNING")
        print(f"resuming run {run.info.run_name} ({run.info.run_id}), which did not finish")
    parent = ParentRun(client, run)
    parent.describe(settings, {**tags, **versions()})
    parent.log_dataset(settings, fingerprint)
    with ending_truthfully(parent), termination_as_interrupt(), measuring_load(parent):
        yield parent


def describe_source(command: str) -> Mapping[str, str]:
    """Returns the tags that tell what made a run, who, and with which source."""
    return {
        "command": command,
        MLFLOW_RUN_NOTE: f"Made by\n\n    {command}",
        MLFLOW_SOURCE_NAME: command.removeprefix("python -m "),
        MLFLOW_SOURCE_TYPE: "LOCAL",
        MLFLOW_GIT_COMMIT: versions()["commit"],
        MLFLOW_USER: _user(),
    }


def _user() -> str:
    """Returns who runs this; in a container a number may have no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


@contextmanager
def measuring_load(run: TrackedRun, *, is_wanted: bool = False) -> Iterator[None]:
    """Samples the load of processors, memory and GPUs into a run.

    Only where it is wanted, or MLflow's own MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING is true.
    """
    if not is_wanted and not MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING.get():
        yield
        return
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    monitor = SystemMetricsMonitor(run.run_id, tracking_uri=tracking_uri())
    monitor.start()
    try:
        yield
    finally:
        monitor.finish()


@contextmanager
def open_runs(experiment: str, runs: Sequence[tuple[object, str]]) -> Iterator[list[ParentRun]]:
    """Opens several runs of one command, each by its config and fingerprint; they end together.

    A command that is interrupted during its last run thus resumes all of them, and reads the
    trainings that they finished back.
    """
    with ExitStack() as stack:
        yield [stack.enter_context(open_run(experiment, *run)) for run in runs]


def find_experiment(client: MlflowClient, name: str) -> str:
    """Returns the experiment's id; a new one keeps its artifacts next to the database."""
    given = os.environ.get("MLFLOW_TRACKING_URI")
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    place = None if given else (Path.cwd() / "mlruns" / "artifacts" / name).as_uri()
    return client.create_experiment(name, artifact_location=place)


def _find_interrupted(client: MlflowClient, experiment_id: str, digest: str) -> Run | None:
    """Returns the latest run of the same identity that was killed, failed, or died unnoticed."""
    found = client.search_runs(
        [experiment_id],
        filter_string=f"tags.fingerprint = '{digest}' and attributes.status != 'FINISHED'",
        order_by=["attributes.start_time DESC"],
    )
    for run in found:
        if run.info.status != "RUNNING" or not _is_alive(run.data.tags):
            _end_dead_children(client, experiment_id, str(run.info.run_id))
            return run
    return None


def _is_alive(tags: Mapping[str, str]) -> bool:
    """Checks whether another process, which opened a run, still runs."""
    process = json.loads(tags.get("process", "null"))
    return process not in (None, this_process()) and not is_gone(process)


def _end_dead_children(client: MlflowClient, experiment_id: str, run_id: str) -> None:
    for child in find_children(client, experiment_id, run_id):
        if child.info.status == "RUNNING":
            client.set_terminated(str(child.info.run_id), "KILLED")


def read_table(client: MlflowClient, run_id: str, file: str) -> pd.DataFrame:
    """Reads a Parquet artifact of a run."""
    with tempfile.TemporaryDirectory() as folder:
        return pd.read_parquet(client.download_artifacts(run_id, file, folder))


def find_children(client: MlflowClient, experiment_id: str, run_id: str) -> list[Run]:
    """Returns the runs opened under a parent, however many there are."""
    wanted = f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{run_id}'"
    return list(client.search_runs([experiment_id], wanted, max_results=50_000))


@contextmanager
def ending_truthfully(run: TrackedRun) -> Iterator[None]:
    """Ends a run as FINISHED, as KILLED by an interrupt, or as FAILED with its error."""
    status = "FINISHED"
    try:
        yield
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    except BaseException as error:
        status = "FAILED"
        run.client.set_tag(run.run_id, "error", f"{type(error).__name__}: {error}"[:5000])
        raise
    finally:
        run.flush()
        run.client.set_terminated(run.run_id, status)


@contextmanager
def termination_as_interrupt(*signals: int) -> Iterator[None]:
    """Raises a `KeyboardInterrupt` at the signals, SIGTERM if none are given, as Ctrl-C does."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in signals or (signal.SIGTERM,)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _name(settings: Mapping[str, object]) -> str:
    parts = [settings.get(name) for name in NAMING]
    if "train" not in settings and isinstance(places := settings.get("roots"), tuple):
        parts.insert(0, tuple(str(place).partition("=")[0] for place in places))
    texts = [format_setting(part) for part in parts if part is not None]
    return "-".join(text for text in texts if text)


@cache
def versions() -> Mapping[str, str]:
    """Returns the versions of `PACKAGES` and Python, and the commit of the source."""
    versions = {f"version/{name}": metadata.version(name) for name in PACKAGES}
    return {**versions, "version/python": platform.python_version(), "commit": _commit()}


def _commit() -> str:
    """Returns the commit of the source that runs, ``unknown`` for an installed package."""
    source = Path(__file__).resolve().parents[2]
    if not (source / ".git").exists():
        return "unknown"
    command = ["git", "-C", str(source), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return cast(str, found.stdout).strip()
