"""The table of sentiment: a row per modality and encoder, published figures beside."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from conversation_emotion.evaluation.metrics import METRICS, Interval
from conversation_emotion.evaluation.concordance import REGRESSION_METRICS
from experiments import _published, _report
from experiments import commandline as _cli
from experiments._conversation import LAST_EMOTION
from experiments._published import Published
from experiments._report import MODEL, Row
from experiments._sentiment import Scores, SentimentRow
from experiments._sentiment_regression import MEAN
from experiments._utterances import MAJORITY
from experiments.tracking.runs import ParentRun

if TYPE_CHECKING:
    from experiments.sentiment import SentimentConfig

_BASELINES = {
    LAST_EMOTION: "same sentiment as the last turn (knows its gold label)",
    MAJORITY: "majority",
    MEAN: MEAN,
}
_REGRESSION_TITLES = {"pearson": "Pearson r", "mae": "absolute error", "ccc": "CCC"}


def report(
    config: "SentimentConfig",
    rows: Mapping[str, SentimentRow],
    scores: Mapping[str, Scores],
    runs: Sequence[ParentRun],
) -> None:
    """Prints one table with a row per modality and encoder, and keeps it with each run."""
    task = "the number" if config.regression else "its polarity"
    context = f"{config.history} turns of context" if config.history else "no context"
    published = _find_published(config)
    titles = (
        [_REGRESSION_TITLES[name] for name in REGRESSION_METRICS]
        if config.regression
        else [_report.TITLES[name] for name in METRICS]
    )
    _report.print_table(
        f"Sentiment, {task}: {config.data.corpus}, {context}",
        _rows(config, scores, published),
        _captions(config, rows, scores, published),
        runs,
        columns=titles,
        unit="" if config.regression else "in percent",
        commands=[_cli.command_of(row.config) for row in rows.values()],
    )


def _find_published(config: "SentimentConfig") -> list[Published]:
    if config.regression or config.data.labels == "all":
        return []
    return _published.SENTIMENT.get(config.data.corpus, [])


def _rows(
    config: "SentimentConfig", scores: Mapping[str, Scores], published: Sequence[Published]
) -> Iterator[Row]:
    lay_out = _regression_row if config.regression else _report.scored_row
    for name, systems in scores.items():
        yield lay_out(name, systems[MODEL])
    for system, intervals in next(iter(scores.values())).items():
        if system != MODEL:
            yield lay_out(_BASELINES[system], intervals)
    yield from map(_report.published_row, published)


def _regression_row(system: str, scores: dict[str, Interval]) -> Row:
    cells = (
        f"{found.score:.3f} ± {found.deviation:.3f} [{found.low:.3f}, {found.high:.3f}]"
        for found in (scores[name] for name in REGRESSION_METRICS)
    )
    return Row(system, tuple(cells))


def _captions(
    config: "SentimentConfig",
    rows: Mapping[str, SentimentRow],
    scores: Mapping[str, Scores],
    published: Sequence[Published],
) -> Iterator[str]:
    corpus = next(iter(rows.values())).prepared.corpus
    num_judged = next(iter(next(iter(scores.values()))[MODEL].values())).num_judged
    captions = _report.describe_protocol(corpus, config.training, num_judged)
    if config.regression:
        yield from list(captions)[:-1]  # the classes, of which there are none
    else:
        yield from captions
    features = config.features
    yield (
        f"speech layers {features.speech_layers} (fbank, mfcc, egemaps: last), text layers "
        f"{features.text_layers}; mean of the frames"
    )
    failures = {key: why for row in rows.values() for key, why in row.prepared.failures.items()}
    yield from _report.describe_failures(failures)
    yield from _report.describe_sources(published)
