"""How often intervals cover, and how often a test finds a difference where there is none.

    python -m benchmarks.interval_coverage                    # the tables of docs/intervals.md
    python -m benchmarks.interval_coverage --method bootstrap # a bootstrap over clusters instead

Corpora are simulated with the fold designs of the suite: clusters, which are dialogues or speakers,
differ in their classes, in how hard they are, and in what they are taken for, and all folds and
seeds that test a cluster share that. No system is trained. The truth is the score that the same
systems have in the mean over further corpora of the design, over the classes that the folds have.
The two systems of a pair are equally good, so that each difference found is a false positive.
"""

import argparse
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from conversation_emotion.evaluation.concordance import REGRESSION_METRICS, score_moments
from conversation_emotion.evaluation.jackknife import (
    Jackknife,
    Numbers,
    Score,
    Training,
    interval_bounds,
    jackknife_sums,
    p_values,
)
from conversation_emotion.evaluation.metrics import METRICS, confusion_scores, describe_metric
from conversation_emotion.evaluation.word_errors import word_error_rate

EFFECTS = ("chance", "middle", "near ceiling", "majority")
"""How good a system is; the last predicts one class, one number, or no word, whatever it is given.
"""

COVERAGE, FALSE_POSITIVES = (0.92, 0.97), 0.06
"""Bounds that every cell has to keep; a score that does not vary is covered always."""

_NOISE = 1e-6
"""Less is rounding."""

_FOUR = (0.3, 0.2, 0.2, 0.3)
_SEVEN = (0.24, 0.15, 0.14, 0.13, 0.13, 0.12, 0.09)
_RARE = (0.47, 0.16, 0.13, 0.11, 0.07, 0.03, 0.03)
_LOGITS = {"chance": 0.0, "middle": 2.0, "near ceiling": 4.2}
_SLOPES = {"chance": (0.0, 1.0), "middle": (0.5, 0.6), "near ceiling": (0.97, 0.15)}
_WORD_ERRORS = {"chance": 0.9, "middle": 0.35, "near ceiling": 0.05, "majority": 1.0}


class Design(NamedTuple):
    """Folds of a corpus.

    Attributes:
        fold_of: Fold of each cluster, (G,).
        lengths: Least and most utterances of a cluster.
        priors: Shares of the classes, (C,).
        seeds: Trainings of each fold.
        num_speakers: Speakers of a cluster, in turns; each is a fold of its own if there are two.
    """

    fold_of: Sequence[int]
    lengths: tuple[int, int]
    priors: tuple[float, ...]
    seeds: int = 1
    num_speakers: int = 1


DESIGNS = {
    "one official split, 100 dialogues": Design([0] * 100, (4, 16), _RARE),
    "5 sessions x 8 dialogues": Design(np.repeat(range(5), 8).tolist(), (10, 40), _FOUR),
    "5 sessions x 8 dialogues, 3 seeds": Design(
        np.repeat(range(5), 8).tolist(), (10, 40), _FOUR, seeds=3
    ),
    "40 dialogues, each in the folds of 2 speakers": Design(
        np.repeat(range(5), 8).tolist(), (10, 40), _FOUR, num_speakers=2
    ),
    "10 folds of a speaker": Design(range(10), (35, 70), _SEVEN),
    "5 folds of 2 speakers": Design(np.repeat(range(5), 2).tolist(), (35, 70), _SEVEN),
    "4 folds of a speaker": Design(range(4), (100, 140), _SEVEN),
    "one official split, 6 dialogues": Design([0] * 6, (15, 40), _FOUR),
}


class Family(NamedTuple):
    """Metrics that are scores of the same sums."""

    names: tuple[str, ...]
    score: Score


FAMILIES = {
    "classes": Family(tuple(METRICS), confusion_scores(METRICS)),
    "pooled": Family(("pooled_uar",), confusion_scores(["uar"])),
    "numbers": Family(REGRESSION_METRICS, score_moments),
    "words": Family(("wer",), word_error_rate),
}


class Corpora(NamedTuple):
    """What N simulated corpora have in common for all systems and trainings: (N, U, ...)."""

    targets: NDArray[np.int64]
    ratings: Numbers
    words: NDArray[np.int64]


class System(NamedTuple):
    """How the clusters of N corpora differ for one system, in all of its trainings: (N, G, ...)."""

    leanings: Numbers
    skills: Numbers
    offsets: Numbers
    word_errors: Numbers


class Cell(NamedTuple):
    """One design and effect: by metric, coverage and false positives; NaN where nothing varies."""

    design: str
    effect: str
    coverage: dict[str, float]
    false_positives: dict[str, float]


class Simulation:
    """Simulates the corpora of one design with systems of one effect."""

    def __init__(self, design: Design, effect: str, generator: np.random.Generator) -> None:
        self.design, self.effect, self.generator = design, effect, generator
        # The same lengths in every corpus of a design, as drawn once.
        low, high = design.lengths
        lengths = np.random.default_rng(0).integers(low, high, len(design.fold_of), endpoint=True)
        self.cluster_of = np.repeat(np.arange(len(lengths)), lengths)
        turns = np.concatenate([np.arange(length) for length in lengths]) % design.num_speakers
        folds = np.asarray(design.fold_of)[self.cluster_of] * design.num_speakers + turns
        self.tests = [np.flatnonzero(folds == fold) for fold in np.unique(folds)]

    def draw(self, number: int) -> list[dict[str, list[Training]]]:
        """Draws corpora and two equally good systems -> trainings of each, by family."""
        corpora, shared = self._draw_corpora(number), self._draw_system(number)
        pair = []
        for _ in range(2):
            own = self._draw_system(number)
            mixed = System(
                *(0.85 * one + 0.5 * other for one, other in zip(shared, own, strict=True))
            )
            pair.append(self._test(corpora, mixed))
        return pair

    def _draw_corpora(self, number: int) -> Corpora:
        generator, priors = self.generator, np.array(self.design.priors)
        shape = (number, len(self.design.fold_of))
        leanings = np.log(priors) + 0.7 * generator.normal(size=(*shape, len(priors)))
        noise = generator.gumbel(size=(number, len(self.cluster_of), len(priors)))
        ratings = 0.3 * generator.normal(size=shape)[:, self.cluster_of]
        return Corpora(
            (leanings[:, self.cluster_of] + noise).argmax(axis=-1),
            ratings + generator.normal(size=noise.shape[:2]),
            generator.integers(1, 16, size=noise.shape[:2]),
        )

    def _draw_system(self, number: int) -> System:
        shape, generator = (number, len(self.design.fold_of)), self.generator
        leanings = generator.normal(size=(*shape, len(self.design.priors)))
        return System(leanings, *(generator.normal(size=shape) for _ in range(3)))

    def _test(self, corpora: Corpora, system: System) -> dict[str, list[Training]]:
        trainings = {"classes": [], "numbers": [], "words": []}
        for rows in self.tests:
            clusters, starts = np.unique(self.cluster_of[rows], return_index=True)
            for _ in range(self.design.seeds):
                for family, terms in self._predict(corpora, system, rows).items():
                    sums = np.add.reduceat(terms, starts, axis=1)
                    trainings[family].append(Training(clusters, sums))
        return {**trainings, "pooled": self._pool(trainings["classes"])}

    def _predict(
        self, corpora: Corpora, system: System, rows: NDArray[np.int64]
    ) -> dict[str, Numbers]:
        """Predicts some utterances -> additive terms of each, by family: (N, U_k, S)."""
        clusters, targets = self.cluster_of[rows], corpora.targets[:, rows]
        num_classes = len(self.design.priors)
        predicted = np.zeros_like(targets)
        if self.effect != "majority":
            logit = _LOGITS[self.effect]
            hits = np.eye(num_classes)[targets] * (
                logit + (logit > 0) * 0.6 * system.skills[:, clusters, np.newaxis]
            )
            leanings = 0.5 * system.leanings[:, clusters]
            predicted = (hits + leanings + self.generator.gumbel(size=hits.shape)).argmax(axis=-1)
        y = corpora.ratings[:, rows]
        x = np.full_like(y, 0.1)
        if self.effect != "majority":
            slope, noise = _SLOPES[self.effect]
            offsets = (0.2 if self.effect == "near ceiling" else 1.0) * 0.3 * system.offsets
            x = slope * y + offsets[:, clusters] + noise * self.generator.normal(size=y.shape)
        words, rate = corpora.words[:, rows], _WORD_ERRORS[self.effect]
        rates = rate * np.exp(0.4 * (1 - rate) * system.word_errors[:, clusters])
        errors = self.generator.binomial(words, rates.clip(max=1.0))
        return {
            "classes": np.eye(num_classes**2)[targets * num_classes + predicted],
            "numbers": np.stack([np.ones_like(x), x, y, x**2, y**2, x * y, abs(x - y)], axis=-1),
            "words": np.stack([errors, words], axis=-1).astype(float),
        }

    def _pool(self, trainings: Sequence[Training]) -> list[Training]:
        """Adds up the confusions of all folds of a seed."""
        number, num_clusters = len(trainings[0].sums), len(self.design.fold_of)
        pooled = []
        for seed in range(self.design.seeds):
            sums = np.zeros((number, num_clusters, len(self.design.priors) ** 2))
            for clusters, found in trainings[seed :: self.design.seeds]:
                sums[:, clusters] += found
            pooled.append(Training(np.arange(num_clusters), sums))
        return pooled


def run_cell(design: str, effect: str, num_corpora: int, method: str) -> Cell:
    """Simulates corpora in blocks, and counts what is covered and what is found."""
    simulation = Simulation(DESIGNS[design], effect, np.random.default_rng(1))
    size = len(simulation.cluster_of) * len(DESIGNS[design].priors) ** 2 * DESIGNS[design].seeds
    block = max(10, int(2e6) // size)
    parts: dict[str, list[tuple[Numbers, ...]]] = {family: [] for family in FAMILIES}
    for start in range(0, num_corpora, block):
        one, other = simulation.draw(min(block, num_corpora - start))
        for family, (names, score) in FAMILIES.items():
            found = jackknife_sums(one[family], score)
            difference = found.minus(jackknife_sums(other[family], score))
            p_value = np.where(difference.error > _NOISE, p_values(difference), np.nan)
            bounds = find_bounds(found, one[family], names, score, method)
            shift = class_shift(one[family], names)
            parts[family].append((found.score, *bounds, p_value, shift))
    coverage, false_positives = {}, {}
    for family, blocks in parts.items():
        scores, low, high, p_value, shift = (
            np.concatenate(arrays, axis=-1) for arrays in zip(*blocks, strict=True)
        )
        truth = scores.mean(axis=-1, keepdims=True) + shift - shift.mean(axis=-1, keepdims=True)
        is_in = (low <= truth + 1e-9) & (truth - 1e-9 <= high)
        for name, inside, found, score, true in zip(
            FAMILIES[family].names, is_in, p_value, scores, truth, strict=True
        ):
            varies = np.ptp(score - true) > _NOISE
            coverage[name] = float(inside.mean()) if varies else np.nan
            varies = bool(np.isfinite(found).any())
            false_positives[name] = float((found < 0.05).mean()) if varies else np.nan
    return Cell(design, effect, coverage, false_positives)


def class_shift(trainings: Sequence[Training], names: Sequence[str]) -> Numbers:
    """Returns how the classes that folds lack move a score, to be centred: -> (M, N).

    A fold's UAR is over its classes; which of them it has is fixed, and no part of the error.
    """
    confusions = np.stack([sums.sum(axis=1) for _, sums in trainings], axis=1)
    shift = np.zeros((len(names), len(confusions)))
    if "uar" not in names:
        return shift
    num_classes = int(confusions.shape[-1] ** 0.5)
    confusions = confusions.reshape(*confusions.shape[:2], num_classes, num_classes)
    targets, predicted = confusions.sum(axis=-1), confusions.sum(axis=-2)
    hits = np.diagonal(confusions.sum(axis=0), axis1=-2, axis2=-1)
    for name, mass, factor in (("uar", targets, 1), ("macro_f1", targets + predicted, 2)):
        by_class = factor * hits / np.maximum(mass.sum(axis=0), 1)
        is_there = mass > 0
        shift[names.index(name)] = ((is_there * by_class).sum(-1) / is_there.sum(-1)).mean(axis=-1)
    return shift


def find_bounds(
    found: Jackknife, trainings: Sequence[Training], names: Sequence[str], score: Score, method: str
) -> Numbers:
    """Returns the bounds of the suite, or those of a bootstrap within folds: (2, M, N)."""
    if method == "jackknife":
        pairs = [
            interval_bounds(
                Jackknife(found.points[[n]], found.influences[[n]], found.degrees),
                describe_metric(name).scale,
            )
            for n, name in enumerate(names)
        ]
        return np.concatenate(pairs, axis=1)
    means = resample(trainings, score, found.influences.shape[-1])
    tails = np.broadcast_to(stats.norm.ppf([0.025, 0.975])[:, None, None], (2, *means.shape[:2]))
    if method == "bca":  # DiCiccio and Efron (1996)
        below = (means < found.score[..., None]).mean(-1) + (means == found.score[..., None]).mean(
            -1
        ) / 2
        bias = stats.norm.ppf(below.clip(1e-3, 1 - 1e-3))
        cubes, squares = ((found.influences**power).sum(axis=-1) for power in (3, 2))
        skew = -cubes / (6 * np.maximum(squares, 1e-30) ** 1.5)
        tails = bias + (bias + tails) / (1 - skew * (bias + tails))
    places = (stats.norm.cdf(tails) * (means.shape[-1] - 1)).round().astype(int)
    return np.take_along_axis(np.sort(means, axis=-1)[np.newaxis], places[..., None], -1)[..., 0]


def resample(
    trainings: Sequence[Training], score: Score, num_clusters: int, number: int = 500
) -> Numbers:
    """Draws clusters among those of the same folds, for all their folds at once: -> (M, N, R)."""
    generator = np.random.default_rng(0)
    homes: list[tuple[int, ...]] = [()] * num_clusters
    for place, (clusters, _) in enumerate(trainings):
        for cluster in clusters.tolist():
            homes[cluster] = (*homes[cluster], place)
    if all(len(clusters) == 1 for clusters, _ in trainings):
        folds = generator.multinomial(len(trainings), [1 / len(trainings)] * len(trainings), number)
        points = np.stack([score(sums.sum(axis=-2)) for _, sums in trainings], axis=-1)
        return points @ folds.T / len(trainings)
    draws = np.zeros((number, num_clusters))
    for home in set(homes):
        members = [cluster for cluster in range(num_clusters) if homes[cluster] == home]
        shares = [1 / len(members)] * len(members)
        draws[:, members] = generator.multinomial(len(members), shares, number)
    # A trace of each cluster keeps the classes of a fold, as in the jackknife.
    points = [score((draws[:, clusters] + 1e-6) @ sums) for clusters, sums in trainings]
    return np.mean(points, axis=0)


def run(num_corpora: int, method: str = "jackknife", designs: Sequence[str] = ()) -> list[Cell]:
    """Simulates all designs and effects, or those designs."""
    return [
        run_cell(design, effect, num_corpora, method)
        for design in designs or DESIGNS
        for effect in EFFECTS
    ]


def format_cells(cells: Sequence[Cell], part: str) -> Iterator[str]:
    """Writes ``coverage`` or ``false_positives`` as a table, in percent; ``=`` is exact always."""
    names = [name for family in FAMILIES.values() for name in family.names]
    yield f"| design | system | {' | '.join(describe_metric(name).title for name in names)} |"
    yield "|---" * (2 + len(names)) + "|"
    for cell in cells:
        found = getattr(cell, part)
        numbers = ["=" if np.isnan(found[n]) else f"{100 * found[n]:.1f}" for n in names]
        yield f"| {cell.design} | {cell.effect} | {' | '.join(numbers)} |"


def list_outside(cells: Sequence[Cell]) -> Iterator[str]:
    """Names what is out of bounds."""
    low, high = COVERAGE
    for cell in cells:
        for name, share in cell.coverage.items():
            if not (np.isnan(share) or low <= share <= high):
                yield f"coverage {100 * share:.1f}: {cell.design}, {cell.effect}, {name}"
        for name, share in cell.false_positives.items():
            if share > FALSE_POSITIVES:
                yield f"false positives {100 * share:.1f}: {cell.design}, {cell.effect}, {name}"


def main() -> None:
    """Prints both tables, and what is out of bounds."""
    parser = argparse.ArgumentParser(description=run.__doc__)
    parser.add_argument("--corpora", type=int, default=5000, help="simulated corpora of each cell")
    parser.add_argument("--method", choices=("jackknife", "bootstrap", "bca"), default="jackknife")
    options = parser.parse_args()
    cells = run(options.corpora, options.method)
    for part in ("coverage", "false_positives"):
        print("", *format_cells(cells, part), sep="\n")
    outside = list(list_outside(cells))
    print(f"\n{len(outside)} out of bounds", *outside, sep="\n")


if __name__ == "__main__":
    main()
