"""The end of a sweep: its best settings on valid and on test, and the default, in one table."""

import json
from collections.abc import Iterator
from statistics import fmean, stdev

import pandas as pd
from optuna.trial import FixedTrial, FrozenTrial

from conversation_emotion.evaluation.metrics import Interval, describe_metric
from conversation_emotion.evaluation.rendering import Cell, Line, interval_cell, render_table
from conversation_emotion.evaluation.results import KEPT_WIDTH, name_metrics, screen_width
from conversation_emotion.settings.flags import format_setting
from experiments.framework import commandline
from experiments.sweep.mirror import Mirror, summarise
from experiments.sweep.search import TESTED, choose_for_test
from experiments.sweep.storage import describe
from experiments.sweep.study import SweepSpec, SweepStudy, classify, metric_of, scored, trainings
from experiments.sweep.trials import space_of
from experiments.tracking.runs import ParentRun

Tested = dict[int, dict[str, Interval]]
"""Scores on test by the number of the trial and the metric."""


def report(study: SweepStudy, spec: SweepSpec, parent: ParentRun, mirror: Mirror) -> None:
    """Keeps scores and settings with the parent run, and prints the table."""
    trials, tested = study.trials(), read_tested(study)
    metric = metric_of(trials)
    parent.log_table(tabulate(trials), "trials.parquet")
    _log_scores(study, parent, mirror, tested)
    commands = [command_of(spec, trial) for trial in scored(trials)[:1]]
    for command in commands:
        parent.log_text(command + "\n", "best_command.txt")
    text = {
        width: render_table(
            f"Sweep {spec.name}: {study.counts().describe()}",
            "in percent",
            [f"valid {metric}", *(f"test {name}" for name in next(iter(tested.values()), {}))],
            list(list_lines(study, spec, tested)),
            notes=list(_captions(spec, metric, tested, trials)),
            commands=commands,
            width=width,
        )
        for width in (screen_width(), KEPT_WIDTH)
    }
    print(text[screen_width()], end="")
    parent.log_text(text[KEPT_WIDTH], "table.txt")
    print(f"run {parent.run_id}; compare its trials with: python -m experiments.ui")


def read_tested(study: SweepStudy) -> Tested:
    """Returns the scores on test."""
    return {
        int(name.removeprefix(TESTED)): {
            metric: Interval(*interval) for metric, interval in json.loads(kept).items()
        }
        for name, kept in study.study.user_attrs.items()
        if name.startswith(TESTED)
    }


def tabulate(trials: list[FrozenTrial]) -> pd.DataFrame:
    """Returns a table of all trials, a row each."""
    return pd.DataFrame(
        {
            "trial": trial.number,
            "outcome": classify(trial) or "surplus",
            "metric": metric_of(trials),
            "score": trial.values[0] if trial.values else None,
            **summarise(trial),
            **{name: format_setting(value) for name, value in trial.params.items()},
        }
        for trial in trials
    )


def command_of(spec: SweepSpec, trial: FrozenTrial) -> str:
    """Returns the command that trains and tests the setting of a trial."""
    name = spec.experiment.rpartition(".")[2]
    return commandline.command_of(name, space_of(spec)(FixedTrial(trial.params), spec.settings))


def list_lines(study: SweepStudy, spec: SweepSpec, tested: Tested) -> Iterator[Line]:
    """Yields the best settings, and the default."""
    for rank, trial in enumerate(choose_for_test(study, max(spec.sweep.top, 1)), start=1):
        settings = ", ".join(
            f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {format_setting(value)}"
            for name, value in sorted(trial.params.items())
        )
        settings = "the default" if "default" in trial.user_attrs else settings
        place = f"{rank}. " if rank <= spec.sweep.top else ""
        found = tested.get(trial.number, {})
        several = len(trainings(trial)) > 1
        cells = [
            interval_cell(
                interval, name, has_deviation=several and not describe_metric(name).is_pooled
            )
            for name, interval in found.items()
        ]
        cells += [Cell()] * (len(next(iter(tested.values()), {})) - len(cells))
        yield Line(f"{place}trial {trial.number}: {settings}", [Cell(_valid_cell(trial)), *cells])


def _valid_cell(trial: FrozenTrial) -> str:
    scores = [100 * training["score"] for training in trainings(trial)]
    deviation = f" ± {stdev(scores):.1f}" if len(scores) > 1 else ""
    ended = "" if classify(trial) == "complete" else f" ({classify(trial)}, {len(scores)})"
    return f"{fmean(scores):.1f}{deviation}{ended}"


def _captions(
    spec: SweepSpec, metric: str, tested: Tested, trials: list[FrozenTrial]
) -> Iterator[str]:
    yield f"ranked by the mean {metric} over folds and seeds on valid, which chose the settings"
    if tested:
        several = any(len(trainings(trial)) > 1 for trial in trials)
        mean = "mean ± deviation" if several else "score of one training"
        yield f"test was used after the study: {mean} [95 % interval]"
        yield "the rank on test among the best shows how much of the rank on valid is luck"
    yield f"trials in {describe(spec.sweep.storage)}, study {spec.name}"


def _log_scores(study: SweepStudy, parent: ParentRun, mirror: Mirror, tested: Tested) -> None:
    """Keeps the scores on test with the trials, and those of best and default with the parent.

    Each metric is a column of MLflow's table: of test, those of the metric that chose are kept
    there, and all are in the table of the sweep.
    """
    ranked = scored(study.trials())
    metric = metric_of(ranked)
    found = {number: one[metric] for number, one in tested.items() if metric in one}
    for number, interval in found.items():
        if number in mirror.children:
            mirror.children[number].log_metrics(name_metrics("test", {metric: interval}))
    parent.describe({}, {"trials": study.counts().describe()})
    defaults = [trial for trial in ranked if "default" in trial.user_attrs]
    for name, trials in (("best", ranked), ("default", defaults)):
        if not trials:
            continue
        trial = trials[0]
        parent.log_metrics({f"{name}/trial": trial.number, f"{name}/valid": trial.values[0]})
        if trial.number in found:
            parent.log_metrics({f"{name}/test": found[trial.number].score})
