"""A dataset: the utterances of a corpus, its classes, and the folds of a protocol."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from conversation_emotion.corpora import load_corpus
from conversation_emotion.datasets.copies import add_copies
from conversation_emotion.settings.corpus import (
    CorpusSettings,
    OneCorpusSettings,
    find_corpus,
)
from conversation_emotion.splits.protocols import Split, SplitOptions, make_split
from conversation_emotion.utterances.labels import (
    IGNORED,
    LabelMap,
    Targets,
    find_label_map,
    map_labels,
)


class Dataset(NamedTuple):
    """A corpus with its classes and audited folds.

    ``targets`` are the class of every utterance of the table; ``emotion_labels`` (R) and
    ``emotion_classes`` are the same among all emotions that the corpus names, for auxiliary tasks.
    ``root`` is that of the corpus, if its settings name one.
    """

    utterances: pd.DataFrame
    label_map: LabelMap
    targets: Targets
    emotion_labels: tuple[str, ...]
    emotion_classes: NDArray[np.int64]
    split: Split
    root: Path | None = None

    def classes(self) -> NDArray[np.int64]:
        """Returns the class of every utterance, `IGNORED` where there is none."""
        return self.targets.classes.to_numpy()

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes (C)."""
        return self.label_map.labels

    def add_note(self, note: str) -> "Dataset":
        """Adds a line that is shown below every table of scores, once."""
        notes = tuple(dict.fromkeys((*self.split.notes, note)))
        return self._replace(split=replace(self.split, notes=notes))

    def first(self, num_folds: int | None) -> "Dataset":
        """Keeps the first folds alone; None keeps all, and the split notes what was left out."""
        folds = self.split.folds
        if num_folds is None or num_folds >= len(folds):
            return self
        kept = self._replace(split=replace(self.split, folds=folds[:num_folds]))
        return kept.add_note(f"only the first {num_folds} of {len(folds)} folds")


def make_dataset(settings: CorpusSettings, max_folds: int | None = None) -> Dataset:
    """Reads a corpus, maps its labels and splits it; ``max_folds`` keeps only the first folds."""
    utterances = load_utterances(settings)
    source = find_corpus(settings.corpus)
    label_set = source.labels if settings.labels == "auto" else settings.labels
    label_map = find_label_map(settings.corpus, label_set, utterances["emotion"], source.label_maps)
    return split_dataset(utterances, label_map, settings, max_folds)


def split_dataset(
    utterances: pd.DataFrame, label_map: LabelMap, settings: CorpusSettings, max_folds: int | None
) -> Dataset:
    """Assembles a dataset with the first folds of the split that the settings name."""
    dataset = assemble_dataset(utterances, label_map, partial(choose_split, settings=settings))
    dataset = dataset._replace(root=settings.root)
    return add_copies(dataset.first(max_folds), settings.speeds, trimmed=settings.trimmed)


def assemble_dataset(
    utterances: pd.DataFrame,
    label_map: LabelMap,
    split: Callable[[pd.DataFrame, NDArray[np.bool_]], Split],
) -> Dataset:
    """Assembles a dataset from a table, the classes of its column ``emotion`` and its folds.

    ``split`` makes the folds of the table, given which rows have a class.
    """
    emotions = utterances["emotion"]
    emotion_map = find_label_map(label_map.corpus, "all", emotions)
    targets = map_labels(emotions, label_map)
    return Dataset(
        utterances,
        label_map,
        targets,
        emotion_map.labels,
        map_labels(emotions, emotion_map).classes.to_numpy(),
        split(utterances, targets.classes.to_numpy() != IGNORED),
    )


def load_utterances(settings: OneCorpusSettings) -> pd.DataFrame:
    """Reads the corpus that the settings name, and prints how much of it was found."""
    utterances = load_corpus(settings.corpus, settings.root, **asdict(settings.options))
    print(
        f"{settings.corpus}: {len(utterances):,} utterances read, "
        f"{utterances['dialogue_id'].nunique():,} dialogues, "
        f"{utterances['speaker'].nunique()} speakers"
    )
    return utterances


def choose_split(
    utterances: pd.DataFrame, is_labelled: NDArray[np.bool_], settings: CorpusSettings
) -> Split:
    """Makes the split that is named, or the default of the corpus."""
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
        target_rows=np.flatnonzero(is_labelled).astype(np.int64),
    )
    return make_split(name, utterances, options)


def note_shared_recordings(dataset: Dataset, recordings: Sequence[str | None]) -> Dataset:
    """Notes with the split how many test utterances have a recording that train holds too.

    ``recordings`` identify the sound of each utterance, None where there is none.
    """
    sounds = pd.Series(list(recordings), dtype=object)
    labelled = np.flatnonzero(dataset.classes() != IGNORED)
    shared, num_tested = 0, 0
    for fold in dataset.split.folds:
        tested = sounds.iloc[np.intersect1d(fold.test, labelled)].dropna()
        shared += int(tested.isin(sounds.iloc[fold.train].dropna()).sum())
        num_tested += len(tested)
    if not shared:
        return dataset
    return dataset.add_note(
        f"{shared:,} of {num_tested:,} test utterances have a recording that train holds too"
    )
