"""What every table experiment does: rows and a task for each -> prepare, validate, test, run.

A command declares its settings, its rows (settings of a run each), the task of a row, and what its
table adds. Preparation, resumption, tracking, scoring and the results table are written here, once.
"""

import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeAlias, TypeVar

from conversation_emotion.settings.flags import flatten, format_settings
from conversation_emotion.settings.space import Trial
from conversation_emotion.tracker import Memory, Validation
from experiments.framework import commandline
from experiments.framework.further import check_groups, list_further

if TYPE_CHECKING:
    import pandas as pd

    from conversation_emotion.evaluation.metrics import Interval
    from conversation_emotion.evaluation.results import ResultsTable, RowResult
    from conversation_emotion.inference.best_model import KeepBest
    from conversation_emotion.tasks import task as tasks
    from experiments.tracking.runs import ParentRun

# What commands annotate their methods with; none of it is imported before a command runs.
Task: TypeAlias = "tasks.Task"
Rows: TypeAlias = "Sequence[RowResult]"
Runs: TypeAlias = "Sequence[RowRun]"
Table: TypeAlias = "ResultsTable"

Settings = TypeVar("Settings")

CLASSIFICATION = ("uar", "macro_f1", "wa", "weighted_f1")
"""Columns of a table of classifiers."""


@dataclass(frozen=True)
class Job:
    """A row to train.

    Attributes:
        name: Name of the row in the table.
        settings: Those of its run.
        task: What is trained.
        run: Its run in the tracking.
    """

    name: str
    settings: Any
    task: Any
    run: "ParentRun"


@dataclass(frozen=True)
class RowRun(Job):
    """A row that was trained.

    Attributes:
        predictions: On valid and test.
        scores: On test, by system and metric.
    """

    predictions: "pd.DataFrame"
    scores: "tasks.Scores"


class Experiment(ABC, Generic[Settings]):
    """A table: rows, a task for each, columns, and what was published.

    Attributes:
        name: Of the command and of the experiment in MLflow.
        settings: Class of its settings.
        heading: Line above the table, with fields of ``settings`` in braces.
        columns: Metrics of the table.
        published_by: What published figures have in common with the table, of ``corpus``,
            ``label_set`` and ``modality``; the table has none without any.
        compares: Whether a second table gives the significance of all differences of rows.
        baselines: Titles of the baselines' rows, by system.
    """

    name: ClassVar[str]
    settings: type[Settings]
    heading: ClassVar[str]
    columns: Sequence[str] = CLASSIFICATION
    published_by: ClassVar[Sequence[str]] = ()
    compares: ClassVar[bool] = False
    baselines: ClassVar[Mapping[str, str]] = {
        "last_emotion": "same emotion as the last turn (given its gold label)"
    }

    @abstractmethod
    def rows(self, settings: Settings) -> dict[str, Settings]:
        """Returns the settings of each run by the name of its row."""

    @abstractmethod
    def task(self, row: Settings, memory: Memory) -> Task:
        """Prepares the task of a row; what rows share is computed once by `Memory.recall`."""

    def title(self, settings: Settings) -> str:
        """Returns the line above the table."""
        return self.heading.format(settings=settings)

    def search_space(self, trial: Trial, settings: Settings) -> Settings:
        """Proposes the settings of one trial of a sweep; everything else stays as configured."""
        raise ValueError(f"{self.name} has no settings to sweep")

    def propose_row(self, trial: Trial, settings: Settings, name: str) -> Settings:
        """Proposes one of several rows."""
        rows = self.rows(settings)
        return rows[trial.suggest_categorical(name, list(rows))] if len(rows) > 1 else settings

    def inputs(self, row: Settings) -> tuple[str, str]:
        """Returns modality and encoders of a row, for its record."""
        flags = {
            name: value[0] if isinstance(value, tuple) and value else value
            for name, value in flatten(row).items()
        }
        modality = str(flags.get("modality", "speech"))
        return modality, " ".join(str(flags[f"{one}_encoder"]) for one in modality.split("+"))

    def notes(self, settings: Settings, runs: Runs) -> Iterator[str]:
        """Yields the lines below the table that only this experiment has."""
        return iter(())

    def published(self, settings: Settings, runs: Runs) -> Rows:
        """Returns the rows of published figures."""
        if not self.published_by:
            return []
        from conversation_emotion.evaluation.published import find_published

        found = runs[0].task.dataset.label_map
        keys = {"corpus": found.corpus, "label_set": found.label_set}
        keys["modality"] = self.inputs(runs[0].settings)[0]
        return find_published(self.name, **{name: keys[name] for name in self.published_by})

    def below(self, run: RowRun) -> Rows:
        """Returns the rows that belong below a row, such as its published figures."""
        return []

    def results(self, settings: Settings, runs: Runs) -> Rows:
        """Lays out the rows: those that were trained, the baselines of the first, the published."""
        baselines = [system for system in runs[0].scores if system != "model"]
        return [
            *(row for run in runs for row in (self.result(run), *self.below(run))),
            *(self.baseline(runs[0], system) for system in baselines),
            *self.published(settings, runs),
        ]

    def main(self) -> None:
        """Runs the experiment from the command line."""
        commandline.launch(self.run, self.settings, self.name)

    def prepare(self, settings: Settings) -> str:
        """Extracts what a sweep needs before it starts, and returns a digest of the data."""
        return " ".join(task.fingerprint for task in self._prepare(settings).values())

    def validate(self, settings: Settings, memory: Memory) -> Iterator[Validation]:
        """Trains each fold and seed of the one row and yields its score on valid, for a sweep."""
        from conversation_emotion.training.cross_validation import validate

        (row,) = self.rows(settings).values()
        task = self.task(row, memory)
        with tempfile.TemporaryDirectory() as folder:
            yield from validate(task, folder=Path(folder) if task.is_resumable else None)

    def test(self, settings: Settings) -> "dict[str, Interval]":
        """Trains and scores on test, once a sweep has chosen the setting."""
        return next(row.metrics for row in self.run(settings).rows if row.kind == "model")

    def run(self, settings: Settings) -> Table:
        """Prepares every row, trains and scores it under a run of its own, shows the table."""
        from experiments.tracking.store import check_store

        check_store()  # before what takes time, the import of PyTorch among it
        from experiments.tracking.runs import open_runs

        tasks = self._prepare(settings)
        rows = self.rows(settings)
        commands = [(rows[name], task.fingerprint) for name, task in tasks.items()]
        with open_runs(self.name, commands) as parents:
            runs: list[RowRun] = []
            for (name, task), parent in zip(tasks.items(), parents, strict=True):
                runs.append(self.train(Job(name, rows[name], task, parent), runs))
            return self.show(settings, runs)

    def _prepare(self, settings: Settings) -> dict[str, Task]:
        self.title(settings)  # an experiment without heading or title fails before any training
        rows = self.rows(settings)
        memory = Memory(4 * len(rows))
        tasks = {name: self.task(row, memory) for name, row in rows.items()}
        for task in tasks.values():  # what a task does not have is refused at once
            task.rank(dict.fromkeys(task.metrics, 0.0))
            check_groups(task)
        return tasks

    def train(self, job: Job, before: Runs) -> RowRun:
        """Trains each fold and seed of a row and scores it; ``before`` are the rows above it."""
        from conversation_emotion.training.cross_validation import cross_validate, evaluate

        task, parent, keep = job.task, job.run, None
        if getattr(job.settings, "register", None) is not None:
            from conversation_emotion.inference.best_model import KeepBest
            from conversation_emotion.inference.ensemble import KeepAll

            kind = KeepAll if job.settings.ensemble else KeepBest
            keep = kind(task, job.settings.coverage, job.settings.sets)
        predictions = cross_validate(
            task,
            parent,
            folder=training_folder(parent) if task.is_resumable else None,
            on_trained=keep,
        )
        scores = evaluate(task, predictions, parent)
        if keep is not None:
            self._register(job, predictions, keep)
        return RowRun(**vars(job), predictions=predictions, scores=scores)

    def _register(self, job: Job, predictions: "pd.DataFrame", keep: "KeepBest") -> None:
        """Registers the model that was kept, or one of all, and tests its calibration."""
        from conversation_emotion.inference.ensemble import join_members
        from conversation_emotion.training.calibration import report_calibration
        from conversation_emotion.training.on_all import train_on_all
        from experiments.tracking.registry import fetch_members, register

        task, parent, settings = job.task, job.run, job.settings
        kept, on_all = predictions, settings.train_on_all or settings.ensemble
        if settings.ensemble:
            with fetch_members(parent, predictions) as folders:
                kept = join_members(keep, folders, predictions, parent)
        elif on_all:
            kept = train_on_all(task, predictions, parent, keep.keep_on_all(predictions))
        coverage, sets = settings.coverage, settings.sets
        report_calibration(predictions, task.labels, coverage, parent, on_all=on_all, sets=sets)
        utterances = task.dataset.utterances
        register(settings.register, kept, utterances, parent, select_by=task.select_by)

    def show(self, settings: Settings, runs: Runs) -> Table:
        """Prints the table, and keeps it as data and text with every run that it shows."""
        from conversation_emotion.evaluation import results

        rows = tuple(self.results(settings, runs))
        notes = (
            *self.protocol(settings, runs),
            *self.notes(settings, runs),
            *results.describe_failures({key for run in runs for key in run.task.failures}),
            *results.describe_sources(rows),
        )
        table = results.ResultsTable(
            title=self.title(settings),
            columns=results.with_pooled(self.columns, rows),
            rows=rows,
            notes=notes,
        )
        parents = [run.run for run in runs]
        show_table(table, parents)
        if self.compares and len(runs) > 1:
            tables, task = {run.name: run.predictions for run in runs}, runs[0].task
            differences = results.compare_rows(tables, task.labels)
            show_table(differences, parents, "differences")
        for name, further in list_further(self, table, runs):
            show_table(further, parents, name)
        return table

    def score(
        self, run: RowRun, name: str, metrics: "Mapping[str, Interval]", **own: Any
    ) -> "RowResult":
        """Records a row with metrics of its own."""
        return self.result(replace(run, scores={"model": {**metrics}}), name=name, **own)

    def protocol(self, settings: Settings, runs: Runs) -> Iterator[str]:
        """Yields how the scores came about, with n and classes, from the first row."""
        from conversation_emotion.training.cross_validation import describe_protocol

        n = next(iter(runs[0].scores["model"].values())).n
        yield from describe_protocol(runs[0].task, n, self.bounds(runs))

    def bounds(self, runs: Runs) -> str:
        """Describes the intervals of scores on test, by the clusters that the first row has."""
        from conversation_emotion.evaluation.results import describe_bounds

        predictions = runs[0].predictions
        return describe_bounds(predictions[predictions["part"] == "test"])

    def baseline(self, run: RowRun, system: str, name: str | None = None) -> "RowResult":
        """Records the row of a baseline."""
        name = name or self.baselines.get(system, system)
        return self.result(run, system, name=name, kind="baseline", command="")

    def result(self, run: RowRun, system: str = "model", **fields: Any) -> "RowResult":
        """Records a row: scores, settings, command, versions; other ``fields`` of it win."""
        from conversation_emotion.training.cross_validation import record_row
        from experiments.tracking.runs import versions

        modality, encoder = self.inputs(run.settings)
        own = {
            "name": run.name,
            "kind": "model",
            "modality": modality,
            "encoder": encoder,
            "settings": format_settings(run.settings),
            "command": commandline.command_of(self.name, run.settings),
            "commit": versions()["commit"],
            "run_id": run.run.run_id,
        }
        scores = fields.pop("metrics", run.scores[system])
        return record_row(run.task, run.predictions, scores, system=system, **{**own, **fields})


def show_table(table: Table, runs: "Sequence[ParentRun]", name: str | None = None) -> None:
    """Prints a table and keeps it with runs: ``results.json``, ``results.parquet``, ``table.txt``.

    Args:
        table: The table.
        runs: Those that it shows.
        name: Begins the names of the files of a second table, such as ``differences``.
    """
    print(table.render(), end="")
    with tempfile.TemporaryDirectory() as place:
        table.write(Path(place))
        for file in sorted(Path(place).iterdir()):
            if name is not None:
                file = file.rename(file.with_name(f"{name}{file.suffix}"))
            for run in runs:
                run.log_file(file)
    ids = " ".join(run.run_id for run in runs)
    if len(runs) > 1:
        print(f"compare the runs with: python -m experiments.ui {ids}")
    else:
        print(f"run {ids}; see it with: python -m experiments.ui")


def training_folder(parent: "ParentRun") -> Path:
    """Returns the folder of a run's training states and encoders, below ``mlruns``."""
    return Path.cwd() / "mlruns" / "finetuning" / parent.run_id
