"""Targets that lack a modality: counted, and refused where a whole part lacks it."""

import numpy as np
import pytest

from conversation_emotion.datasets.inputs import prepare_inputs
from conversation_emotion.datasets.windows import build_windows, single_utterances
from conversation_emotion.features.extract import Features
from conversation_emotion.splits.folds import Fold
from tests.conversations import make_dialogues
from tests.small_tasks import make_dataset

CLASSES = np.zeros(12, dtype=np.int64)


def make_features(absent: list[int]) -> Features:
    return Features([None if row in absent else np.ones((1, 1, 2)) for row in range(12)], {}, "key")


@pytest.fixture
def dataset():
    """Six dialogues of two turns, two dialogues in each part."""
    rows = np.arange(12).reshape(3, 4)
    fold = Fold(name="one", train=rows[0], valid=rows[1], test=rows[2])
    return make_dataset(make_dialogues(6, 2), CLASSES, fold)


def test_targets_without_a_modality_are_noted_with_the_tested_ones(dataset):
    windows = single_utterances(CLASSES)
    features = {"speech": make_features([0, 8, 11]), "text": make_features([])}
    notes = prepare_inputs(dataset, windows, windows, features).dataset.split.notes
    assert notes == ("3 of 12 targets have no speech, 2 of them in a test part",)


@pytest.mark.parametrize(("part", "first"), [("train", 0), ("valid", 4), ("test", 8)])
def test_a_part_of_which_no_target_has_a_modality_is_refused(dataset, part, first):
    windows = single_utterances(CLASSES)
    features = {"text": make_features([]), "speech": make_features([*range(first, first + 4)])}
    message = f"planted, fold 'one': none of 4 targets in the {part} part has speech; check"
    with pytest.raises(ValueError, match=message):
        prepare_inputs(dataset, windows, windows, features)


@pytest.mark.parametrize(("horizon", "absent"), [(0, 9), (1, 8)])
def test_what_counts_is_the_turn_itself_in_recognition_and_the_context_in_prediction(
    dataset, horizon, absent
):
    # Of the dialogue with the rows 8 and 9, recognition reads 9 itself and prediction reads 8.
    windows = build_windows(dataset.utterances, CLASSES, horizon=horizon)
    features = {"speech": make_features([absent])}
    (note,) = prepare_inputs(dataset, windows, windows, features).dataset.split.notes
    assert note.startswith(f"1 of {len(windows)} targets have no speech, 1 of them")
    other = {"speech": make_features([17 - absent])}
    prepared = prepare_inputs(dataset, windows, windows, other).dataset
    assert len(prepared.split.notes) == (1 if horizon == 0 else 0)


def test_features_that_differ_by_fold_are_counted_in_their_own(dataset):
    windows = single_utterances(CLASSES)
    folds = {"one": make_features([1])}
    found = prepare_inputs(dataset, windows, windows, {"speech": Features([], {}, "key", folds)})
    assert found.dataset.split.notes == (
        "1 of 12 targets have no speech, 0 of them in a test part",
    )
