"""Copies of the train part: at other speeds, and without the silence around the sound."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from tqdm import tqdm

from conversation_emotion.splits.folds import Fold
from conversation_emotion.utterances.audio import AudioError, read_audio
from conversation_emotion.utterances.silence import find_sound

if TYPE_CHECKING:
    from conversation_emotion.datasets.dataset import Dataset


def add_copies(dataset: "Dataset", speeds: Sequence[float], *, trimmed: bool) -> "Dataset":
    """Adds copies of the train dialogues; valid and test have none.

    A copy is a dialogue of its own, ``NAME@SPEED`` or ``NAME@trimmed``, whose rows follow those of
    the corpus. The column ``speed`` is the factor of its playback (Ko et al., 2015); of a trimmed
    one ``offset`` and ``duration`` leave out the silence, see `find_sound`.
    """
    marks = [*(f"@{speed:g}" for speed in speeds), *["@trimmed"] * trimmed]
    if not marks:
        return dataset
    utterances, folds = dataset.utterances, dataset.split.folds
    trained = np.unique(np.concatenate([fold.train for fold in folds]))
    dialogues = utterances["dialogue_id"]
    copied = np.flatnonzero(dialogues.isin(dialogues.iloc[trained]))
    originals = np.concatenate([np.arange(len(utterances)), np.tile(copied, len(marks))])
    is_copy = np.arange(len(originals)) >= len(utterances)
    table = utterances.iloc[originals].reset_index(drop=True)
    factors = np.repeat([*speeds, *[1.0] * trimmed], len(copied))
    table["speed"] = np.concatenate([np.ones(len(utterances)), factors])
    for column in ("utterance_id", "dialogue_id"):
        table.loc[is_copy, column] = table.loc[is_copy, column] + np.repeat(marks, len(copied))
    if trimmed:
        _trim(table, slice(len(table) - len(copied), None))

    def add(fold: Fold) -> Fold:
        copies = np.flatnonzero(is_copy & np.isin(originals, fold.train))
        return replace(fold, train=np.concatenate([fold.train, copies]))

    kinds = [f"at speeds {', '.join(f'{x:g}' for x in speeds)}"] if speeds else []
    kinds += ["without the silence around the sound"] if trimmed else []
    note = f"train also holds copies {' and '.join(kinds)}"
    split = dataset.split
    split = replace(split, folds=tuple(map(add, folds)), notes=(*split.notes, note))
    return dataset._replace(
        utterances=table,
        targets=dataset.targets._replace(
            classes=dataset.targets.classes.iloc[originals].reset_index(drop=True)
        ),
        emotion_classes=dataset.emotion_classes[originals],
        split=split,
    )


def _trim(table: pd.DataFrame, rows: slice) -> None:
    """Leaves the silence out of rows; what cannot be read is named later, by who encodes it."""
    places = table.iloc[rows][["audio", "offset", "duration", "channel"]]
    parts = []
    for audio, offset, duration, channel in tqdm(
        places.itertuples(index=False), total=len(places), unit=" clips", delay=3, leave=False
    ):
        begin = 0.0 if pd.isna(offset) else float(offset)
        part = (offset, duration)
        if pd.notna(audio):
            try:
                waveform = read_audio(
                    audio,
                    offset=None if pd.isna(offset) else begin,
                    duration=None if pd.isna(duration) else float(duration),
                    channel=None if pd.isna(channel) else int(channel),
                )
                start, end = find_sound(waveform)
                part = (begin + start, end - start)
            except AudioError:
                pass
        parts.append(part)
    for number, column in enumerate(("offset", "duration")):
        table.loc[table.index[rows], column] = [part[number] for part in parts]
