"""Experiments across corpora, step by step: pool, prepare and train each row, score each corpus."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from conversation_emotion.datasets.dataset import load_utterances, make_corpus
from conversation_emotion.datasets.pooled import POOLED_MAP, Pooled, pool_corpora, split_across
from conversation_emotion.datasets.windows import single_utterances
from conversation_emotion.evaluation.metrics import Interval, score_predictions
from conversation_emotion.settings.corpus import CorpusSettings
from conversation_emotion.splits.emobox import find_listed
from conversation_emotion.splits.protocols import Rows
from conversation_emotion.utterances.labels import FOUR_CLASSES
from experiments import _report, _utterances
from experiments._features import extract_features
from experiments._folds import Prepared, prepare_windows, run_folds
from experiments._report import MODEL
from experiments.commandline import parse_places
from experiments._utterances import MAJORITY
from experiments.ser import SERConfig
from experiments.tracking.runs import ParentRun

if TYPE_CHECKING:
    from experiments.cross_corpus import CrossCorpusConfig


class CrossCorpusRow(NamedTuple):
    """One encoder and the corpora that it learns from, ready for training.

    Attributes:
        config: Settings of this row alone.
        prepared: All corpora in one table, with the one fold of this row.
        pooled: The maps of the corpora and what they drop.
    """

    config: "CrossCorpusConfig"
    prepared: Prepared
    pooled: Pooled


class Judged(NamedTuple):
    """What a row says of one test corpus.

    Attributes:
        corpus: The test corpus.
        systems: Each system's intervals by metric.
    """

    corpus: str
    systems: dict[str, dict[str, Interval]]


def prepare(config: "CrossCorpusConfig") -> list[CrossCorpusRow]:
    """Reads and pools the corpora, and extracts their features with each encoder."""
    roots = parse_places("--roots", config.roots)
    pooled = pool_corpora(
        {
            name: load_utterances(CorpusSettings(corpus=name, root=root))
            for name, root in roots.items()
        }
    )
    listed = _find_judged(config, pooled.utterances)
    rows = []
    for row in config.rows():
        (encoder,) = row.features.encoders
        settings = row.features.of_encoder(encoder)
        test = np.sort(np.concatenate([listed[name] for name in row.test]))
        split = partial(split_across, train=row.train, test=test)
        corpus = make_corpus(pooled.utterances, POOLED_MAP, split)
        windows = single_utterances(corpus.classes())
        found = extract_features(pooled.utterances, settings, strict=config.strict, corpus=corpus)
        prepared = prepare_windows(
            corpus, windows, windows, found, normalise_clips=settings.standardise == "clip"
        )
        rows.append(CrossCorpusRow(row, prepared, pooled))
    return rows


def train(rows: Sequence[CrossCorpusRow], parents: Sequence[ParentRun]) -> list[list[Judged]]:
    """Trains each row, and scores it on each of its test corpora under the row's run."""
    scores = []
    for row, parent in zip(rows, parents, strict=True):
        config, (encoder,) = row.config, row.config.features.encoders
        probe = SERConfig(
            features=config.features,
            training=config.training,
            hidden_size=config.hidden_size,
            dropout=config.dropout,
        )
        features = config.features.of_encoder(encoder)
        recipe = _utterances.make_recipe(probe, row.prepared, features)
        predictions = run_folds(row.prepared, recipe, parent)
        resamples = config.training.resamples
        _report.score(
            row.prepared,
            predictions,
            parent,
            baselines=recipe.baselines,
            num_resamples=resamples,
        )
        test = predictions[predictions["part"] == "test"]
        judged = [Judged(name, _score_corpus(test, name, resamples)) for name in config.test]
        for corpus, systems in judged:
            parent.log_metrics(_report.name_metrics(f"test_{corpus}", systems[MODEL]))
        scores.append(judged)
    return scores


def _score_corpus(
    test: pd.DataFrame, corpus: str, num_resamples: int
) -> dict[str, dict[str, Interval]]:
    """Scores the model, and the commonest class of train, on one of the test corpora."""
    chosen = test[test["utterance_id"].str.startswith(f"{corpus}:")]
    return {
        system: score_predictions(
            chosen.assign(predicted=chosen[column]), len(FOUR_CLASSES), num_resamples=num_resamples
        )
        for system, column in ((MODEL, "predicted"), (MAJORITY, MAJORITY))
    }


def _find_judged(config: "CrossCorpusConfig", utterances: pd.DataFrame) -> dict[str, Rows]:
    """Finds the rows to judge of each corpus: those of its list, or all that have a class."""
    lists: dict[str, Path] = {**parse_places("--test-lists", config.test_lists)}
    judged = {}
    for name, rows in utterances.groupby("corpus", sort=False):
        corpus = str(name)
        if corpus in lists:
            found = find_listed(lists[corpus], rows)
            judged[corpus] = found.rows
            print(
                f"{corpus}: {len(found.rows)} of {found.num_listed} listed utterances are there; "
                f"{found.num_unclear} names fit several, of which the first part's was taken"
            )
        else:
            judged[corpus] = rows.index[rows["emotion"].notna()].to_numpy(dtype=np.int64)
    return judged
