"""The benchmark of prediction: what is recognised, what is removed, and that no future is seen."""

from types import SimpleNamespace
from typing import cast

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from conversation_emotion.datasets.batches import Batch, ModalityArrays
from conversation_emotion.datasets.windows import PADDING, SPEAKER, build_windows
from conversation_emotion.models.conversation import Outputs
from conversation_emotion.settings.epc_benchmark import EPCBenchmarkSettings
from conversation_emotion.settings.features import FeatureSettings
from conversation_emotion.settings.models import ConversationModelSettings
from conversation_emotion.settings.training import TrainingSettings
from conversation_emotion.tasks import epc_benchmark
from conversation_emotion.tasks.epc_benchmark import (
    BenchmarkedPrediction,
    describe_context,
    prepare_benchmark,
    recognise_last,
    sum_classes,
)
from conversation_emotion.tracker import Memory
from conversation_emotion.training.cross_validation import train_fold
from conversation_emotion.utterances.labels import IGNORED, LabelMap
from tests.conversations import make_dialogues, make_features
from tests.datasets.test_windows import talk
from tests.small_tasks import make_dataset, make_fold, make_inputs

NUM_TRAIN = 8 * 6


@pytest.fixture(scope="module")
def task() -> BenchmarkedPrediction:
    """Twelve dialogues in which each speaker keeps to a class, which text and speech hold."""
    table = make_dialogues(12, 6)
    rows = np.arange(len(table))
    classes = (rows % 2 + rows // 6) % 2
    table["text"] = np.where(classes == 1, "yes", "no")
    states = np.stack([classes, 1 - classes, rows % 3, rows % 5], axis=1)
    dataset = make_dataset(table, classes, make_fold(rows[:NUM_TRAIN], rows[NUM_TRAIN:]))
    arrays = {name: ModalityArrays(make_features(states), name) for name in ("speech", "text")}
    return BenchmarkedPrediction(
        make_inputs(dataset, build_windows(table, classes), arrays),
        FeatureSettings(),
        ConversationModelSettings(hidden_size=8, dropout=0.1, input_dropout=0.1),
        TrainingSettings(epochs=15, learning_rate=2e-2, batch_size=16),
    )


@pytest.fixture(scope="module")
def tested(task) -> pd.DataFrame:
    (fold,) = task.dataset.split.folds
    return train_fold(task, fold, 0).predictions.query("part == 'test'")


def test_the_model_and_what_it_is_compared_with_stand_in_one_table(tested):
    assert (tested["predicted"] == tested["target"]).mean() > 0.9
    for system in ("markov", "markov_two", "last_words", "last_predicted", "markov_predicted"):
        probabilities = tested[[f"{system}/p_no", f"{system}/p_yes"]].to_numpy()
        np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, rtol=1e-6)
        assert (probabilities.argmax(axis=1) == tested[system]).all()
    # Speakers take turns, and each keeps to a class: it is the other one than that of the last.
    for system, share in (("last_emotion", 0), ("markov", 1), ("markov_two", 1), ("last_words", 1)):
        assert (tested[system] == tested["target"]).mean() == share
    own = tested[tested["last_own"] != IGNORED]
    assert (own["own_emotion"] == own["target"]).all()
    assert (own["last_own_predicted"] == own["last_own"]).mean() > 0.9
    assert (tested["last_predicted"] == tested["last"]).mean() > 0.9
    assert (tested["markov_predicted"] == tested["target"]).mean() > 0.9


def test_what_the_target_and_the_turns_after_it_hold_changes_no_prediction(tested):
    assert not tested["future_changed"].any()
    assert (tested["future"] == tested["predicted"]).all()
    np.testing.assert_allclose(tested["future/p_no"], tested["p_no"], atol=1e-5)


def test_what_a_trained_model_needs_is_missed_at_test(tested):
    changes = {
        name: float(np.abs(tested[f"{name}/p_no"] - tested["p_no"]).max())
        for name in ("at_test_speech", "at_test_text", "at_test_contents", "at_test_context")
    }
    assert min(changes.values()) > 1e-3


class Peeking(nn.Module):
    """Reads the emotion of the target itself."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, batch: Batch) -> Outputs:
        logits = self.weight * nn.functional.one_hot(batch.emotions, 2)
        return Outputs(logits, None, torch.zeros(*batch.mask.shape, 2))


def test_a_model_that_sees_the_target_ends_the_benchmark(task):
    (fold,) = task.dataset.split.folds
    match = r"predictions change with what follows their target, fold only, test; the model sees"
    with pytest.raises(RuntimeError, match=match):
        task.probe(Peeking(), fold, "test")


def test_baselines_are_fitted_on_train_alone(task):
    (fold,) = task.dataset.split.folds
    priors = task.fit_baselines(fold).priors
    train = task.inputs.windows.select(fold.train)
    np.testing.assert_allclose(priors, np.bincount(train.targets) / len(train))


def test_the_last_recognition_is_that_of_the_context_or_of_the_speaker():
    roles = torch.tensor([[SPEAKER, 1, SPEAKER, 1], [1, 1, PADDING, PADDING]])
    places = torch.arange(4).repeat(2, 1).unsqueeze(-1).float()
    batch = cast(Batch, SimpleNamespace(mask=roles != PADDING, roles=roles))
    model = cast(nn.Module, lambda _: Outputs(torch.zeros(2, 1), None, places))
    latest, own, has_own = recognise_last(model, batch)
    assert latest.flatten().tolist() == [3, 1]
    assert (own.flatten().tolist()[0], has_own.tolist()) == (2, [True, False])


def test_emotions_of_one_class_are_summed_and_those_of_none_left_out():
    dataset = make_dataset(make_dialogues(1, 1), np.array([0]))
    named = LabelMap(
        corpus="planted",
        label_set="two",
        labels=("no", "yes"),
        classes={"joy": "yes", "excited": "yes", "anger": "no"},
        dropped=("fear",),
    )
    dataset = dataset._replace(label_map=named, emotion_labels=("anger", "excited", "fear", "joy"))
    logits = np.log(np.array([[0.2, 0.1, 0.5, 0.2]]))
    np.testing.assert_allclose(sum_classes(dataset, logits), [[0.4, 0.6]])


def test_a_context_is_described_by_turn_size_and_next_speaker():
    table = talk("ABBAC")
    found = {
        horizon: describe_context(table, build_windows(table, np.zeros(5, int), horizon=horizon))
        for horizon in (1, 2)
    }
    assert found[1]["turn_number"].tolist() == [2, 3, 4]
    assert found[1]["context_size"].tolist() == [1, 3, 4]
    assert found[1]["next_speaker"].tolist() == ["new", "listener", "new"]
    assert found[2]["next_speaker"].tolist() == ["same", "new"]


@pytest.mark.parametrize(
    ("retrain", "change"),
    [("gold", "history_labels"), ("speakers", "roles"), ("text", "text"), ("", "")],
)
def test_a_training_lacks_what_it_is_named_by(task, monkeypatch, retrain, change):
    given = EPCBenchmarkSettings().for_row(1, *([retrain] if retrain else []))  # type: ignore[list-item]
    monkeypatch.setattr(epc_benchmark, "prepare_prediction", lambda *args: task)
    prepared = prepare_benchmark(given, Memory())
    assert ("majority" in prepared.baselines) == (not retrain)
    assert given.model_of_row().history_labels == ("gold" if retrain == "gold" else "none")
    has_roles = (prepared.inputs.windows.roles == 1).any()
    assert has_roles == (change != "roles")
    (fold,) = prepared.dataset.split.folds
    batch = next(iter(prepared.batches(fold, 0).valid))
    assert batch.frames["text"].any() == (change != "text")
    assert batch.frames["speech"].any()
