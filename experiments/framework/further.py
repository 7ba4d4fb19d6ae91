"""Further tables of an experiment, next to that of its scores: groups of targets, certainty."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conversation_emotion.evaluation.results import ResultsTable
    from conversation_emotion.tasks.task import Task
    from experiments.framework.experiment import Experiment, Runs


def check_groups(task: "Task") -> None:
    """Checks that the utterances have the columns by which they are grouped or weighed.

    Raises:
        ValueError: A column is not there, is empty, or makes no groups.
    """
    from conversation_emotion.evaluation.groups import check_columns

    training, utterances = task.training, task.dataset.utterances
    check_columns(utterances, getattr(training, "by", ()), "--by")
    check_columns(utterances, getattr(training, "reweight_groups", ()), "--reweight-groups")


def list_further(
    experiment: "Experiment", table: "ResultsTable", runs: "Runs"
) -> "Iterator[tuple[str, ResultsTable]]":
    """Yields the further tables that the settings ask for, by the name of their files."""
    if getattr(runs[0].task.training, "by", ()):
        yield "groups", tabulate_groups(experiment, table, runs)
    if getattr(runs[0].task.training, "certainty", False):
        yield "certainty", tabulate_certainty(experiment, table, runs)
    if any(run.settings.words.asr for run in runs if hasattr(run.settings, "words")):
        from experiments.framework.transcribed import tabulate_transcribed

        yield "words", tabulate_transcribed(experiment, table.title, runs)
    if any(run.settings.votes.is_voted for run in runs if hasattr(run.settings, "votes")):
        from experiments.framework.voted import tabulate_votes

        yield from tabulate_votes(experiment, table.title, runs)


def tabulate_groups(
    experiment: "Experiment", table: "ResultsTable", runs: "Runs"
) -> "ResultsTable":
    """Scores groups of the targets of each row, and tests whether they differ."""
    from conversation_emotion.evaluation import groups
    from conversation_emotion.training.groups import score_by

    found = [score_by(run.task, run.predictions, run.task.training.by) for run in runs]
    rows, notes = [], []
    for run, scores in zip(runs, groups.correct(found), strict=True):
        prefix = f"{run.name}, " if len(runs) > 1 else ""
        measure = run.task.group_measure()
        notes += [f"{prefix}{note}" for note in groups.describe_groups(scores, measure)]
        for one in scores:
            own = {"values": one.values, "per_class": {}, "kind": "reference", "num_folds": 1}
            rows.append(experiment.score(run, f"{prefix}{one.group.name}", one.metrics, **own))
    return groups.tabulate_groups(table, rows, notes, runs[0].task.group_measure().metric)


def tabulate_certainty(
    experiment: "Experiment", table: "ResultsTable", runs: "Runs"
) -> "ResultsTable":
    """Scores how far the probabilities of each row can be trusted, and draws what risk remains."""
    from dataclasses import replace

    from conversation_emotion.figures.selective import draw_risks
    from conversation_emotion.training.certainty import describe_certainty, score_certainty

    rows, notes = [], []
    for run in runs:
        labels, coverage = run.task.labels, getattr(run.settings, "coverage", 0.9)
        prefix = f"{run.name}, " if len(runs) > 1 else ""
        found = score_certainty(run.predictions, labels, coverage)
        notes += [f"sets are made to hold {coverage:.0%}"]
        notes += describe_certainty(run.predictions, labels)
        drawn = {one.name: one.table for one in found if "set_size" not in one.metrics}
        run.run.log_figure(draw_risks(drawn, labels), "risk_coverage.png")
        run.run.log_metrics({"test/aurc": found[0].metrics["aurc"].score})
        for one in found:
            own = {"values": one.values, "per_class": {}, "kind": "reference", "num_folds": 1}
            num_seeds = int(one.table["seed"].nunique())
            name = f"{prefix}{one.name}"
            rows.append(experiment.score(run, name, one.metrics, num_seeds=num_seeds, **own))
    return replace(
        table,
        title=f"Certainty; {table.title}",
        columns=("pooled_uar", "ece", "aurc", "coverage", "coverage_worst", "set_size"),
        rows=tuple(rows),
        notes=tuple(dict.fromkeys(notes)),
    )
