"""Emotion across corpora: trained on some of a pooled table, tested on others."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from conversation_emotion.datasets.dataset import assemble_dataset, load_utterances
from conversation_emotion.datasets.pooled import POOLED_MAP, Pooled, pool_corpora, split_across
from conversation_emotion.settings.corpus import CorpusSettings, parse_places
from conversation_emotion.settings.models import UtteranceModelSettings
from conversation_emotion.settings.probes import CrossCorpusSettings
from conversation_emotion.splits.emobox import find_listed
from conversation_emotion.splits.folds import Rows
from conversation_emotion.tasks.emotion import UtteranceEmotion, evaluate_classes
from conversation_emotion.tasks.prepare import join_features
from conversation_emotion.tasks.task import Scores
from conversation_emotion.tracker import Memory


class Corpora(NamedTuple):
    """Several corpora in one table, with the rows to test on by corpus."""

    pooled: Pooled
    targets: dict[str, Rows]


@dataclass(eq=False, repr=False)
class CrossCorpusRecognition(UtteranceEmotion):
    """Emotion of single utterances, by test corpus."""

    corpora: Corpora

    def evaluate_corpus(self, predictions: pd.DataFrame, corpus: str) -> Scores:
        """Scores the model and the majority on one of the test corpora."""
        chosen = select_corpus(predictions, corpus)
        return evaluate_classes(chosen, self.baselines, len(self.labels))


def select_corpus(predictions: pd.DataFrame, corpus: str) -> pd.DataFrame:
    """Returns the predictions on one of the test corpora."""
    is_test = predictions["part"] == "test"
    return predictions[is_test & predictions["utterance_id"].str.startswith(f"{corpus}:")]


def prepare_cross_corpus(settings: CrossCorpusSettings, memory: Memory) -> CrossCorpusRecognition:
    """Prepares a row: one encoder, its train corpora and its test corpora."""
    (encoder,) = settings.features.speech_encoder
    features = settings.features.for_encoder(encoder)
    places = (settings.roots, settings.test_lists)
    corpora = memory.recall(("corpora", *places), lambda: _read_corpora(settings))
    utterances = corpora.pooled.utterances
    test = np.sort(np.concatenate([corpora.targets[name] for name in settings.test]))
    split = partial(split_across, train=settings.train, test=test)
    dataset = assemble_dataset(utterances, POOLED_MAP, split)

    # A family of encoders depends on the folds, which here differ from row to row.
    key = ("cross-corpus", *places, features, settings.train, settings.test)
    model = UtteranceModelSettings(hidden_size=settings.hidden_size, dropout=settings.dropout)
    join = partial(join_features, dataset, model, features, strict=settings.strict)
    inputs = memory.recall(key, join)
    return CrossCorpusRecognition(inputs, features, model, settings.training, corpora)


def _read_corpora(settings: CrossCorpusSettings) -> Corpora:
    roots = parse_places("--roots", settings.roots)
    settings_of = {name: CorpusSettings(corpus=name, root=root) for name, root in roots.items()}
    pooled = pool_corpora({name: load_utterances(own) for name, own in settings_of.items()})
    return Corpora(pooled, _find_targets(settings, pooled.utterances))


def _find_targets(settings: CrossCorpusSettings, utterances: pd.DataFrame) -> dict[str, Rows]:
    """Returns the rows to test on of each corpus: those of its list, or all that have a class."""
    lists: dict[str, Path] = {**parse_places("--test-lists", settings.test_lists)}
    targets = {}
    for name, rows in utterances.groupby("corpus", sort=False):
        corpus = str(name)
        if corpus in lists:
            found = find_listed(lists[corpus], rows)
            targets[corpus] = found.rows
            print(
                f"{corpus}: {len(found.rows)} of {found.num_listed} listed utterances are there; "
                f"{found.num_unclear} names fit several, of which the first part's was taken"
            )
        else:
            targets[corpus] = rows.index[rows["emotion"].notna()].to_numpy(dtype=np.int64)
    return targets
