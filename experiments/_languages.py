"""A table of corpora, step by step: prepare, train each corpus with each encoder, report."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from conversation_emotion.settings.corpus import CorpusSettings
from experiments import _heard, _published, _report, _utterances
from experiments import commandline as _cli
from experiments._folds import Prepared
from experiments._published import Published
from experiments._report import MODEL, Row, Scores
from experiments.commandline import parse_places
from experiments._utterances import MAJORITY
from experiments.languages import TABLES
from experiments.ser import SERConfig
from experiments.tracking.runs import ParentRun

if TYPE_CHECKING:
    from experiments.languages import LanguagesConfig

COLUMNS = {"wa": "WA", "uar": "UA", "weighted_f1": "weighted F1"}
"""Metrics in the order of the published tables, with their heads."""

LANGUAGES: dict[str, str] = {
    "aesdd": "Greek",
    "cafe": "French",
    "resd": "Russian",
    "emodb": "German",
    "emovo": "Italian",
    "m3ed": "Mandarin",
    "subesco": "Bangla",
    "shemo": "Persian",
    "urdu": "Urdu",
    "meld": "English",
    "ravdess": "English",
    "savee": "English",
}


class LanguageRow(NamedTuple):
    """One corpus heard by one encoder, ready for training.

    Attributes:
        corpus: The corpus.
        encoder: The encoder.
        config: Settings of this row alone.
        probe: The same as the linear probe of single utterances takes them.
        prepared: The corpus and what is heard of it.
    """

    corpus: str
    encoder: str
    config: "LanguagesConfig"
    probe: SERConfig
    prepared: Prepared


def prepare(config: "LanguagesConfig") -> list[LanguageRow]:
    """Reads each corpus of the table that is given, and extracts its features."""
    roots = parse_places("--roots", config.roots)
    rows = []
    for corpus in TABLES[config.table]:
        if corpus not in roots:
            continue
        probe = SERConfig(
            data=CorpusSettings(
                corpus=corpus,
                root=roots[corpus],
                labels="7-class" if corpus == "meld" else "auto",
                strict=config.strict,
            ),
            features=config.features,
            training=config.training,
            hidden_size=config.hidden_size,
            dropout=config.dropout,
        )
        for encoder, prepared in _utterances.prepare(probe).items():
            alone = config.of_corpus(corpus).of_encoder(encoder)
            rows.append(LanguageRow(corpus, encoder, alone, probe.of_encoder(encoder), prepared))
    return rows


def train(rows: Sequence[LanguageRow], parents: Sequence[ParentRun]) -> list[Scores]:
    """Trains each fold and seed of each row, and scores it under the row's run."""
    return [
        _utterances.train(row.probe, {row.encoder: row.prepared}, [parent])[row.encoder]
        for row, parent in zip(rows, parents, strict=True)
    ]


def report(
    config: "LanguagesConfig",
    rows: Sequence[LanguageRow],
    scores: Sequence[Scores],
    runs: Sequence[ParentRun],
) -> None:
    """Prints a row per corpus and encoder, the published ones below, and keeps the table."""
    titles = {"languages": "nine languages", "english": "corpora of English"}
    _report.print_table(
        f"Emotion in {titles[config.table]}: linear head on frozen encoders",
        _rows(rows, scores),
        _captions(config, rows, scores),
        runs,
        columns=tuple(COLUMNS.values()),
        commands=[_cli.command_of(row.config) for row in rows],
    )


def _rows(rows: Sequence[LanguageRow], scores: Sequence[Scores]) -> Iterator[Row]:
    for place, (row, systems) in enumerate(zip(rows, scores, strict=True)):
        name = f"{row.corpus} ({LANGUAGES[row.corpus]})"
        yield _report.scored_row(f"{name}: {row.encoder}", systems[MODEL], tuple(COLUMNS))
        if place + 1 == len(rows) or rows[place + 1].corpus != row.corpus:
            yield _report.scored_row(f"{name}: {MAJORITY}", systems[MAJORITY], tuple(COLUMNS))
            for entry in _find_published(row):
                published = _report.published_row(entry, tuple(COLUMNS))
                yield Row(f"{name}: {published.system}", published.cells)


def _find_published(row: LanguageRow) -> list[Published]:
    label_set = row.prepared.corpus.label_map.label_set
    return _published.SER.get((row.corpus, label_set), [])


def _captions(
    config: "LanguagesConfig", rows: Sequence[LanguageRow], scores: Sequence[Scores]
) -> Iterator[str]:
    told = set()
    for row, systems in zip(rows, scores, strict=True):
        if row.corpus not in told:
            told.add(row.corpus)
            num_judged = systems[MODEL]["uar"].num_judged
            for line in _report.describe_protocol(row.prepared.corpus, config.training, num_judged):
                yield f"{row.corpus}: {line}"
            yield from _report.describe_failures(row.prepared.failures)
    absent = [name for name in TABLES[config.table] if name not in told]
    if absent:
        yield f"no --roots were given for {', '.join(absent)}"
    features = config.features
    pooling = features.of_encoder(features.encoders[0]).speech_pooling
    yield f"layers {features.speech_layers}; pooling {pooling}"
    yield from _heard.describe_heard(features.encoders, told)
    yield from _report.describe_sources(entry for row in rows for entry in _find_published(row))
