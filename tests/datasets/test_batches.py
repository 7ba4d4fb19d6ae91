"""Features of utterances as batches take them."""

import numpy as np
import torch

from conversation_emotion.datasets.batches import (
    LONGEST_RUN,
    ModalityArrays,
    find_runs,
    shuffle_runs,
)
from conversation_emotion.datasets.windows import build_windows, single_utterances
from conversation_emotion.features.extract import Features
from tests.conversations import make_dialogues


def test_each_layer_of_a_clip_is_normalised_by_itself():
    rng = np.random.default_rng(0)
    loud, quiet = rng.normal(50, 20, (5, 3)), rng.normal(-1, 0.1, (5, 3))
    clip = np.stack([loud, quiet]).astype(np.float32)  # L = 2, T = 5, D = 3
    arrays = ModalityArrays(Features([clip], {}), "speech", normalise_clips=True)
    states = arrays.stack_frames(np.array([0]))  # (T, L, D)
    for number, layer in enumerate((loud, quiet)):
        expected = (layer - layer.mean()) / layer.std()
        np.testing.assert_allclose(states[:, number], expected, atol=1e-4)


def test_windows_that_share_utterances_are_shuffled_in_runs_and_others_one_by_one():
    classes = np.zeros(4 * 41, dtype=np.int64)
    windows = build_windows(make_dialogues(4, 41), classes)  # 40 windows of each dialogue
    order = shuffle_runs(find_runs(windows), torch.Generator().manual_seed(0))
    assert sorted(order) == list(range(160))
    starts = np.flatnonzero(np.append(True, np.diff(order) != 1))
    # Runs of 16, 16 and 8 windows; few of them happen to follow one another.
    assert {*order[starts]} <= {d * 40 + n for d in range(4) for n in (0, LONGEST_RUN, 32)}
    assert len(starts) > 8
    again = shuffle_runs(find_runs(windows), torch.Generator().manual_seed(1))
    assert not np.array_equal(order, again)
    alone = shuffle_runs(find_runs(single_utterances(classes)), torch.Generator().manual_seed(0))
    assert (np.diff(alone) == 1).sum() < 10
