"""Perturbations: what a model gets when something is removed, swapped, or still to come."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from conversation_emotion.datasets.batches import ModalityArrays, gather_batch
from conversation_emotion.datasets.inputs import Inputs
from conversation_emotion.datasets.perturbations import (
    REMOVALS,
    change_futures,
    forget_speakers,
    hide,
    keep_latest_turn,
    shuffle_order,
    swap_contents,
)
from conversation_emotion.datasets.windows import PADDING, SPEAKER, build_windows
from conversation_emotion.settings.models import ConversationModelSettings
from tests.conversations import make_dialogues, make_features
from tests.datasets.test_windows import contexts, talk
from tests.small_tasks import make_dataset, make_fold, make_inputs


def make_numbered() -> Inputs:
    """Three dialogues of five turns whose states are the number of their row."""
    table, rows = make_dialogues(3, 5), np.arange(15)
    dataset = make_dataset(table, rows % 2, make_fold(rows[:10], rows[10:]))
    features = make_features(np.repeat(rows[:, np.newaxis], 4, axis=1))
    arrays = {name: ModalityArrays(features, name) for name in ("speech", "text")}
    return make_inputs(dataset, build_windows(table, rows % 2), arrays)


def gather(inputs: Inputs, modality: str) -> tuple[list[float], list[bool]]:
    """Returns the first feature of each row, and whether it is there."""
    states, frames = inputs.arrays["only"][modality].gather(torch.arange(15))
    return states[:, 0, 0, 0].tolist(), frames[:, 0].tolist()


def test_without_context_the_latest_turn_is_left_with_all_its_utterances():
    windows = build_windows(talk("ABBAAB"), np.zeros(6, int))
    masked = windows.rows == 2
    kept = keep_latest_turn(replace(windows, masked=masked))
    assert contexts(kept) == {1: [0], 3: [1, 2], 5: [3, 4]}
    assert kept.turns_back.tolist() == [[1, PADDING], [1, 1], [1, 1]]
    assert kept.masked.tolist() == [[False, False], [False, True], [False, False]]


def test_without_order_each_context_has_its_utterances_at_other_distances():
    windows = build_windows(talk("ABBAABABAB"), np.zeros(10, int))
    shuffled = shuffle_order(windows)
    np.testing.assert_array_equal(shuffled.turns_back, windows.turns_back)
    pairs = [
        [
            sorted(zip(rows, roles, strict=True))
            for rows, roles in zip(one.rows, one.roles, strict=True)
        ]
        for one in (windows, shuffled)
    ]
    assert pairs[0] == pairs[1]
    assert (shuffled.rows != windows.rows).any()
    assert ((shuffled.rows == PADDING) == (windows.rows == PADDING)).all()


def test_without_speakers_all_utterances_are_of_one_role():
    windows = build_windows(talk("ABCAB"), np.zeros(5, int))
    roles = forget_speakers(windows).roles
    assert (roles[windows.rows != PADDING] == SPEAKER).all()
    assert (roles[windows.rows == PADDING] == PADDING).all()


def test_a_hidden_modality_is_absent_and_the_other_is_as_it_was():
    inputs = make_numbered()
    hidden = hide(inputs, "text")
    assert gather(hidden, "text") == ([0.0] * 15, [False] * 15)
    assert gather(hidden, "speech") == gather(inputs, "speech")
    found, expected = (
        one.arrays["only"]["text"].stack_frames(np.arange(5)) for one in (hidden, inputs)
    )
    np.testing.assert_array_equal(found, expected)


def test_swapped_contents_are_those_of_other_utterances_each_once():
    states, are_there = gather(swap_contents(make_numbered()), "speech")
    assert sorted(states) == list(range(15))
    assert states != list(range(15))
    assert all(are_there)


def test_every_removal_changes_train_as_it_changes_test():
    inputs = make_numbered()
    for name in ("context", "order", "speakers"):
        changed = REMOVALS[name](inputs)
        np.testing.assert_array_equal(changed.windows.rows, changed.training.rows)
        assert (changed.windows.rows.shape != inputs.windows.rows.shape) or (
            (changed.windows.rows != inputs.windows.rows).any()
            or (changed.windows.roles != inputs.windows.roles).any()
        )


def test_a_changed_future_begins_with_the_target_and_leaves_what_was_before():
    inputs, seen = make_numbered(), []
    for windows, changed in change_futures(inputs, inputs.windows, ConversationModelSettings()):
        seen += windows.target_rows.tolist()
        states = np.array(gather(changed, "speech")[0])
        for target in windows.target_rows:
            begin = target - target % 5
            assert states[begin:target].tolist() == list(range(begin, target))
            # One of fifteen drawn numbers may be its own.
            assert (states[target : begin + 5] != np.arange(target, begin + 5)).any() or target > 3
        batch = gather_batch(
            windows, changed.arrays["only"], np.zeros(15, int), np.arange(len(windows))
        )
        assert sorted(batch.states["speech"][:, 0, 0, 0].tolist()) == sorted(
            {row for row in windows.rows.flatten().tolist() if row != PADDING}
        )
    assert sorted(seen) == inputs.windows.target_rows.tolist()


def test_windows_that_hold_the_target_depend_on_the_future():
    inputs = make_numbered()
    rows = np.where(inputs.windows.rows == PADDING, PADDING, inputs.windows.target_rows[:, None])
    leaking = replace(inputs.windows, rows=rows)
    with pytest.raises(RuntimeError, match="windows of 3 targets change with what follows them"):
        next(change_futures(inputs, leaking, ConversationModelSettings()))
