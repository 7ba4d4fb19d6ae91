"""Fusion strategies side by side: the scores of the best setting of each, and which differ.

Every training of one name (fold and seed) learns and judges the same utterances, so the best
settings of two strategies are compared in pairs, by the exact permutation test of the mean
difference, with Holm's correction over all pairs (Holm, 1979).
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import optuna
from matplotlib import pyplot
from matplotlib.figure import Figure
from optuna.trial import FrozenTrial

from experiments.sweep.study import SweepStudy, scored, trainings

_FREE = ("modality",)
"""What may differ between studies whose strategies are compared."""


class Strategy(NamedTuple):
    """The best setting of a strategy on valid.

    Attributes:
        name: Modality, and fusion where there is more than one.
        trial: Where it was found.
        scores: On valid, by the name of the training.
    """

    name: str
    trial: str
    scores: dict[str, float]

    def mean(self) -> float:
        """Returns the mean score."""
        return float(np.mean([*self.scores.values()]))


class Pair(NamedTuple):
    """Two strategies compared training by training.

    Attributes:
        better: Name of the one with the higher mean.
        worse: Name of the other.
        difference: Of the means.
        num_trainings: Pairs of trainings.
        p: Of no difference, two-sided, corrected for the number of pairs of strategies.
    """

    better: str
    worse: str
    difference: float
    num_trainings: int
    p: float


def compare_strategies(study: SweepStudy) -> list[Strategy]:
    """Finds the best setting of each fusion strategy and modality, the best strategy first.

    Studies of the same storage that differ in nothing but the modality stand beside.
    """
    best: dict[str, Strategy] = {}
    for other in _comparable(study):
        for trial in scored(other.get_trials(deepcopy=False)):
            name = _strategy(trial)
            if name is not None and (name not in best or _value(trial) > best[name].mean()):
                scores = {one["name"]: one["score"] for one in trainings(trial)}
                best[name] = Strategy(name, f"{other.study_name}, trial {trial.number}", scores)
    return sorted(best.values(), key=Strategy.mean, reverse=True)


def compare_pairs(strategies: Sequence[Strategy]) -> list[Pair]:
    """Tests each pair of strategies that were trained on the same folds and seeds."""
    found = []
    for better, worse in combinations(strategies, 2):
        names = sorted(set(better.scores) & set(worse.scores))
        if len(names) < 2:
            continue
        differences = np.array([better.scores[name] - worse.scores[name] for name in names])
        p = permutation_p(differences)
        found.append(Pair(better.name, worse.name, float(differences.mean()), len(names), p))
    corrected = correct_by_holm([pair.p for pair in found])
    return [pair._replace(p=p) for pair, p in zip(found, corrected, strict=True)]


def permutation_p(differences: np.ndarray) -> float:
    """Tests whether paired differences are symmetric about 0, exactly if they are few: (N,)."""
    from scipy.stats import permutation_test

    if not differences.any():
        return 1.0
    result = permutation_test(
        (differences,),
        np.mean,
        permutation_type="samples",
        vectorized=True,
        n_resamples=2**15,
        rng=np.random.default_rng(0),
    )
    return float(result.pvalue)


def correct_by_holm(ps: Sequence[float]) -> list[float]:
    """Corrects the p values of several tests (Holm, 1979)."""
    order = np.argsort(ps, kind="stable")
    corrected, largest = [0.0] * len(ps), 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, (len(ps) - rank) * ps[place]))
        corrected[place] = largest
    return corrected


def write_comparison(strategies: Sequence[Strategy], pairs: Sequence[Pair]) -> str:
    """Writes the comparison as a text."""
    lines = [f"{s.name}: {s.mean():.4f} on valid, best of {s.trial}" for s in strategies]
    lines += [
        f"{pair.better} - {pair.worse}: {pair.difference:+.4f}, p = {pair.p:.3f} "
        f"(paired permutation test over {pair.num_trainings} trainings, Holm's correction)"
        for pair in pairs
    ]
    lines.append("scores are those on valid that chose the settings: they flatter every strategy")
    return "\n".join(lines)


def draw_page(strategies: Sequence[Strategy], caption: str) -> Any:
    """Draws a box per strategy for the browser."""
    import plotly.graph_objects as go

    boxes = [
        go.Box(
            name=strategy.name,
            y=[*strategy.scores.values()],
            text=[*strategy.scores],
            boxpoints="all",
            pointpos=0,
            jitter=0.3,
        )
        for strategy in strategies
    ]
    figure = go.Figure(boxes)
    figure.update_layout(
        title={"text": "Best setting of each strategy", "subtitle": {"text": caption}},
        yaxis_title="score on valid, per fold and seed",
        showlegend=False,
    )
    return figure


def draw_picture(strategies: Sequence[Strategy], caption: str) -> Figure:
    """Draws a box per strategy with its trainings as points."""
    figure, axes = pyplot.subplots(figsize=(max(6.4, 1.7 * len(strategies)), 5.2))
    scores = [[*strategy.scores.values()] for strategy in strategies]
    axes.boxplot(scores, tick_labels=[s.name.replace(", ", "\n") for s in strategies])
    for place, values in enumerate(scores, start=1):
        axes.plot([place] * len(values), values, "o", color="tab:blue", alpha=0.6)
    axes.set_ylabel("score on valid, per fold and seed")
    axes.set_title("Best setting of each strategy")
    figure.supxlabel(caption, fontsize=8)
    return figure


def significance(pairs: Sequence[Pair]) -> str:
    """Says in a line which strategies differ."""
    if not pairs:
        return "no two strategies were trained on the same folds"
    clear = [f"{pair.better} > {pair.worse} (p = {pair.p:.3f})" for pair in pairs if pair.p < 0.05]
    least = min(pair.p for pair in pairs)
    return "; ".join(clear) or f"no difference is significant: least corrected p = {least:.3f}"


def _comparable(study: SweepStudy) -> Iterator[optuna.Study]:
    """Yields the study and those of its storage that differ in the modality alone."""
    mine = _settings(study.study.user_attrs)
    for summary in optuna.get_all_study_summaries(study.storage):
        if summary.study_name == study.study.study_name:
            yield study.study
        elif mine and _settings(summary.user_attrs) == mine:
            yield optuna.load_study(study_name=summary.study_name, storage=study.storage)


def _settings(attributes: Mapping[str, Any]) -> dict[str, str]:
    kept = json.loads(attributes.get("settings", "{}"))
    return {name: value for name, value in kept.items() if name not in (*_FREE, "data")}


def _strategy(trial: FrozenTrial) -> str | None:
    """Names the fusion strategy and modality of a trial; None for one without modalities."""
    settings = json.loads(trial.user_attrs.get("config", "{}"))
    modality = settings.get("modality")
    if modality is None or "fusion" not in settings:
        return None
    return modality if "+" not in modality else f"{modality}, {settings['fusion']}"


def _value(trial: FrozenTrial) -> float:
    return float(trial.values[0])
