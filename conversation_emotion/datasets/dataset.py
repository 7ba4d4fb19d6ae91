"""The corpus by the settings: its utterances, the classes to judge, the folds of its protocol."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from conversation_emotion.corpora import load_corpus
from conversation_emotion.settings.corpus import CorpusSettings, find_corpus
from conversation_emotion.splits.folds import Fold
from conversation_emotion.splits.protocols import Split, SplitOptions, make_split
from conversation_emotion.utterances.labels import (
    IGNORED,
    LabelMap,
    Targets,
    find_label_map,
    map_labels,
)


class Corpus(NamedTuple):
    """A corpus with its classes and folds.

    Attributes:
        utterances: The utterance table.
        label_map: Classes to judge.
        targets: Class of every utterance among them.
        heard_labels: All emotions that the corpus names (R), for auxiliary recognition.
        heard_classes: Class of every utterance among those.
        split: Audited folds.
    """

    utterances: pd.DataFrame
    label_map: LabelMap
    targets: Targets
    heard_labels: tuple[str, ...]
    heard_classes: NDArray[np.int64]
    split: Split

    def classes(self) -> NDArray[np.int64]:
        """Returns the class of every utterance, `IGNORED` where there is none."""
        return self.targets.classes.to_numpy()


def read_corpus(settings: CorpusSettings) -> Corpus:
    """Reads the corpus, maps its labels and splits it."""
    utterances = load_utterances(settings)
    source = find_corpus(settings.corpus)
    label_set = source.labels if settings.labels == "auto" else settings.labels
    label_map = find_label_map(settings.corpus, label_set, utterances["emotion"], source.label_maps)
    corpus = make_corpus(utterances, label_map, partial(choose_split, settings=settings))
    return learn_at_speeds(corpus, settings.speeds)


def make_corpus(
    utterances: pd.DataFrame,
    label_map: LabelMap,
    split: Callable[[pd.DataFrame, NDArray[np.bool_]], Split],
) -> Corpus:
    """Puts a table, the classes of its column ``emotion`` and its folds together.

    Args:
        utterances: The table.
        label_map: Classes to judge.
        split: Makes the folds of the table, told which rows are judged.
    """
    emotions = utterances["emotion"]
    heard_map = find_label_map(label_map.corpus, "all", emotions)
    targets = map_labels(emotions, label_map)
    return Corpus(
        utterances,
        label_map,
        targets,
        heard_map.labels,
        map_labels(emotions, heard_map).classes.to_numpy(),
        split(utterances, targets.classes.to_numpy() != IGNORED),
    )


def load_utterances(settings: CorpusSettings) -> pd.DataFrame:
    """Reads the corpus that the settings name, and says how much of it was found."""
    utterances = load_corpus(settings.corpus, settings.root, **asdict(settings.options))
    print(
        f"{settings.corpus}: {len(utterances):,} utterances read, "
        f"{utterances['dialogue_id'].nunique():,} dialogues, "
        f"{utterances['speaker'].nunique()} speakers"
    )
    return utterances


def choose_split(
    utterances: pd.DataFrame, is_judged: NDArray[np.bool_], settings: CorpusSettings
) -> Split:
    """Makes the split that is named, or the one that suits the corpus."""
    name, source = settings.split, find_corpus(settings.corpus)
    if name == "auto":
        own = "official" if utterances["split"].notna().any() else "speaker-k-fold"
        name = source.split or own
        settings.check_split(name)
    options = SplitOptions(
        num_folds=settings.num_folds,
        valid=source.valid if settings.valid == "auto" else settings.valid,
        superb_folds=settings.superb_folds,
        emobox_folds=settings.emobox_folds,
        judged=np.flatnonzero(is_judged).astype(np.int64),
    )
    return make_split(name, utterances, options)


def learn_at_speeds(corpus: Corpus, speeds: Sequence[float]) -> Corpus:
    """Lets train hold every dialogue of it also at other speeds; no copy is ever judged.

    A copy is a dialogue of its own, ``NAME@SPEED``, whose rows stand behind those of the corpus and
    whose column ``speed`` says how fast to play them (Ko et al., 2015).
    """
    if not speeds:
        return corpus
    utterances, folds = corpus.utterances, corpus.split.folds
    learnt = np.unique(np.concatenate([fold.train for fold in folds]))
    dialogues = utterances["dialogue_id"]
    copied = np.flatnonzero(dialogues.isin(dialogues.iloc[learnt]))
    originals = np.concatenate([np.arange(len(utterances)), np.tile(copied, len(speeds))])
    is_copy = np.arange(len(originals)) >= len(utterances)
    table = utterances.iloc[originals].reset_index(drop=True)
    table["speed"] = np.concatenate([np.ones(len(utterances)), np.repeat(speeds, len(copied))])
    marks = "@" + table.loc[is_copy, "speed"].map("{:g}".format)
    for column in ("utterance_id", "dialogue_id"):
        table.loc[is_copy, column] = table.loc[is_copy, column] + marks

    def learn_copies(fold: Fold) -> Fold:
        copies = np.flatnonzero(is_copy & np.isin(originals, fold.train))
        return replace(fold, train=np.concatenate([fold.train, copies]))

    split = replace(
        corpus.split,
        folds=tuple(map(learn_copies, folds)),
        notes=(
            *corpus.split.notes,
            f"train also holds copies at speeds {', '.join(f'{x:g}' for x in speeds)}",
        ),
    )
    return corpus._replace(
        utterances=table,
        targets=corpus.targets._replace(
            classes=corpus.targets.classes.iloc[originals].reset_index(drop=True)
        ),
        heard_classes=corpus.heard_classes[originals],
        split=split,
    )


def note_shared_recordings(corpus: Corpus, recordings: Sequence[str | None]) -> Corpus:
    """Notes with the split how many tested utterances have a recording that is learnt from too.

    Args:
        corpus: The corpus.
        recordings: What the sound of each utterance is known by, None where there is none.
    """
    known = pd.Series(list(recordings), dtype=object)
    judged = np.flatnonzero(corpus.classes() != IGNORED)
    shared, num_tested = 0, 0
    for fold in corpus.split.folds:
        tested = known.iloc[np.intersect1d(fold.test, judged)].dropna()
        shared += int(tested.isin(known.iloc[fold.train].dropna()).sum())
        num_tested += len(tested)
    if not shared:
        return corpus
    note = f"{shared:,} of {num_tested:,} tested utterances have a recording that train holds too"
    return corpus._replace(split=replace(corpus.split, notes=(*corpus.split.notes, note)))
