"""Figures of a sweep for its parent run: pictures, and the page that compares its strategies.

The trainings of one name (fold and seed) use the same utterances, so the best settings of two
fusion strategies are compared in pairs.
"""

import json
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import optuna
import optuna.visualization.matplotlib as pictures
from matplotlib import pyplot
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from optuna.exceptions import ExperimentalWarning
from optuna.importance import FanovaImportanceEvaluator
from optuna.trial import FrozenTrial, TrialState

from conversation_emotion.figures.comparison_page import Pair, compare_pairs
from experiments.sweep.study import SweepSpec, SweepStudy, classify, metric_of, scored, trainings
from experiments.tracking.runs import ParentRun

_LARGER_IS_DARKER = "viridis_r"
"""Colours of lines by their score; those of Optuna leave the best near white."""

_FREE = ("modality", "data")
"""Settings that may differ between studies whose strategies are compared."""


class Drawing(NamedTuple):
    """A picture, and the name of its file."""

    name: str
    picture: Figure


class Strategy(NamedTuple):
    """The best setting of a strategy, where it was found, and its scores on valid by training.

    The name is the modality, and the fusion where there is more than one.
    """

    name: str
    trial: str
    scores: dict[str, float]

    def mean(self) -> float:
        """Returns the mean score."""
        return fmean(self.scores.values())


def log_figures(study: SweepStudy, spec: SweepSpec, parent: ParentRun) -> None:
    """Draws what the trials allow, and keeps it with the parent run."""
    with matplotlib.rc_context({"figure.constrained_layout.use": True}):
        for drawing in [*draw_search(study, spec), *_draw_strategies(study, parent)]:
            parent.client.log_figure(parent.run_id, drawing.picture, f"figures/{drawing.name}.png")
            pyplot.close(drawing.picture)


def draw_search(study: SweepStudy, spec: SweepSpec) -> Iterator[Drawing]:
    """Draws the course of the search, from trials with a score of their own."""
    ran = [trial for trial in study.trials() if classify(trial) in ("complete", "pruned")]
    if sum(trial.state == TrialState.COMPLETE for trial in ran) < 2:
        return
    own = optuna.create_study(directions=study.study.directions)
    own.add_trials(ran)
    metric = f"{metric_of(ran)} on valid"
    target = {"target": lambda trial: float(trial.values[0]), "target_name": metric}
    drawers = [("history", "plot_optimization_history", target)]
    evaluator = FanovaImportanceEvaluator(seed=0)  # the default one asks what gives low scores
    if varied := _varied(ran):
        drawers += [
            ("importances", "plot_param_importances", {**target, "evaluator": evaluator}),
            ("parallel_coordinates", "plot_parallel_coordinate", {**target, "params": varied}),
            ("slices", "plot_slice", {**target, "params": varied}),
        ]
    if second := spec.sweep.second_objective:
        drawers.append(("pareto_front", "plot_pareto_front", {"target_names": [metric, second]}))
    for name, function, options in drawers:
        with warnings.catch_warnings(action="ignore", category=UserWarning):
            warnings.simplefilter("ignore", ExperimentalWarning)
            picture = _figure_of(getattr(pictures, function)(own, **options))
        for lines in picture.findobj(LineCollection):
            lines.set_cmap(_LARGER_IS_DARKER)
        yield Drawing(name, picture)


def _varied(trials: Sequence[FrozenTrial]) -> list[str]:
    """Returns the parameters that took more than one value."""
    taken = {(name, str(value)) for trial in trials for name, value in trial.params.items()}
    return sorted(name for name, n in Counter(name for name, _ in taken).items() if n > 1)


def _figure_of(axes: Any) -> Figure:
    figure = np.ravel(axes)[0].get_figure()
    figure.set_size_inches(max(6.4, 1.8 * len(figure.axes)), 4.8)
    if len(figure.axes) > 2:  # next to each other, the names of choices would overlap
        for part in figure.axes:
            part.tick_params(axis="x", which="both", labelrotation=50)
    return figure


def _draw_strategies(study: SweepStudy, parent: ParentRun) -> Iterator[Drawing]:
    """Draws the fusion strategies and modalities next to each other, if the trials have any."""
    strategies = compare_strategies(study)
    if not strategies:
        return
    pairs = compare_pairs([(one.name, one.scores) for one in strategies])
    metric = f"{metric_of(study.trials())} on valid"
    parent.log_text(format_comparison(strategies, pairs, metric), "figures/fusion_comparison.txt")
    drawn = (strategies, format_significance(pairs), metric)
    yield Drawing("fusion_comparison", draw_picture(*drawn))


def compare_strategies(study: SweepStudy) -> list[Strategy]:
    """Returns the best setting of each fusion strategy and modality, the best strategy first.

    Studies of the same storage that differ in nothing but the modality are included.
    """
    best: dict[str, Strategy] = {}
    for other in _comparable(study):
        for trial in scored(other.get_trials(deepcopy=False)):
            name = name_strategy(trial)
            if name is not None and (name not in best or trial.values[0] > best[name].mean()):
                scores = {one["name"]: one["score"] for one in trainings(trial)}
                best[name] = Strategy(name, f"{other.study_name}, trial {trial.number}", scores)
    return sorted(best.values(), key=Strategy.mean, reverse=True)


def format_comparison(strategies: Sequence[Strategy], pairs: Sequence[Pair], metric: str) -> str:
    """Formats the comparison as a text."""
    lines = [f"{s.name}: {s.mean():.4f} {metric}, best of {s.trial}" for s in strategies]
    lines += [
        f"{pair.better} - {pair.worse}: {pair.difference:+.4f}, p = {pair.p:.3f} "
        f"(paired permutation test over {pair.num_trainings} trainings, Holm's correction)"
        for pair in pairs
    ]
    lines.append("scores are those on valid that chose the settings: they flatter every strategy")
    return "\n".join(lines)


def format_significance(pairs: Sequence[Pair]) -> str:
    """Lists in a line which strategies differ."""
    if not pairs:
        return "no two strategies were trained on the same folds"
    clear = [f"{pair.better} > {pair.worse} (p = {pair.p:.3f})" for pair in pairs if pair.p < 0.05]
    least = min(pair.p for pair in pairs)
    return "; ".join(clear) or f"no difference is significant: least corrected p = {least:.3f}"


def draw_picture(strategies: Sequence[Strategy], caption: str, metric: str) -> Figure:
    """Draws a box for each strategy with its trainings as points."""
    figure, axes = pyplot.subplots(figsize=(max(6.4, 1.7 * len(strategies)), 5.2))
    scores = [[*strategy.scores.values()] for strategy in strategies]
    axes.boxplot(scores, tick_labels=[s.name.replace(", ", "\n") for s in strategies])
    for place, values in enumerate(scores, start=1):
        axes.plot([place] * len(values), values, "o", color="tab:blue", alpha=0.6)
    axes.set_ylabel(f"{metric}, per fold and seed")
    axes.set_title("Best setting of each strategy")
    figure.supxlabel(caption, fontsize=8)
    return figure


def _comparable(study: SweepStudy) -> Iterator[optuna.Study]:
    """Yields the study and those of its storage that differ in the modality alone."""
    own = _fixed_settings(study.study.user_attrs)
    for summary in optuna.get_all_study_summaries(study.storage):
        if summary.study_name == study.study.study_name:
            yield study.study
        elif own and _fixed_settings(summary.user_attrs) == own:
            yield optuna.load_study(study_name=summary.study_name, storage=study.storage)


def _fixed_settings(attributes: Mapping[str, Any]) -> dict[str, str]:
    kept = json.loads(attributes.get("settings", "{}"))
    return {name: value for name, value in kept.items() if name not in _FREE}


def name_strategy(trial: FrozenTrial) -> str | None:
    """Returns the fusion strategy and modality of a trial; None for one without modalities."""
    settings = json.loads(trial.user_attrs.get("config", "{}"))
    modality = settings.get("modality")
    if modality is None or "fusion" not in settings:
        return None
    return modality if "+" not in modality else f"{modality}, {settings['fusion']}"
