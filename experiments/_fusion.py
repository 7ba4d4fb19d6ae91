"""The fusion table, step by step: prepare what the rows hear, train each, report with differences.

Each row has a parent run of its own, so that the tracking compares fusions like any runs.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd
from torch import nn

from conversation_emotion.datasets.batches import ModalityArrays
from conversation_emotion.datasets.dataset import read_corpus
from conversation_emotion.datasets.windows import PADDING, Windows, single_utterances
from conversation_emotion.evaluation.decisions import pool_decisions
from conversation_emotion.evaluation.significance import compare_predictions
from conversation_emotion.features.extract import Features
from conversation_emotion.models.frame_fusion import MEETINGS, FusionModel
from conversation_emotion.models.perception import LayerSum, fit_standardisation, make_aggregator
from conversation_emotion.tasks.baselines import predict_majority
from conversation_emotion.tracker import Memory, Validation
from experiments import _report
from experiments._features import extract_features
from experiments._folds import Prepared, Recipe, prepare_windows, run_folds, validate_folds
from experiments._fusion_rows import MORAIS, ROWS, FusionRow, read_rows
from experiments._models import fit_settings
from experiments._published import Published
from experiments._report import MODEL, Row, Scores
from experiments.fusion import FusionConfig
from experiments.tracking.runs import ParentRun

MAJORITY = "majority"


class Judged(NamedTuple):
    """What a row says of the test part, and how well."""

    predictions: pd.DataFrame
    scores: Scores


def prepare(config: FusionConfig) -> dict[int, Prepared]:
    """Reads the corpus and extracts the frames of every encoder once, before any training."""
    corpus = read_corpus(config.data)
    windows = single_utterances(corpus.classes())
    numbers = read_rows(config.rows)
    heard: dict[str, Features] = {}
    for flag in dict.fromkeys(flag for number in numbers for flag in ROWS[number].encoders):
        found = extract_features(
            corpus.utterances, config.of_encoder(flag), strict=config.data.strict, corpus=corpus
        )
        (heard[flag],) = found.values()
    return {
        number: prepare_windows(
            corpus, windows, windows, {flag: heard[flag] for flag in ROWS[number].encoders}
        )
        for number in numbers
    }


def validate(config: FusionConfig, memory: Memory) -> Iterator[Validation]:
    """Trains each fold and seed of the one row and yields how it did on valid."""
    (number,) = read_rows(config.rows)
    row = config.of_row(number)
    encoders = tuple(row.of_encoder(flag) for flag in ROWS[number].encoders)
    prepared = memory.recall((config.data, encoders), lambda: prepare(row)[number])
    yield from validate_folds(prepared, make_recipe(row, prepared, ROWS[number]))


def train(
    config: FusionConfig, prepared: Mapping[int, Prepared], parents: Sequence[ParentRun]
) -> dict[int, Judged]:
    """Trains each fold and seed of each row, or joins decisions, and scores it under its run."""
    judged, said = {}, {}
    for (number, data), parent in zip(prepared.items(), parents, strict=True):
        recipe = make_recipe(config.of_row(number), data, ROWS[number])
        if parts := ROWS[number].decisions_of:
            pool = pool_decisions([said[part] for part in parts], data.corpus.label_map.labels)
            parent.log_table(pool.weights, "weights.parquet")
            predictions = pool.predictions
        else:
            predictions = run_folds(data, recipe, parent)
        said[number] = predictions
        scores = _report.score(
            data,
            predictions,
            parent,
            baselines=recipe.baselines,
            num_resamples=config.training.resamples,
        )
        judged[number] = Judged(predictions[predictions["part"] == "test"], scores)
    return judged


def make_recipe(config: FusionConfig, prepared: Prepared, row: FusionRow) -> Recipe:
    """Says how the model of a row is built and fitted."""

    def build(train: Windows, arrays: Mapping[str, ModalityArrays]) -> FusionModel:
        rows = np.unique(train.rows[train.rows != PADDING])
        sources = {
            name: nn.Sequential(
                fit_standardisation(array.stack_frames(rows)),
                LayerSum(array.num_layers, array.size),
            )
            for name, array in arrays.items()
        }
        meeting = MEETINGS[row.fusion]({name: array.size for name, array in arrays.items()})
        channels = config.aggregator_size if row.aggregator == "ecapa" else None
        return FusionModel(
            sources,
            meeting,
            {
                name: make_aggregator(row.aggregator, size, channels)
                for name, size in meeting.output_sizes.items()
            },
            fusion=row.fusion,
            num_classes=len(prepared.corpus.label_map.labels),
            dropout=config.dropout,
            source_dropout={"bert": config.text_dropout},
        )

    settings = fit_settings(config.training)
    return Recipe(build, settings, config.training, {MAJORITY: predict_majority})


def report(
    config: FusionConfig,
    prepared: Mapping[int, Prepared],
    judged: Mapping[int, Judged],
    runs: Sequence[ParentRun],
) -> None:
    """Prints the table of scores and that of differences, and keeps both with each run."""
    first = next(iter(prepared.values()))
    _report.print_table(
        f"Fusion of encoders; {config.data.corpus}",
        _rows(judged, config),
        _captions(config, prepared, judged),
        runs,
    )
    if len(judged) > 1:
        _report.print_table(
            "Differences in UACC, paired bootstrap over dialogues",
            _differences(judged, len(first.corpus.label_map.labels), config.training.resamples),
            ["first row minus second; p of no difference, not corrected for their number"],
            runs,
            columns=("difference", "p"),
            file="differences.txt",
        )


def _rows(judged: Mapping[int, Judged], config: FusionConfig) -> Iterator[Row]:
    for number, one in judged.items():
        row = ROWS[number]
        yield _report.scored_row(f"{number}  {row.title}", one.scores[MODEL])
        if row.published and config.data.corpus == "iemocap":
            uacc, wacc = row.published
            yield _report.published_row(Published(row.title, uacc, None, MORAIS, wacc))
    yield _report.scored_row(MAJORITY, next(iter(judged.values())).scores[MAJORITY])


def _differences(
    judged: Mapping[int, Judged], num_classes: int, num_resamples: int
) -> Iterator[Row]:
    for one, other in combinations(judged, 2):
        found = compare_predictions(
            judged[one].predictions,
            judged[other].predictions,
            num_classes,
            num_resamples=num_resamples,
        )
        score, low, high = (100 * value for value in found[:3])
        yield Row(
            f"{one} - {other}  {ROWS[one].title} against {ROWS[other].title}",
            (f"{score:+.1f} [{low:+.1f}, {high:+.1f}]", f"{found.p_value:.3f}"),
        )


def _captions(
    config: FusionConfig, prepared: Mapping[int, Prepared], judged: Mapping[int, Judged]
) -> Iterator[str]:
    corpus = next(iter(prepared.values())).corpus
    num_judged = next(iter(judged.values())).scores[MODEL]["uar"].num_judged
    yield from _report.describe_protocol(corpus, config.training, num_judged)
    flags = dict.fromkeys(flag for number in judged for flag in ROWS[number].encoders)
    yield "; ".join(f"{flag}: {getattr(config, flag)}" for flag in flags)
    yield "UACC is UAR, WACC is WA; all rows but 1 and 2 average their best epochs"
    failures = {key: why for data in prepared.values() for key, why in data.failures.items()}
    yield from _report.describe_failures(failures)
    if config.data.corpus == "iemocap":
        yield f"published: {MORAIS}"
