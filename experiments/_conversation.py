"""Conversation experiments, step by step: prepare a corpus, train each fold and seed, report."""

from collections.abc import Iterator, Mapping

import pandas as pd
from numpy.typing import NDArray

from conversation_emotion.datasets.batches import ModalityArrays
from conversation_emotion.datasets.dataset import Corpus, read_corpus
from conversation_emotion.datasets.windows import Windows, build_windows, learn_more
from conversation_emotion.models.conversation import ConversationModel
from conversation_emotion.tasks.baselines import predict_last_emotion, predict_majority
from conversation_emotion.tracker import Memory, Validation
from experiments import _published, _report
from experiments._features import as_extracted, extract_features
from experiments._folds import Prepared, Recipe, prepare_windows, validate_folds
from experiments._models import ConversationConfig, build_model, fit_perceptions, fit_settings
from experiments._published import Published
from experiments._report import MODEL, Row, Scores
from experiments.tracking.runs import TrackedRun

LAST_EMOTION = "last_emotion"

BASELINES = {
    LAST_EMOTION: "same emotion as the last turn (knows its gold label)",
    "majority": "majority",
}
"""What stands beside the model, by column of the predictions."""


def prepare(config: ConversationConfig) -> Prepared:
    """Reads the corpus, finds what may be heard of each emotion, and the features of all that."""
    corpus = read_corpus(config.data)
    windows, learning = find_windows(config, corpus)
    found = extract_features(
        corpus.utterances, config.features, strict=config.data.strict, corpus=corpus
    )
    normalise = config.features.standardise == "clip"
    return prepare_windows(corpus, windows, learning, found, normalise_clips=normalise)


def find_windows(config: ConversationConfig, corpus: Corpus) -> tuple[Windows, Windows]:
    """Finds what is judged with what may be heard for it, and what train may learn from."""
    utterances, classes = corpus.utterances, corpus.classes()
    windows = build_windows(utterances, classes, history=config.history, horizon=config.horizon)
    if config.learn_from == "judged":
        return windows, windows
    heard = corpus.heard_classes
    return windows, learn_more(
        utterances, classes, heard, history=config.history, horizon=config.horizon
    )


def validate(config: ConversationConfig, memory: Memory) -> Iterator[Validation]:
    """Trains each fold and seed and yields how it did on valid, for a sweep."""
    features = as_extracted(config.features)
    key = (config.data, features, config.history, config.horizon, config.learn_from)
    prepared = memory.recall(key, lambda: prepare(config))
    yield from validate_folds(prepared, make_recipe(config, prepared))


def make_recipe(
    config: ConversationConfig, prepared: Prepared, num_outputs: int | None = None
) -> Recipe:
    """Says how the model of a conversation is built and fitted.

    Args:
        config: Which model, and how to fit it.
        prepared: What it hears.
        num_outputs: Outputs of its head; as many as classes if None.
    """
    corpus = prepared.corpus

    def build(train: Windows, arrays: Mapping[str, ModalityArrays]) -> ConversationModel:
        return build_model(
            config,
            fit_perceptions(config.features, arrays, train),
            num_classes=num_outputs or len(corpus.label_map.labels),
            num_emotions=len(corpus.heard_labels),
        )

    def last_emotion(train: Windows, test: Windows) -> NDArray:
        return predict_last_emotion(train, test, corpus.classes())

    baselines = {"majority": predict_majority, LAST_EMOTION: last_emotion}
    settings = fit_settings(
        config.training,
        recognition_weight=config.recognition_weight,
        emotion_weight=config.emotion_weight,
    )
    return Recipe(build, settings, config.training, baselines)


def report(
    config: ConversationConfig, prepared: Prepared, predictions: pd.DataFrame, run: TrackedRun
) -> Scores:
    """Scores all predictions, keeps them with the run, prints the table -> all that is in it."""
    scores = _report.score(
        prepared,
        predictions,
        run,
        baselines=BASELINES,
        num_resamples=config.training.resamples,
    )
    task = "recognition" if config.horizon == 0 else f"prediction, {config.horizon} turn(s) ahead"
    published = _find_published(config, prepared)
    _report.print_table(
        f"Emotion in conversation: {task}; {config.data.corpus}, {config.features.modality}",
        _rows(config, scores, published),
        _captions(config, prepared, scores, published),
        [run],
    )
    return scores


def _find_published(config: ConversationConfig, prepared: Prepared) -> list[Published]:
    if config.horizon != 1 or prepared.corpus.label_map.label_set != "4-class":
        return []
    return _published.EPC.get((config.data.corpus, config.features.modality), [])


def _rows(config: ConversationConfig, scores: Scores, published: list[Published]) -> Iterator[Row]:
    told = ", told the past" if config.history_labels == "gold" else ""
    name = f"{config.dialogue_model} GRU, {config.fusion} fusion{told}"
    yield _report.scored_row(name, scores[MODEL])
    yield from (_report.scored_row(title, scores[system]) for system, title in BASELINES.items())
    if config.data.corpus == "demo" and config.horizon == 1:
        from conversation_emotion.corpora.demo.ceiling import CEILING_UAR

        yield Row("ceiling: knows the process and the gold past", (f"{CEILING_UAR:.1%}"[:-1],))
    yield from map(_report.published_row, published)


def _captions(
    config: ConversationConfig, prepared: Prepared, scores: Scores, published: list[Published]
) -> Iterator[str]:
    num_judged = scores[MODEL]["uar"].num_judged
    yield from _report.describe_protocol(prepared.corpus, config.training, num_judged)
    if config.history_labels == "gold":
        yield "variant --history-labels gold: the model is told the gold emotions of the past"
    yield from _report.describe_failures(prepared.failures)
    yield from _report.describe_sources(published)
