"""A selection nested in the folds: in each, valid chooses among runs, and test scores the choice.

    python -m experiments.choose RUN RUN RUN
    python -m experiments.choose SWEEP

RUN are ids of finished runs of experiments that predict classes, as their tables name them, on the
same corpus, folds and seeds; SWEEP is that of a sweep, for its settings that were scored on test.
Whoever picks the best row of a table by valid scores over all folds uses people in one fold who are
tested in another, and the figure leans upwards; here a fold's own valid part alone chooses for it,
of equals the run that is named first. Nothing is trained. Prints a row per run and one for the
choice, and writes mlruns/.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from experiments.framework.commandline import launch
from experiments.framework.experiment import show_table

if TYPE_CHECKING:
    from conversation_emotion.evaluation.metrics import Interval
    from experiments.tracking.finished import Systems

CHOSEN = "chosen by valid in each fold"


@dataclass(frozen=True, kw_only=True)
class ChooseSettings:
    """Which runs are chosen from, and by what."""

    runs: Annotated[tuple[str, ...], tyro.conf.Positional]
    """Ids of the runs, or of one sweep."""

    select_by: Literal["auto", "uar", "wa", "macro_f1", "weighted_f1"] = "auto"
    """Metric on valid that chooses; auto is the one that selected in the runs."""

    def __post_init__(self) -> None:
        if not self.runs or len(set(self.runs)) < len(self.runs):
            raise ValueError(
                f"two runs or more are needed, all different, or a sweep; got {len(self.runs)}"
            )


def run(settings: ChooseSettings) -> "dict[str, Interval]":
    """Chooses in each fold, prints the table, and returns the choice's scores on test."""
    from conversation_emotion.evaluation.decisions import choose_by_valid
    from conversation_emotion.evaluation.metrics import METRICS, score_predictions
    from conversation_emotion.evaluation.results import (
        ResultsTable,
        RowResult,
        describe_bounds,
        name_metrics,
        with_pooled,
    )
    from conversation_emotion.tracker import PREDICTIONS
    from experiments.tracking.finished import find_tested, read_systems
    from experiments.tracking.runs import open_run

    first, *others = settings.runs
    chosen_from = settings.runs if others else find_tested(first)
    systems = read_systems(chosen_from)
    metric = choose_metric(settings, systems)
    with open_run("choose", settings, " ".join(chosen_from)) as parent:
        chosen, counts = choose_by_valid(systems.predictions, metric=metric)
        parent.log_table(chosen, PREDICTIONS)
        scores = {
            name: score_predictions(table[table["part"] == "test"], len(systems.labels))
            for name, table in {**systems.predictions, CHOSEN: chosen}.items()
        }
        parent.log_metrics(name_metrics("test", scores[CHOSEN]))
        folds, seeds = chosen["fold"].nunique(), chosen["seed"].nunique()
        n = scores[CHOSEN]["uar"].n
        rows = [
            RowResult(name=name, metrics=found, num_folds=folds, num_seeds=seeds, n=n)
            for name, found in scores.items()
        ]
        bounds = describe_bounds(chosen[chosen["part"] == "test"])
        notes = (
            f"mean ± deviation over {folds} fold(s) x {seeds} seed(s) [{bounds}], n = {n:,}",
            *_describe(systems, counts, metric),
        )
        table = ResultsTable(
            title="Selection nested in the folds, on test",
            columns=with_pooled(tuple(METRICS), rows),
            rows=tuple(rows),
            notes=notes,
        )
        show_table(table, [parent])
    return scores[CHOSEN]


def choose_metric(settings: ChooseSettings, systems: "Systems") -> str:
    """Returns the metric that chooses.

    Raises:
        ValueError: The runs selected by different metrics, and none is named.
    """
    if settings.select_by != "auto":
        return settings.select_by
    if len(set(systems.metrics.values())) > 1:
        listed = "; ".join(f"{name}: {metric}" for name, metric in systems.metrics.items())
        raise ValueError(f"the runs selected by different metrics, name --select-by ({listed})")
    return next(iter(systems.metrics.values()))


def _describe(systems: "Systems", counts: dict[str, int], metric: str) -> Iterator[str]:
    yield f"classes: {', '.join(systems.labels)}"
    often = sorted(((count, name) for name, count in counts.items() if count), reverse=True)
    yield f"chosen by valid {metric}: " + "; ".join(f"{count} x {name}" for count, name in often)
    yield "the other rows are not chosen by anything: the best of them leans upwards"


main = partial(launch, run, ChooseSettings, "choose")

if __name__ == "__main__":
    main()
