"""The table across corpora: a row per encoder, train and test corpus, published figures beside."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from experiments import _heard, _published, _report
from experiments import commandline as _cli
from experiments._cross_corpus import CrossCorpusRow, Judged
from experiments._report import MODEL, Row
from experiments._utterances import MAJORITY
from experiments.tracking.runs import ParentRun

if TYPE_CHECKING:
    from experiments.cross_corpus import CrossCorpusConfig


def report(
    config: "CrossCorpusConfig",
    rows: Sequence[CrossCorpusRow],
    scores: Sequence[list[Judged]],
    runs: Sequence[ParentRun],
) -> None:
    """Prints a row per encoder, train and test corpus, and keeps the table with each run."""
    _report.print_table(
        "Emotion across corpora, four classes: linear probe of frozen encoders",
        _rows(rows, scores),
        _captions(config, rows, scores),
        runs,
        commands=[_cli.command_of(row.config) for row in rows],
    )


def _rows(rows: Sequence[CrossCorpusRow], scores: Sequence[list[Judged]]) -> Iterator[Row]:
    for train, test in _directions(rows):
        learnt = "+".join(train)
        majority = None
        for row, judged in zip(rows, scores, strict=True):
            if row.config.train != train:
                continue
            systems = next(found.systems for found in judged if found.corpus == test)
            (encoder,) = row.config.features.encoders
            yield _report.scored_row(f"{learnt} → {test}: {encoder}", systems[MODEL])
            majority = systems[MAJORITY]
        if majority is not None:
            yield _report.scored_row(f"{learnt} → {test}: {MAJORITY}", majority)
        for entry in _published.CROSS_CORPUS.get((learnt, test), []):
            published = _report.published_row(entry)
            yield Row(f"{learnt} → {test}: {published.system}", published.cells)


def _directions(rows: Sequence[CrossCorpusRow]) -> list[tuple[tuple[str, ...], str]]:
    """Lists what is learnt from with what is judged, each once."""
    pairs = [(row.config.train, test) for row in rows for test in row.config.test]
    return list(dict.fromkeys(pairs))


def _captions(
    config: "CrossCorpusConfig",
    rows: Sequence[CrossCorpusRow],
    scores: Sequence[list[Judged]],
) -> Iterator[str]:
    first = rows[0]
    sizes = {
        found.corpus: found.systems[MODEL]["uar"].num_judged for row in scores for found in row
    }
    counts = ", ".join(f"{name} {size:,}" for name, size in sizes.items())
    yield (
        f"mean ± deviation over {config.training.seeds} seed(s) [95 % bootstrap interval over "
        f"dialogues]; n: {counts}"
    )
    listed = {place.partition("=")[0] for place in config.test_lists}
    yield "judged: " + ", ".join(
        f"{name} {'by its list' if name in listed else 'all of the four classes'}" for name in sizes
    )
    yield f"valid: {first.prepared.corpus.split.validation}"
    for name, dropped in first.pooled.num_dropped.items():
        kept = first.pooled.label_maps[name].classes
        mapped = ", ".join(f"{old} = {new}" for old, new in kept.items() if old != new)
        left_out = ", ".join(f"{count} {emotion}" for emotion, count in dropped.items()) or "none"
        yield f"{name}: {mapped or 'classes by their own names'}; dropped: {left_out}"
    features = config.features
    pooling = features.of_encoder(features.encoders[0]).speech_pooling
    yield f"layers {features.speech_layers}; pooling {pooling}"
    yield from _heard.describe_heard(features.encoders, first.pooled.label_maps)
    failures = {key: why for row in rows for key, why in row.prepared.failures.items()}
    yield from _report.describe_failures(failures)
    entries = [
        entry
        for train, test in _directions(rows)
        for entry in _published.CROSS_CORPUS.get(("+".join(train), test), [])
    ]
    yield from _report.describe_sources(entries)
