"""Emotion prediction in conversation as a benchmark: what does a model know that others do not?

    python -m experiments.benchmark.epc --horizons 1 2
    python -m experiments.benchmark.epc --corpus meld --root MELD --modality text --seeds 3
    python -m experiments.benchmark.epc --corpus iemocap --root IEMOCAP_full_release

At each horizon the model of experiments.epc stands beside baselines of emotions and of words; what
is trained, or tested, without order, context, speakers or a modality; and what has the gold past.
Another future must change nothing. Further tables hold how well shifts of emotion are foreseen, and
scores by turn, context and next speaker.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from conversation_emotion.settings.epc_benchmark import EPCBenchmarkSettings
from conversation_emotion.settings.recognition import EPCSettings
from conversation_emotion.tracker import Memory
from experiments import epc
from experiments.framework.commandline import command_of
from experiments.framework.experiment import Experiment, RowRun, Rows, Runs, Table, Task, show_table


class EPCBenchmark(Experiment[EPCBenchmarkSettings]):
    """Rows of many systems at each horizon, and a table each for shifts and kinds of targets."""

    name = "benchmark.epc"
    settings = EPCBenchmarkSettings
    heading = "Prediction in conversation; {settings.data.corpus}, {settings.features.modality}"
    columns = ("uar", "difference", "p_holm", "macro_f1", "shift_auc")

    def rows(self, settings: EPCBenchmarkSettings) -> dict[str, EPCBenchmarkSettings]:
        """Returns at each horizon a run of the model, and those of what is trained beside it."""
        return {
            f"+{horizon}: {' '.join(beside) or 'the model'}": settings.for_row(horizon, *beside)
            for horizon in settings.horizons
            for beside in settings.trainings
        }

    def task(self, row: EPCBenchmarkSettings, memory: Memory) -> Task:
        """Prepares the model with its baselines, or what is trained beside it."""
        from conversation_emotion.tasks.epc_benchmark import prepare_benchmark

        return prepare_benchmark(row, memory)

    def results(self, settings: EPCBenchmarkSettings, runs: Runs) -> Rows:
        """Lays out all systems of each horizon, and the published figures of the next turn."""
        command, rows = command_of(self.name, settings), [*self.compare(runs)]
        for run in runs:
            if (row := run.settings).horizons == (1,) and not row.retrain:
                own = EPCSettings(data=row.data, features=row.features, model=row.model_of_row())
                rows += epc.EXPERIMENT.published(own, [run])
        return [replace(row, command=row.command and command) for row in rows]

    def compare(self, runs: Runs) -> Iterator[Any]:
        """Yields a row for every system of a horizon, with its difference to the model."""
        from conversation_emotion.evaluation.systems import SYSTEMS, join_systems, score_systems

        for model in models(runs):
            same = [run for run in runs if run.settings.horizons == model.settings.horizons]
            trained = {"".join(run.settings.retrain): run for run in same}
            others, task = {n: tested(run) for n, run in trained.items() if n}, model.task
            table = join_systems(tested(model), others)
            scores = score_systems(table, task.labels, is_balanced=task.is_balanced)
            for name, found in scores.items():
                title, kind = SYSTEMS[name]
                title = title.format(changed=f"{table['future_changed'].sum()} of {len(table):,}")
                own = {"kind": kind, "values": found.values, "per_class": found.per_class}
                title = f"+{model.settings.horizons[0]}: {title}"
                yield self.score(trained.get(name, model), title, found.metrics, **own)

    def show(self, settings: EPCBenchmarkSettings, runs: Runs) -> Table:
        """Shows shifts and kinds of targets as tables of their own."""
        from conversation_emotion.evaluation import systems

        table, parents = super().show(settings, runs), [run.run for run in runs]
        tables = {run.settings.horizons[0]: tested(run) for run in models(runs)}
        own = {"kind": "reference", "per_class": {}, "settings": {}, "command": ""}
        rows = [
            self.score(run, f"+{run.settings.horizons[0]}: {kind}", metrics, **own)
            for run in models(runs)
            for kind, metrics in systems.score_kinds(tested(run), len(run.task.labels))
        ]
        show_table(systems.tabulate_shifts(table, tables), parents, "shifts")
        show_table(systems.tabulate_kinds(table, rows), parents, "kinds")
        return table

    def protocol(self, settings: EPCBenchmarkSettings, runs: Runs) -> Iterator[str]:
        """Describes how scores came about, with the targets of each horizon."""
        from conversation_emotion.training.cross_validation import describe_protocol

        counts = {run.name.partition(":")[0]: run.scores["model"]["uar"].n for run in models(runs)}
        yield from describe_protocol(runs[0].task, counts, self.bounds(runs))

    def notes(self, settings: EPCBenchmarkSettings, runs: Runs) -> Iterator[str]:
        """Says what differences are, what rows are given, and which are missing."""
        from conversation_emotion.evaluation.systems import describe_systems

        yield from describe_systems(runs[0].predictions)


def tested(run: RowRun) -> Any:
    """Returns the predictions of a run on test."""
    return run.predictions[run.predictions["part"] == "test"]


def models(runs: Runs) -> list[RowRun]:
    """Returns the runs of the model that lacks nothing, one of each horizon."""
    return [run for run in runs if not run.settings.retrain]


EXPERIMENT = EPCBenchmark()


if __name__ == "__main__":
    EXPERIMENT.main()
