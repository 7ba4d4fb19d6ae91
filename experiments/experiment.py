"""What every table experiment does: rows and a task for each -> prepare, validate, test, run.

A command declares its settings, its rows (settings of a run each), the task of a row, and what its
table adds. Preparation, resumption, tracking, scoring and the results table are written here, once.
"""

import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NamedTuple, TypeVar

from conversation_emotion.settings.flags import flatten, format_settings
from experiments import commandline

if TYPE_CHECKING:
    import optuna
    import pandas as pd

    from conversation_emotion.evaluation.metrics import Interval
    from conversation_emotion.evaluation.results import ResultsTable, RowKind, RowResult
    from conversation_emotion.tasks.task import Scores, Task
    from conversation_emotion.tracker import Memory, Validation
    from experiments.tracking.runs import ParentRun

Settings = TypeVar("Settings")

CLASSIFICATION = ("uar", "macro_f1", "wa", "weighted_f1")
"""Columns of a table of classifiers."""


class Job(NamedTuple):
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


class RowRun(NamedTuple):
    """What came of a row.

    Attributes:
        name: Name of the row in the table.
        settings: Those of its run.
        task: What was trained.
        run: Its run in the tracking.
        predictions: On valid and test.
        scores: On test, by system and metric.
    """

    name: str
    settings: Any
    task: Any
    run: "ParentRun"
    predictions: "pd.DataFrame"
    scores: "Scores"


class Experiment(ABC, Generic[Settings]):
    """A table: rows, a task for each, columns, and what was published.

    Attributes:
        name: Of the command and of the experiment in MLflow.
        settings: Class of its settings.
        columns: Metrics of the table.
        compares: Whether a second table gives the significance of all differences of rows.
        baselines: Titles of the baselines' rows, by system.
    """

    name: ClassVar[str]
    settings: type[Settings]
    columns: Sequence[str] = CLASSIFICATION
    compares: ClassVar[bool] = False
    baselines: ClassVar[Mapping[str, str]] = {
        "last_emotion": "same emotion as the last turn (given its gold label)"
    }

    @abstractmethod
    def rows(self, settings: Settings) -> dict[str, Settings]:
        """Returns the settings of each run by the name of its row."""

    @abstractmethod
    def task(self, row: Settings, memory: "Memory") -> "Task":
        """Prepares the task of a row; what rows share is computed once by `Memory.recall`."""

    @abstractmethod
    def title(self, settings: Settings) -> str:
        """Returns the line above the table."""

    def search_space(self, trial: "optuna.trial.BaseTrial", settings: Settings) -> Settings:
        """Proposes the settings of one trial of a sweep; everything else stays as configured."""
        raise ValueError(f"{self.name} has no settings to sweep")

    def inputs(self, row: Settings) -> tuple[str, str]:
        """Returns modality and encoders of a row, for its record."""
        flags = {
            name: value[0] if isinstance(value, tuple) and value else value
            for name, value in flatten(row).items()
        }
        modality = str(flags.get("modality", "speech"))
        return modality, " ".join(str(flags[f"{one}_encoder"]) for one in modality.split("+"))

    def notes(self, settings: Settings, runs: Sequence[RowRun]) -> Iterator[str]:
        """Yields the lines below the table that only this experiment has."""
        del settings, runs
        return iter(())

    def published(self, settings: Settings, runs: Sequence[RowRun]) -> "Sequence[RowResult]":
        """Returns the rows of published figures."""
        del settings, runs
        return []

    def below(self, run: RowRun) -> "Sequence[RowResult]":
        """Returns the rows that belong below a row, such as its published figures."""
        del run
        return []

    def results(self, settings: Settings, runs: Sequence[RowRun]) -> "list[RowResult]":
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

    def validate(self, settings: Settings, memory: "Memory") -> "Iterator[Validation]":
        """Trains each fold and seed of the one row and yields its score on valid, for a sweep."""
        from conversation_emotion.training.cross_validation import validate

        (row,) = self.rows(settings).values()
        task = self.task(row, memory)
        with tempfile.TemporaryDirectory() as folder:
            yield from validate(task, folder=Path(folder) if task.is_resumable else None)

    def test(self, settings: Settings) -> "dict[str, Interval]":
        """Trains and scores on test, once a sweep has chosen the setting."""
        rows = [row for row in self.run(settings).rows if row.kind == "model"]
        return rows[0].metrics

    def run(self, settings: Settings) -> "ResultsTable":
        """Prepares every row, trains and scores it under a run of its own, shows the table."""
        from experiments.tracking.runs import open_runs

        tasks = self._prepare(settings)
        rows = self.rows(settings)
        commands = [(rows[name], task.fingerprint) for name, task in tasks.items()]
        with open_runs(self.name, commands) as parents:
            runs: list[RowRun] = []
            for (name, task), parent in zip(tasks.items(), parents, strict=True):
                runs.append(self.train(Job(name, rows[name], task, parent), runs))
            return self.show(settings, runs)

    def _prepare(self, settings: Settings) -> "dict[str, Task]":
        from conversation_emotion.tracker import Memory

        rows = self.rows(settings)
        memory = Memory(4 * len(rows))
        tasks = {name: self.task(row, memory) for name, row in rows.items()}
        for task in tasks.values():  # a metric that a task does not have is refused at once
            task.rank(dict.fromkeys(task.metrics, 0.0))
        return tasks

    def train(self, job: Job, before: Sequence[RowRun]) -> RowRun:
        """Trains each fold and seed of a row and scores it; ``before`` are the rows above it."""
        from conversation_emotion.training.cross_validation import cross_validate, evaluate

        del before
        task, parent = job.task, job.run
        register = getattr(job.settings, "register", None)
        keep = _keep_best(task) if register is not None else None
        predictions = cross_validate(
            task,
            parent,
            folder=training_folder(parent) if task.is_resumable else None,
            on_trained=keep or (lambda trained, run: None),
        )
        scores = evaluate(task, predictions, parent)
        if register is not None:
            from experiments.tracking.registry import register as register_model

            utterances = task.dataset.utterances
            register_model(register, predictions, utterances, parent, select_by=task.select_by)
        return RowRun(*job, predictions, scores)

    def show(self, settings: Settings, runs: Sequence[RowRun]) -> "ResultsTable":
        """Prints the table, and keeps it as data and text with every run that it shows."""
        from conversation_emotion.evaluation.results import ResultsTable

        table = ResultsTable(
            title=self.title(settings),
            columns=tuple(self.columns),
            rows=tuple(self.results(settings, runs)),
            notes=tuple(self._describe(settings, runs)),
        )
        parents = [run.run for run in runs]
        show_table(table, parents)
        if self.compares and len(runs) > 1:
            show_table(self._compare(runs), parents, "differences")
        self.finish(settings, runs)
        return table

    def finish(self, settings: Settings, runs: Sequence[RowRun]) -> None:
        """Does what follows the table, such as pictures; nothing by default."""

    def _compare(self, runs: Sequence[RowRun]) -> "ResultsTable":
        from conversation_emotion.evaluation.results import compare_rows

        tables = {run.name: run.predictions for run in runs}
        num_resamples = runs[0].task.training.resamples
        return compare_rows(tables, runs[0].task.labels, num_resamples=num_resamples)

    def _describe(self, settings: Settings, runs: Sequence[RowRun]) -> Iterator[str]:
        from conversation_emotion.evaluation import results

        yield from self.protocol(settings, runs)
        yield from self.notes(settings, runs)
        failures = {key: why for run in runs for key, why in run.task.failures.items()}
        yield from results.describe_failures(failures)
        below = [row for run in runs for row in self.below(run)]
        yield from results.describe_sources([*below, *self.published(settings, runs)])

    def protocol(self, settings: Settings, runs: Sequence[RowRun]) -> Iterator[str]:
        """Yields how the scores came about, with n and classes, from the first row."""
        from conversation_emotion.training.cross_validation import describe_protocol

        del settings
        n = next(iter(runs[0].scores["model"].values())).n
        yield from describe_protocol(runs[0].task, n)

    def baseline(self, run: RowRun, system: str) -> "RowResult":
        """Records the row of a baseline."""
        return self.result(run, system, self.baselines.get(system, system), "baseline")

    def result(
        self,
        run: RowRun,
        system: str = "model",
        name: str | None = None,
        kind: "RowKind" = "model",
        corpus: str | None = None,
    ) -> "RowResult":
        """Records a row: scores, per-class scores, settings, command, versions."""
        from conversation_emotion.training.cross_validation import record_row
        from experiments.tracking.runs import versions

        modality, encoder = self.inputs(run.settings)
        return record_row(
            run.task,
            run.predictions,
            run.scores[system],
            system=system,
            name=name or run.name,
            kind=kind,
            corpus=corpus or run.task.dataset.label_map.corpus,
            modality=modality,
            encoder=encoder,
            settings=format_settings(run.settings),
            command=commandline.command_of(self.name, run.settings) if kind == "model" else "",
            commit=versions()["commit"],
            run_id=run.run.run_id,
        )


def show_table(table: "ResultsTable", runs: "Sequence[ParentRun]", name: str | None = None) -> None:
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
    print(f"run {ids}; see it with: python -m experiments.ui")


def training_folder(parent: "ParentRun") -> Path:
    """Returns the folder of a run's training states and encoders, below ``mlruns``."""
    return Path.cwd() / "mlruns" / "finetuning" / parent.run_id


def _keep_best(task: "Task") -> Any:
    """Returns what keeps each model that is better on valid than all before it."""
    from conversation_emotion.datasets.encoder_families import find_family
    from conversation_emotion.features.sources import list_sources
    from conversation_emotion.inference.best_model import KeepBest
    from conversation_emotion.tasks.emotion import TurnEmotion, UtteranceEmotion

    assert isinstance(task, TurnEmotion | UtteranceEmotion)
    names = [source.encoder for source in list_sources(task.features).values()]
    families = {name: find_family(name, task.dataset) for name in names}
    keep = KeepBest(
        model=task.model,
        features=task.features,
        label_map=task.dataset.label_map,
        emotions=task.dataset.emotion_labels,
        split=task.dataset.split,
        num_trainings=len(task.dataset.split.folds) * task.training.seeds,
        select_by=task.select_by,
        families={name: family for name, family in families.items() if family},
    )
    return lambda trained, run: keep(run, trained.model, trained.predictions)
