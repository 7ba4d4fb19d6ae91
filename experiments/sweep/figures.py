"""Figures of a sweep for its parent run: each for the browser, and as a picture."""

import warnings
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import matplotlib
import optuna
from matplotlib import pyplot
from matplotlib.figure import Figure
from optuna.exceptions import ExperimentalWarning
from optuna.trial import FrozenTrial

from experiments.sweep.strategies import (
    compare_pairs,
    compare_strategies,
    draw_page,
    draw_picture,
    significance,
    write_comparison,
)
from experiments.sweep.study import Order, SweepStudy, classify
from experiments.tracking.runs import ParentRun


class Drawing(NamedTuple):
    """A figure of both kinds.

    Attributes:
        name: Of its files.
        page: For the browser, by plotly.
        picture: By matplotlib.
    """

    name: str
    page: Any
    picture: Figure


def log_figures(study: SweepStudy, order: Order, parent: ParentRun) -> list[str]:
    """Draws what the trials allow, keeps it with the parent run, and returns the names."""
    names = []
    with matplotlib.rc_context({"figure.constrained_layout.use": True}):
        for drawing in [*draw_search(study, order), *_draw_strategies(study, parent)]:
            parent.client.log_figure(parent.run_id, drawing.page, f"figures/{drawing.name}.html")
            parent.client.log_figure(parent.run_id, drawing.picture, f"figures/{drawing.name}.png")
            pyplot.close(drawing.picture)
            names.append(drawing.name)
    return names


def draw_search(study: SweepStudy, order: Order) -> Iterator[Drawing]:
    """Draws how the search went, from trials of their own with a score."""
    own = _own_trials(study)
    if sum(trial.state == optuna.trial.TrialState.COMPLETE for trial in own.trials) < 2:
        return
    aims = ["score on valid", *filter(None, [order.sweep.second_aim()])]
    pages, pictures = optuna.visualization, optuna.visualization.matplotlib
    target = {"target": _first_value, "target_name": aims[0]}
    varied = _varied(own.trials)
    drawers: list[tuple[str, str, dict[str, Any]]] = [
        ("history", "plot_optimization_history", target)
    ]
    if varied:
        drawers += [
            ("importances", "plot_param_importances", target),
            ("parallel_coordinates", "plot_parallel_coordinate", {**target, "params": varied}),
            ("slices", "plot_slice", {**target, "params": varied}),
        ]
    if len(aims) == 2:
        drawers.append(("pareto_front", "plot_pareto_front", {"target_names": aims}))
    for name, function, options in drawers:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            warnings.simplefilter("ignore", UserWarning)
            page = getattr(pages, function)(own, **options)
            picture = _figure_of(getattr(pictures, function)(own, **options))
        yield Drawing(name, page, picture)


def _draw_strategies(study: SweepStudy, parent: ParentRun) -> Iterator[Drawing]:
    """Draws the fusion strategies and modalities side by side, if trials know of any."""
    strategies = compare_strategies(study)
    if not strategies:
        return
    pairs = compare_pairs(strategies)
    parent.log_text(write_comparison(strategies, pairs), "figures/fusion_comparison.txt")
    caption = significance(pairs)
    yield Drawing(
        "fusion_comparison", draw_page(strategies, caption), draw_picture(strategies, caption)
    )


def _own_trials(study: SweepStudy) -> optuna.Study:
    """Copies the trials that were run into memory, without repetitions and what is lost."""
    own = optuna.create_study(directions=study.study.directions)
    own.add_trials([trial for trial in study.trials() if classify(trial) in ("complete", "pruned")])
    return own


def _first_value(trial: FrozenTrial) -> float:
    return float(trial.values[0])


def _varied(trials: Sequence[FrozenTrial]) -> list[str]:
    """Names the parameters that took more than one value."""
    names = sorted({name for trial in trials for name in trial.params})
    return [
        name
        for name in names
        if len({str(trial.params[name]) for trial in trials if name in trial.params}) > 1
    ]


def _figure_of(axes: Any) -> Figure:
    first = axes
    while not hasattr(first, "get_figure"):
        first = first[0]
    figure = first.get_figure()
    width = max(6.4, 1.8 * len(figure.axes))
    figure.set_size_inches(width, 4.8)
    if len(figure.axes) > 2:  # beside each other, the names of choices would overlap
        for part in figure.axes:
            part.tick_params(axis="x", which="both", labelrotation=50)
    return figure
