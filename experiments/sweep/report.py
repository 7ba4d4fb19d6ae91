"""The end of a sweep: its best settings on valid and on test beside the default, in one table."""

import json
from collections.abc import Iterator
from typing import Any

import pandas as pd
from mlflow.entities import Metric
from optuna.trial import FixedTrial, FrozenTrial
from rich import box
from rich.console import Console
from rich.table import Table

from conversation_emotion.evaluation.metrics import Interval
from experiments import commandline as _cli
from experiments.sweep import space as _search
from experiments.sweep.mirror import Mirror, summarise
from experiments.sweep.search import TESTED, choose_for_test
from experiments.sweep.storage import describe
from experiments.sweep.study import Order, SweepStudy, classify, scored, trainings
from experiments.sweep.trials import load_experiment
from experiments.tracking.runs import ParentRun


def report(study: SweepStudy, order: Order, parent: ParentRun, mirror: Mirror) -> None:
    """Keeps scores and settings with the parent run, and prints the table."""
    parent.log_table(tabulate(study.trials()), "trials.parquet")
    tested = test_scores(study)
    _log_scores(study, parent, mirror, tested)
    text = write_table(study, order, tested)
    print(text, end="")
    parent.log_text(text, "table.txt")
    if best := scored(study.trials())[:1]:
        command = command_of(order, best[0])
        parent.log_text(command + "\n", "best_command.txt")
        print(f"the best on valid again: {command}")
    print(f"run {parent.run_id}; see it with: python -m experiments.ui")


def test_scores(study: SweepStudy) -> dict[int, dict[str, Interval]]:
    """Returns the scores on test by the number of the trial."""
    return {
        int(name.removeprefix(TESTED)): {
            metric: Interval(*interval) for metric, interval in json.loads(kept).items()
        }
        for name, kept in study.study.user_attrs.items()
        if name.startswith(TESTED)
    }


def tabulate(trials: list[FrozenTrial]) -> pd.DataFrame:
    """Lays out all trials, a row each."""
    rows = []
    for trial in trials:
        rows.append(
            {
                "trial": trial.number,
                "outcome": classify(trial) or "surplus",
                "score": trial.values[0] if trial.values else None,
                **summarise(trial),
                **{name: _search.write_value(value) for name, value in trial.params.items()},
            }
        )
    return pd.DataFrame(rows)


def command_of(order: Order, trial: FrozenTrial) -> str:
    """Writes the command that trains and tests the setting of a trial."""
    space = load_experiment(order.experiment).search_space
    return _cli.command_of(space(FixedTrial(trial.params), order.config))


def write_table(study: SweepStudy, order: Order, tested: dict[int, dict[str, Interval]]) -> str:
    """Writes the best settings, the default, and how the trials ended."""
    standing, trials = study.standing(), study.trials()
    table = Table(
        title=f"Sweep {order.name}: {standing.describe()}",
        caption="\n".join(_captions(order, tested)),
        caption_justify="left",
        title_justify="left",
        box=box.SIMPLE_HEAD,
    )
    metrics = list(next(iter(tested.values()), {}))
    for name in ("in percent", "on valid", *(f"test {metric}" for metric in metrics)):
        table.add_column(name, justify="left" if name == "in percent" else "right")
    for name, trial in _rows(study, order, trials):
        intervals = tested.get(trial.number, {})
        table.add_row(name, _valid_cell(trial), *(write_interval(intervals[m]) for m in intervals))
    console = Console(width=170)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


def write_interval(interval: Interval) -> str:
    """Writes a score in percent with deviation and interval."""
    score, low, high, deviation = (100 * value for value in interval[:4])
    return f"{score:.1f} ± {deviation:.1f} [{low:.1f}, {high:.1f}]"


def _rows(
    study: SweepStudy, order: Order, trials: list[FrozenTrial]
) -> Iterator[tuple[str, FrozenTrial]]:
    chosen = choose_for_test(study, max(order.sweep.top, 1))
    for rank, trial in enumerate(chosen, start=1):
        settings = ", ".join(
            f"{name} {_short(value)}" for name, value in sorted(trial.params.items())
        )
        settings = "the default" if "default" in trial.user_attrs else settings
        place = f"{rank}. " if rank <= order.sweep.top else ""
        yield f"{place}trial {trial.number}: {settings}", trial


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else _search.write_value(value)


def _valid_cell(trial: FrozenTrial) -> str:
    scores = pd.Series([training["score"] for training in trainings(trial)])
    deviation = scores.std() if len(scores) > 1 else 0.0
    ended = "" if classify(trial) == "complete" else f" ({classify(trial)}, {len(scores)})"
    return f"{100 * scores.mean():.1f} ± {100 * deviation:.1f}{ended}"


def _captions(order: Order, tested: dict[int, Any]) -> Iterator[str]:
    yield "ranked by the mean over folds and seeds on valid, which chose the settings"
    if tested:
        yield "test was looked at after the study: mean ± deviation [95 % bootstrap interval]"
        yield "the rank on test among the best shows how much of the rank on valid is luck"
    yield f"trials in {describe(order.sweep.storage)}, study {order.name}"


def _log_scores(
    study: SweepStudy,
    parent: ParentRun,
    mirror: Mirror,
    tested: dict[int, dict[str, Interval]],
) -> None:
    """Keeps the scores on test with the trials, and those of best and default with the parent."""
    for number, intervals in tested.items():
        run_id = mirror.run_id(number)
        if run_id is not None:
            _log_test(parent, run_id, intervals)
    ranked = scored(study.trials())
    if not ranked:
        return
    parent.log_metrics({"best/valid": ranked[0].values[0], "best/trial": ranked[0].number})
    parent.log_metrics({f"trials/{name}": n for name, n in study.standing()._asdict().items()})
    if ranked[0].number in tested:
        _log_test(parent, parent.run_id, tested[ranked[0].number], "best_")
    for trial in ranked:
        if "default" in trial.user_attrs and trial.number in tested:
            _log_test(parent, parent.run_id, tested[trial.number], "default_")


def _log_test(
    parent: ParentRun, run_id: str, intervals: dict[str, Interval], prefix: str = ""
) -> None:
    metrics = [
        Metric(f"{prefix}test/{metric}{suffix}", value, 0, 0)
        for metric, interval in intervals.items()
        for suffix, value in zip(("", "_ci_low", "_ci_high", "_std"), interval, strict=False)
    ]
    parent.client.log_batch(run_id, metrics=metrics)
