"""The page that compares systems: trials of a sweep, or runs, by strategy, setting and fold."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean, stdev

import numpy as np

from conversation_emotion.evaluation.metrics import describe_metric
from conversation_emotion.evaluation.rendering import format_number
from conversation_emotion.evaluation.significance import correct_by_holm, permutation_p
from conversation_emotion.figures.documents import render

Fields = dict[str, object]
"""What the template shows."""

_WIDE = 30
"""Ratio of the largest to the smallest number of an axis from which on it is logarithmic."""

MOST_AXES = 12
"""Settings that the parallel coordinates show, those that matter most."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A system that is compared.

    Attributes:
        name: Tells it from the others.
        strategy: The group that it is one of, such as its modality and fusion.
        varied: The settings in which systems differ.
        scores: Of each training, by fold and seed.
        command: Shell command that trains and tests it; empty if there is none.
        tested: Score on test, where it was tested.
        parameters: Trained parameters; None if unknown.
        seconds: Of all trainings; None if unknown.
        is_default: Whether it has the settings that nobody chose.
    """

    name: str
    strategy: str
    varied: Mapping[str, str | float]
    scores: Mapping[str, float]
    command: str = ""
    tested: float | None = None
    parameters: float | None = None
    seconds: float | None = None
    is_default: bool = False

    @property
    def mean(self) -> float:
        """The mean score."""
        return fmean(self.scores.values())


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Systems that were scored by the same metric.

    Attributes:
        title: Of the page.
        metric: Name of the metric.
        part: Of the corpus, on which ``scores`` are: ``valid`` or ``test``.
        candidates: The systems, two or more.
        importances: Share of the scores' variance that a setting explains, the largest first.
        notes: What has to be known to read it.
    """

    title: str
    metric: str
    part: str
    candidates: Sequence[Candidate]
    importances: Mapping[str, float]
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Pair:
    """Two systems compared training by training, by the difference of their means.

    The two-sided p-value of no difference is corrected for the number of pairs.
    """

    better: str
    worse: str
    difference: float
    num_trainings: int
    p: float


def compare_pairs(systems: Sequence[tuple[str, Mapping[str, float]]]) -> list[Pair]:
    """Tests each pair of systems that were trained on the same folds and seeds, by name and scores.

    Exact permutation test of the mean difference, with Holm's correction over all pairs.
    """
    found = []
    for (better, ours), (worse, theirs) in combinations(systems, 2):
        names = sorted(set(ours) & set(theirs))
        if len(names) < 2:
            continue
        differences = np.array([ours[name] - theirs[name] for name in names])
        p = permutation_p(differences)
        found.append(Pair(better, worse, float(differences.mean()), len(names), p))
    corrected = correct_by_holm([pair.p for pair in found])
    return [
        Pair(pair.better, pair.worse, pair.difference, pair.num_trainings, p)
        for pair, p in zip(found, corrected, strict=True)
    ]


def find_cheapest(candidates: Sequence[Candidate]) -> Candidate:
    """Returns the smallest system that is level with the best: within a standard error of it.

    The error is that of the difference over the trainings that both had. What has no known size
    costs the seconds that it took.
    """
    best = max(candidates, key=lambda one: one.mean)

    def is_level(one: Candidate) -> bool:
        names = sorted(set(best.scores) & set(one.scores))
        if len(names) < 2:
            return one is best
        differences = [best.scores[name] - one.scores[name] for name in names]
        return fmean(differences) <= stdev(differences) / len(names) ** 0.5

    level = [one for one in candidates if one is best or is_level(one)]
    return min(level, key=lambda one: (one.parameters or one.seconds or 0.0, -one.mean))


def render_comparison(comparison: Comparison) -> str:
    """Writes the page, as HTML that loads nothing."""
    ranked = sorted(comparison.candidates, key=lambda one: one.mean, reverse=True)
    best, cheapest = ranked[0], find_cheapest(ranked)
    groups: dict[str, list[Candidate]] = {}
    for one in ranked:
        groups.setdefault(one.strategy, []).append(one)
    strategies = [(name, group[0].scores) for name, group in groups.items()]
    described = describe_metric(comparison.metric)
    return render(
        "comparison",
        title=comparison.title,
        part=comparison.part,
        head=f"{described.title}{', %' if described.is_percent else ''}",
        notes=comparison.notes,
        chosen=list(_choose(ranked, best, cheapest, comparison)),
        strip=_draw_strip(groups, comparison.metric),
        pairs=[_show_pair(pair, comparison.metric) for pair in compare_pairs(strategies)],
        strategies=[
            _show_strategy(name, group, comparison.metric) for name, group in groups.items()
        ],
        folds=list(dict.fromkeys(name for _, scores in strategies for name in scores)),
        parallel=_draw_parallel(ranked, comparison),
        importances=[
            {"name": name, "share": share} for name, share in comparison.importances.items()
        ],
        agreement=_describe_agreement(ranked),
        varied=_list_varied(comparison),
        systems=[_show_system(one, comparison) for one in ranked],
        has_tests=any(one.tested is not None for one in ranked),
    )


def _choose(
    ranked: Sequence[Candidate], best: Candidate, cheapest: Candidate, comparison: Comparison
) -> Iterator[Fields]:
    """Yields the best, the default, and the cheapest that is level with the best."""
    default = next((one for one in ranked if one.is_default), None)
    for what, one in (("best", best), ("default", default), ("cheapest", cheapest)):
        if one is not None:
            yield {"what": what, "command": one.command, **_show_system(one, comparison)}


def _show_system(one: Candidate, comparison: Comparison) -> Fields:
    metric = comparison.metric
    return {
        "name": one.name,
        "strategy": one.strategy,
        "mean": one.mean,
        "score": _format_mean(list(one.scores.values()), metric),
        "tested": "" if one.tested is None else format_number(one.tested, metric),
        "parameters": "" if one.parameters is None else f"{one.parameters:,.0f}",
        "seconds": "" if one.seconds is None else f"{one.seconds:,.0f}",
        "values": [_format_value(one.varied.get(name, "")) for name in _list_varied(comparison)],
    }


def _format_mean(scores: Sequence[float], metric: str) -> str:
    spread = f" ± {format_number(stdev(scores), metric)}" if len(scores) > 1 else ""
    return f"{format_number(fmean(scores), metric)}{spread}"


def _format_value(value: str | float) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _show_strategy(name: str, group: Sequence[Candidate], metric: str) -> Fields:
    """Shows the best system of a strategy, training by training."""
    best = group[0]
    return {
        "name": name,
        "count": len(group),
        "best": best.name,
        "score": _format_mean(list(best.scores.values()), metric),
        "trainings": {fold: format_number(score, metric) for fold, score in best.scores.items()},
    }


def _show_pair(pair: Pair, metric: str) -> Fields:
    scale = 100 if describe_metric(metric).is_percent else 1
    return {
        "better": pair.better,
        "worse": pair.worse,
        "difference": f"{scale * pair.difference:+.1f}",
        "trainings": pair.num_trainings,
        "p": f"{pair.p:.3f}",
    }


def _draw_strip(groups: Mapping[str, Sequence[Candidate]], metric: str) -> Fields:
    """Places every system as a point in the row of its strategy, from 0 to 100 across."""
    means = [one.mean for group in groups.values() for one in group]
    low, high = min(means), max(means)
    width = (high - low) or 1.0

    def place(score: float) -> float:
        return round(100 * (score - low) / width, 2) if high > low else 50.0

    rows = [
        {
            "name": name,
            "points": [
                {"x": place(one.mean), "is_best": number == 0, "title": f"{one.name}: {mean}"}
                for number, one in enumerate(group)
                for mean in (_format_mean(list(one.scores.values()), metric),)
            ],
        }
        for name, group in groups.items()
    ]
    return {"rows": rows, "low": format_number(low, metric), "high": format_number(high, metric)}


def _list_varied(comparison: Comparison) -> list[str]:
    """Lists the settings that differ, the most important first."""
    taken: dict[str, set[str]] = {}
    for one in comparison.candidates:
        for name, value in one.varied.items():
            taken.setdefault(name, set()).add(str(value))
    names = [name for name, values in taken.items() if len(values) > 1]
    return sorted(names, key=lambda name: (-comparison.importances.get(name, 0.0), name))


def _draw_parallel(ranked: Sequence[Candidate], comparison: Comparison) -> Fields:
    """Draws a line for each system through its settings to its score, the best one darkest."""
    names = _list_varied(comparison)[:MOST_AXES]
    axes = [_Axis.of(name, [one.varied.get(name, "") for one in ranked]) for name in names]
    axes.append(_Axis.of(comparison.metric, [one.mean for one in ranked]))
    scores = axes[-1]
    lines = []
    for one in reversed(ranked):  # the best are drawn last, above the others
        values = [*(one.varied.get(name, "") for name in names), one.mean]
        heights = [axis.place(value) for axis, value in zip(axes, values, strict=True)]
        strength = 1 - scores.place(one.mean) / 100
        mean = _format_mean(list(one.scores.values()), comparison.metric)
        lines.append(
            {
                "points": " ".join(f"{60 + 120 * n},{y}" for n, y in enumerate(heights)),
                "opacity": round(0.12 + 0.88 * strength**2, 3),
                "title": f"{one.name}: {mean}",
            }
        )
    shown = [
        {"x": 60 + 120 * number, "name": axis.name, "ticks": axis.ticks(comparison.metric)}
        for number, axis in enumerate(axes)
    ]
    return {"axes": shown, "lines": lines, "width": 120 * len(axes)}


@dataclass(frozen=True)
class _Axis:
    """An axis of the parallel coordinates, from 100 below to 0 above."""

    name: str
    values: tuple[str | float, ...]
    scale: Callable[[float], float] | None

    @classmethod
    def of(cls, name: str, values: Sequence[str | float]) -> "_Axis":
        numbers = [value for value in values if not isinstance(value, str)]
        if len(numbers) < len(values):
            return cls(name, tuple(sorted(set(map(str, values)))), None)
        low, high = min(numbers), max(numbers)
        is_wide = low > 0 and high / low >= _WIDE
        return cls(name, (low, high), math.log if is_wide else float)

    def place(self, value: str | float) -> float:
        if self.scale is None:
            place, most = float(self.values.index(str(value))), len(self.values) - 1.0
        else:
            low, high, at = (self.scale(float(one)) for one in (*self.values, value))
            place, most = at - low, high - low
        return round(100 - 100 * place / most, 2) if most else 50.0

    def ticks(self, metric: str) -> list[Fields]:
        """Returns the names along the axis with their heights."""
        return [
            {
                "y": self.place(value),
                "text": format_number(float(value), metric)
                if self.name == metric
                else _format_value(value),
            }
            for value in dict.fromkeys(self.values)
        ]


def _describe_agreement(ranked: Sequence[Candidate]) -> str:
    """Says how the ranks on test agree with those of the scores, where enough were tested."""
    from scipy.stats import rankdata

    tested = [one for one in ranked if one.tested is not None]
    if len(tested) < 3:
        return ""
    ranks = rankdata([[one.mean for one in tested], [one.tested for one in tested]], axis=1)
    if not ranks.std(axis=1).all():
        return ""
    found = np.corrcoef(ranks)[0, 1]
    return (
        f"Of {len(tested)} systems on test the ranks agree by {found:+.2f} (Spearman): near 1 the "
        "order holds, near 0 most of the order among them is luck."
    )
