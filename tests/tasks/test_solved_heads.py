"""The heads that are solved: what they learn from valid, what they choose by it, and when."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import recall_score
from sklearn.svm import LinearSVC

from conversation_emotion.datasets.batches import ModalityArrays
from conversation_emotion.datasets.windows import single_utterances
from conversation_emotion.models.conversation import COSTS
from conversation_emotion.settings.features import EncoderSettings, FeatureSettings
from conversation_emotion.settings.models import Head, UtteranceModelSettings
from conversation_emotion.settings.recognition import SERSettings, probe_training
from conversation_emotion.settings.training import TrainingSettings
from conversation_emotion.splits.folds import Fold
from conversation_emotion.tasks.emotion import UtteranceEmotion
from conversation_emotion.training.cross_validation import train_fold, validate
from tests.conversations import make_dialogues, make_features
from tests.small_tasks import make_dataset, make_inputs

TRAIN, VALID, TEST = np.arange(20), np.arange(20, 60), np.arange(60, 80)
CLASSES = np.arange(80) % 2
SIGNS = 2 * CLASSES - 1


def make_task(
    head: Head, values: np.ndarray, dialogues: np.ndarray | None = None
) -> tuple[UtteranceEmotion, Fold]:
    """A task on planted features of utterances, each a dialogue unless others are named."""
    fold = Fold(name="only", train=TRAIN, valid=VALID, test=TEST)
    table = make_dialogues(80, 1)
    if dialogues is not None:
        table["dialogue_id"] = dialogues
    arrays = {"speech": ModalityArrays(make_features(values), "speech")}
    inputs = make_inputs(make_dataset(table, CLASSES, fold), single_utterances(CLASSES), arrays)
    model = UtteranceModelSettings(head=head)
    return UtteranceEmotion(
        inputs, FeatureSettings(modality="speech"), model, TrainingSettings()
    ), fold


def turned_values() -> np.ndarray:
    """The first feature gives the class in train and its contrary in valid and test."""
    values = np.random.default_rng(0).normal(scale=0.1, size=(80, 2))
    values[:, 0] += np.where(np.arange(80) < 20, SIGNS, -SIGNS)
    return values


def share_right(task: UtteranceEmotion, fold: Fold) -> dict[str, float]:
    table = train_fold(task, fold, 0).predictions
    is_right = (table["target"] == table["predicted"]).groupby(table["part"]).mean()
    return {part: float(is_right[part]) for part in ("valid", "test")}


@pytest.mark.parametrize("head", ["lda", "logistic", "svm"])
def test_test_is_predicted_from_train_and_valid_and_valid_from_train_alone(head):
    task, fold = make_task(head, turned_values())
    assert share_right(task, fold) == pytest.approx({"valid": 0.0, "test": 1.0}, abs=0.1)
    (validation,) = validate(task)
    assert validation.score == 0.0


@pytest.mark.parametrize("head", ["lda", "logistic", "svm"])
def test_an_utterance_of_valid_that_shares_a_dialogue_with_test_teaches_nothing(head):
    dialogues = np.array([f"d{number % 60:03}" for number in range(80)])
    dialogues[VALID] = np.resize(dialogues[TEST], len(VALID))
    task, fold = make_task(head, turned_values(), dialogues)
    assert share_right(task, fold) == {"valid": 0.0, "test": 0.0}


MACHINES = {
    "logistic": partial(LogisticRegression, max_iter=1_000),
    "svm": partial(LinearSVC, random_state=0, max_iter=20_000),
}


@pytest.mark.parametrize("head", MACHINES)
def test_c_is_the_first_that_is_best_on_valid(head):
    values = np.random.default_rng(3).normal(size=(80, 12))
    values[:, :3] += 0.5 * SIGNS[:, None]
    task, fold = make_task(head, values)
    train_fold(task, fold, 0)
    scaled = (values - values[TRAIN].mean(axis=0)) / values[TRAIN].std(axis=0)
    scores = []
    for cost in COSTS:
        machine = MACHINES[head](C=cost, class_weight="balanced")
        found = machine.fit(scaled[TRAIN], CLASSES[TRAIN]).predict(scaled[VALID])
        scores.append(recall_score(CLASSES[VALID], found, average="macro"))
    assert len(set(scores)) > 1
    assert task.costs == {"only": COSTS[int(np.argmax(scores))]}


@pytest.mark.parametrize(
    ("settings", "head", "mixture"),
    [
        ({}, "logistic", "join"),
        ({"features": EncoderSettings(layer_mixture="sum")}, "logistic", "sum"),
        ({"training": replace(probe_training(), class_weights="none")}, "logistic", "join"),
        ({"training": replace(probe_training(), seeds=3)}, "superb", "auto"),
        ({"training": replace(probe_training(), learning_rate=0.1)}, "superb", "auto"),
        ({"model": UtteranceModelSettings(head="auto", dropout=0.5)}, "superb", "auto"),
        ({"features": EncoderSettings(aggregator="ecapa")}, "superb", "auto"),
        ({"model": UtteranceModelSettings(head="lda")}, "lda", "auto"),
    ],
)
def test_what_auto_chooses_follows_the_settings_that_are_given(settings, head, mixture):
    settled = SERSettings(**settings).settle()
    assert (settled.model.head, settled.features.layer_mixture) == (head, mixture)


def test_the_probabilities_are_those_of_the_logistic_regression():
    values = np.random.default_rng(5).normal(size=(80, 3))
    task, fold = make_task("logistic", values + SIGNS[:, None])
    table = train_fold(task, fold, 0).predictions
    learning = np.union1d(TRAIN, VALID)
    scaled = values + SIGNS[:, None]
    scaled = (scaled - scaled[TRAIN].mean(axis=0)) / scaled[TRAIN].std(axis=0)
    machine = LogisticRegression(C=task.costs["only"], class_weight="balanced")
    machine.fit(scaled[learning], CLASSES[learning])
    expected = machine.predict_proba(scaled[TEST])[:, 1]
    found = table.loc[table["part"] == "test", "p_yes"]
    np.testing.assert_allclose(found, expected, atol=1e-3)
