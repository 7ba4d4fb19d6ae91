"""The table of an experiment on ratings: a row per encoder, published figures beside."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from conversation_emotion.evaluation.concordance import DIMENSIONS
from conversation_emotion.evaluation.metrics import Interval
from experiments import _published, _report
from experiments._published import PublishedConcordance
from experiments._ratings import Rated
from experiments._report import Row
from experiments.tracking.runs import ParentRun

if TYPE_CHECKING:
    from experiments.dimensional import DimensionalConfig, RatingSettings

_TITLES = {
    "ccc_mean": "mean CCC",
    "ccc_arousal": "activation",
    "ccc_valence": "valence",
    "ccc_dominance": "dominance",
}


def report(
    config: "DimensionalConfig",
    rated: Rated,
    scores: Mapping[str, dict[str, Interval]],
    runs: Sequence[ParentRun],
) -> None:
    """Prints one table with a row per encoder and keeps it with each run."""
    published = _published.DIMENSIONAL.get(config.data.corpus, [])
    _report.print_table(
        f"Activation, valence and dominance of single utterances: {config.data.corpus}",
        _rows(scores, published),
        _captions(config.ratings, rated, scores, published),
        runs,
        columns=[_TITLES[name] for name in _TITLES],
        unit="CCC",
    )


def _rows(
    scores: Mapping[str, dict[str, Interval]], published: Sequence[PublishedConcordance]
) -> Iterator[Row]:
    for encoder, intervals in scores.items():
        yield Row(encoder, tuple(_cell(intervals[name]) for name in _TITLES))
    for entry in published:
        cells = (entry.mean, *entry.dimensions)
        yield Row(f"published: {entry.system}", tuple(f"{score:.3f}" for score in cells))


def _captions(
    settings: "RatingSettings",
    rated: Rated,
    scores: Mapping[str, dict[str, Interval]],
    published: Sequence[PublishedConcordance],
) -> Iterator[str]:
    split = rated.corpus.split
    intervals = next(iter(scores.values()))
    counts = ", ".join(
        f"{_TITLES[f'ccc_{name}']} {intervals[f'ccc_{name}'].n:,}" for name in DIMENSIONS
    )
    yield (
        f"CCC over the whole test part, mean ± deviation over {len(split.folds)} fold(s) x "
        f"{settings.seeds} seed(s) [95 % bootstrap interval over dialogues]; n: {counts}"
    )
    yield f"protocol {split.name}; valid: {split.validation}"
    yield from (f"note: {note}" for note in split.notes)
    weights = ", ".join(f"{weight:.2f}" for weight in settings.loss_weights)
    yield f"loss weights {weights}; {settings.stride} frame(s) averaged to one"
    if sources := sorted({entry.source for entry in published}):
        yield "published: " + "; ".join(sources)


def _cell(interval: Interval) -> str:
    score, low, high, deviation = interval[:4]
    return f"{score:.3f} ± {deviation:.3f} [{low:.3f}, {high:.3f}]"
