"""Corpora in one table: maps, what they drop, and folds across corpora."""

import numpy as np
import pandas as pd
import pytest

from conversation_emotion.datasets.pooled import pool_corpora, split_across
from conversation_emotion.splits.protocols import LeakageError
from conversation_emotion.utterances.table import build_utterances


def recordings(corpus: str, emotions: list[str | None], num_speakers: int) -> pd.DataFrame:
    """Single utterances, every emotion by every speaker."""
    rows = [
        {
            "utterance_id": f"{speaker}-{number}",
            "dialogue_id": f"{speaker}-{number}",
            "order": 0,
            "speaker": f"{speaker:02}",
            "emotion": emotion,
        }
        for speaker in range(num_speakers)
        for number, emotion in enumerate(emotions)
    ]
    return build_utterances(rows, corpus)


@pytest.fixture
def pooled():
    return pool_corpora(
        {
            "emodb": recordings("emodb", ["anger", "boredom", "happiness", "sadness"], 10),
            "urdu": recordings("urdu", ["neutral", "anger", None], 2),
        }
    )


def is_labelled(utterances: pd.DataFrame) -> np.ndarray:
    return utterances["emotion"].notna().to_numpy()


def rows_of(utterances: pd.DataFrame, corpus: str) -> np.ndarray:
    return np.flatnonzero((utterances["corpus"] == corpus) & is_labelled(utterances))


def test_emotions_become_classes_and_what_is_dropped_is_counted(pooled):
    table = pooled.utterances
    assert table["emotion"].fillna("-").tolist() == (
        ["angry", "-", "happy", "sad"] * 10 + ["neutral", "angry", "-"] * 2
    )
    assert pooled.num_dropped == {"emodb": {"boredom": 10}, "urdu": {}}
    assert table["utterance_id"].is_unique
    assert table.loc[0, ["utterance_id", "speaker"]].tolist() == ["emodb:0-0", "emodb:00"]


def test_a_corpus_without_a_map_is_named():
    with pytest.raises(ValueError, match="aesdd: no map onto the label set '4-class'"):
        pool_corpora({"aesdd": recordings("aesdd", ["anger", "disgust"], 2)})


def test_whole_speakers_of_the_train_corpus_validate_and_the_test_corpus_stays_unseen(pooled):
    table = pooled.utterances
    split = split_across(table, is_labelled(table), train=["emodb"], test=rows_of(table, "urdu"))
    [fold] = split.folds
    assert set(table["corpus"].iloc[np.concatenate([fold.train, fold.valid])]) == {"emodb"}
    assert set(table["corpus"].iloc[fold.test]) == {"urdu"}
    # A fifth of 30 labelled utterances, three of each speaker: two speakers.
    learning, validating = (set(table["speaker"].iloc[rows]) for rows in (fold.train, fold.valid))
    assert len(validating) == 2
    assert not learning & validating
    assert (fold.name, split.name) == ("emodb", "cross-corpus")


def test_of_two_speakers_single_recordings_validate(pooled):
    table = pooled.utterances
    split = split_across(table, is_labelled(table), train=["urdu"], test=rows_of(table, "emodb"))
    [fold] = split.folds
    assert len(fold.valid) == 1  # a fifth of four labelled recordings
    assert len(fold.train) == 5


def test_people_who_speak_and_sing_cannot_be_in_train_and_in_test():
    emotions: list[str | None] = ["anger", "happiness"]
    table = pool_corpora(
        {
            "ravdess": recordings("ravdess", emotions, 5),
            "ravdess-song": recordings("ravdess-song", emotions, 5),
        }
    ).utterances
    with pytest.raises(LeakageError, match="speaker 'ravdess:00' is both in train and in test"):
        split_across(
            table, is_labelled(table), train=["ravdess"], test=rows_of(table, "ravdess-song")
        )
