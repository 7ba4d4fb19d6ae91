"""Several corpora in one table, and the folds that train on some of them and test on others.

Ids and speakers get the name of their corpus in front, and emotions become the four classes by each
corpus' own map.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from conversation_emotion.corpora.joint import join_tables
from conversation_emotion.settings.corpus import find_corpus
from conversation_emotion.splits.protocols import Fold, Rows, Split, audit_fold, draw_fifth
from conversation_emotion.utterances.labels import (
    FOUR_CLASSES,
    LabelMap,
    find_label_map,
    map_labels,
    own_names,
)

POOLED_MAP = LabelMap(
    corpus="pooled",
    label_set="4-class",
    labels=FOUR_CLASSES,
    classes=own_names(FOUR_CLASSES),
)
"""The classes of a pooled table."""

VALIDATION = (
    "a fifth of the speakers of each train corpus, or of its dialogues where people talk to each "
    "other or fewer than three speak"
)


class Pooled(NamedTuple):
    """Several corpora in one table, whose ``emotion`` is a class, and the map of each corpus.

    ``num_dropped`` counts the utterances of each emotion that the map of each corpus drops.
    """

    utterances: pd.DataFrame
    label_maps: dict[str, LabelMap]
    num_dropped: dict[str, dict[str, int]]


def pool_corpora(tables: Mapping[str, pd.DataFrame]) -> Pooled:
    """Joins utterance tables, by the corpora's names.

    Raises:
        ValueError: A corpus has no map onto the four classes.
    """
    mapped, maps, dropped = {}, {}, {}
    for name, table in tables.items():
        label_map = find_label_map(name, "4-class", table["emotion"], find_corpus(name).label_maps)
        dropped[name] = map_labels(table["emotion"], label_map).num_dropped
        mapped[name] = table.assign(corpus=name, emotion=table["emotion"].map(label_map.classes))
        maps[name] = label_map
    return Pooled(join_tables(mapped), maps, dropped)


def split_across(
    utterances: pd.DataFrame,
    is_target: NDArray[np.bool_],
    *,
    train: Sequence[str],
    test: Rows,
    seed: int = 0,
) -> Split:
    """Makes the one fold that trains on some corpora and predicts rows of others, and audits it.

    ``is_target`` marks the rows that have a class. A part of each train corpus validates, drawn by
    the seed, see `VALIDATION`.

    Raises:
        LeakageError: A speaker is on both sides.
    """
    generator = np.random.default_rng(seed)
    is_valid = np.zeros(len(utterances), dtype=bool)
    is_used = utterances["corpus"].isin(train).to_numpy()
    for name in train:
        rows = np.flatnonzero(utterances["corpus"] == name)
        is_valid[rows] = _draw_valid(utterances.iloc[rows], is_target[rows], generator)
    fold = Fold(
        name="+".join(train),
        train=np.flatnonzero(is_used & ~is_valid).astype(np.int64),
        valid=np.flatnonzero(is_valid).astype(np.int64),
        test=test,
    )
    notes = audit_fold(utterances, fold, "cross-corpus")
    validation = f"{VALIDATION}, seed {seed}"
    return Split(name="cross-corpus", folds=(fold,), validation=validation, notes=tuple(notes))


def _draw_valid(
    corpus: pd.DataFrame, is_target: NDArray[np.bool_], generator: np.random.Generator
) -> NDArray[np.bool_]:
    """Marks whole speakers or dialogues of a corpus until they hold a fifth of its targets."""
    alone = corpus.groupby("dialogue_id")["speaker"].nunique().max() == 1
    column = "speaker" if alone and corpus["speaker"].nunique() >= 3 else "dialogue_id"
    return corpus[column].isin(draw_fifth(corpus.loc[is_target, column], generator)).to_numpy()
