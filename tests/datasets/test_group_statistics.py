"""Standardisation by speaker and corpus: statistics by hand, and planted offsets of speakers."""

import numpy as np
import pandas as pd
import pytest
import torch

from conversation_emotion.datasets.batches import ModalityArrays
from conversation_emotion.datasets.group_statistics import (
    GroupSums,
    Statistics,
    find_groups,
    fit_groups,
)
from conversation_emotion.datasets.inputs import prepare_inputs
from conversation_emotion.datasets.windows import single_utterances
from conversation_emotion.settings.features import FeatureSettings
from conversation_emotion.settings.models import ConversationModelSettings, UtteranceModelSettings
from conversation_emotion.settings.training import TrainingSettings
from conversation_emotion.splits.folds import Fold
from conversation_emotion.tasks.emotion import UtteranceEmotion
from conversation_emotion.tasks.prepare import join_features
from conversation_emotion.tracker import MemoryTracker
from conversation_emotion.training.cross_validation import cross_validate
from tests.conversations import make_dialogues, make_features
from tests.small_tasks import make_dataset

PRIOR = Statistics(np.zeros((1, 1), np.float32), np.ones((1, 1), np.float32))


def frames(*values: float) -> np.ndarray:
    """An utterance with so many frames of one feature: (1, T, 1)."""
    return np.array(values, dtype=np.float32)[None, :, None]


def test_statistics_of_a_group_are_drawn_towards_the_prior_by_its_utterances():
    states = [frames(4.0, 8.0), None, frames(6.0), frames(9.0)]
    found = fit_groups(states, pd.Series(["a", "a", "a", None]), prior=PRIOR)
    # Frames 4, 8, 6 of two utterances: mean 6, variance 8 / 3; the prior counts as four.
    np.testing.assert_allclose(found.centres[:, 0, 0], [2 / 6 * 6, 0])
    np.testing.assert_allclose(found.scales[:, 0, 0] ** 2, [(2 * 8 / 3 + 4) / 6, 1], rtol=1e-6)
    moved = found.standardise(np.array([[[4.0]], [[9.0]]], np.float32), np.array([0, 3]))
    np.testing.assert_allclose(moved[:, 0, 0], [2 / found.scales[0, 0, 0], 9], rtol=1e-6)


def test_without_a_prior_it_is_the_mean_of_groups_and_the_deviation_within_them():
    states = [frames(0.0, 2.0), frames(10.0, 14.0)]
    whole = fit_groups(states, pd.Series(["a", "b"])).whole
    # Means 1 and 12; squares 2 and 8 with one degree of freedom each.
    assert whole.centre[0, 0] == pytest.approx(6.5)
    assert whole.scale[0, 0] == pytest.approx(np.sqrt(10 / 2))
    with pytest.raises(ValueError, match="no utterance of a known group has features"):
        fit_groups(states, pd.Series([None, None]))


def test_pieces_add_up_to_the_whole_and_batches_get_standardised_frames():
    generator = np.random.default_rng(0)
    states = [generator.normal(size=(2, 1 + row % 3, 3)).astype(np.float32) for row in range(12)]
    groups = pd.Series(["a", "b", "c"] * 4)
    whole, sums = fit_groups(states, groups), GroupSums()
    sums.add(states[:5], groups[:5])
    sums.add(states[5:], groups[5:])
    np.testing.assert_allclose(sums.settle(groups).centres, whole.centres, atol=1e-6)
    arrays = ModalityArrays(make_features(np.zeros((12, 3)))._replace(states=states), "speech")
    moved = ModalityArrays(
        make_features(np.zeros((12, 3)))._replace(states=states), "speech", statistics=whole
    )
    rows = np.arange(12)
    gathered, mask = moved.gather(torch.from_numpy(rows))
    expected = whole.standardise(arrays.stack_frames(rows), np.repeat(rows, [1, 2, 3] * 4))
    found = gathered.numpy().transpose(0, 2, 1, 3)[mask.numpy()]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_allclose(moved.stack_frames(rows), expected, atol=1e-6)


def test_groups_are_speakers_or_the_corpora_of_a_joint_table():
    table = make_dialogues(2, 2)
    speakers, corpora = (find_groups(table, name) for name in ("speaker", "corpus"))
    assert speakers is not None
    assert corpora is not None
    assert (speakers.tolist(), corpora.tolist()) == (["p0", "p1"] * 2, ["planted"] * 4)
    joint = find_groups(table.assign(source=["x", "y"] * 2), "corpus")
    assert joint is not None
    assert joint.tolist() == ["x", "y"] * 2
    assert find_groups(table, "train") is None


@pytest.mark.parametrize(("standardise", "least", "most"), [("train", 0, 0.7), ("speaker", 0.9, 1)])
def test_planted_offsets_of_speakers_are_taken_away(standardise, least, most):
    generator, size = np.random.default_rng(0), 120
    classes = np.arange(size) // 3 % 2
    table = make_dialogues(size // 3, 3, num_speakers=3)
    voices = table["speaker"].str[1:].astype(int).to_numpy()
    values = generator.normal(size=(size, 2))
    values[:, 0] += 6 * classes + np.array([0, 3, -10])[voices]
    parts = [np.flatnonzero(voices == number) for number in range(3)]
    fold = Fold(name="last", train=parts[0], valid=parts[1], test=parts[2])
    windows = single_utterances(classes)
    inputs = prepare_inputs(
        make_dataset(table, classes, fold),
        windows,
        windows,
        {"speech": make_features(values)},
        standardise=standardise,
    )
    features = FeatureSettings(
        modality="speech", speech_pooling="mean", layer_mixture="sum", standardise=standardise
    )
    model = UtteranceModelSettings(head="logistic")
    task = UtteranceEmotion(inputs, features, model, TrainingSettings(workers=1))
    found = cross_validate(task, MemoryTracker())
    test = found[found["part"] == "test"]
    assert least <= (test["predicted"] == test["target"]).mean() <= most
    notes = " ".join(task.dataset.split.notes)
    assert ("without labels (transductive)" in notes) == (standardise == "speaker")


def test_models_of_conversations_take_no_statistics_of_later_turns():
    table, classes = make_dialogues(4, 3), np.arange(12) % 2
    dataset = make_dataset(table, classes)
    features = FeatureSettings(standardise="speaker")
    with pytest.raises(ValueError, match="--standardise speaker takes statistics over turns that"):
        join_features(dataset, ConversationModelSettings(), features, strict=False)
