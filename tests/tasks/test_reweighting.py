"""Reweighting: groups count alike within each class, in every loss and solved head."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from conversation_emotion.datasets.batches import ModalityArrays
from conversation_emotion.datasets.windows import single_utterances
from conversation_emotion.models.conversation import Outputs
from conversation_emotion.models.fine_tuned import ClipOutputs
from conversation_emotion.settings.features import FeatureSettings
from conversation_emotion.settings.models import UtteranceModelSettings
from conversation_emotion.settings.recognition import SERSettings
from conversation_emotion.settings.sentiment import SentimentSettings
from conversation_emotion.settings.training import FineTuningSettings, TrainingSettings
from conversation_emotion.splits.folds import Fold
from conversation_emotion.tasks.emotion import UtteranceEmotion
from conversation_emotion.tasks.reweighting import MOST, describe_weights, weigh_groups
from conversation_emotion.training.cross_validation import train_fold
from conversation_emotion.utterances.labels import IGNORED
from tests.conversations import make_dialogues, make_features
from tests.small_tasks import (
    Planted,
    make_clips,
    make_dataset,
    make_fine_tuning,
    make_fold,
    make_inputs,
)

TEST = np.arange(3, 5)


def make_people(genders: Sequence[object], classes: list[int], num_train: int):
    """Makes a dataset of utterances with a gender each; the first train."""
    table = make_dialogues(len(genders), 1).assign(gender=np.array(genders, dtype=object))
    fold = make_fold(np.arange(num_train), np.arange(num_train, len(genders)))
    return make_dataset(table, np.array(classes), fold)


def test_each_group_counts_alike_within_its_class_of_train_and_the_class_as_before():
    genders = ["female", "female", "female", "male", "male", "female", None, "male", "female"]
    dataset = make_people(genders, [0, 0, 0, 0, 1, 1, 1, IGNORED, 0], 8)
    weights = weigh_groups(dataset, np.arange(8), ["gender"])
    assert weights is not None
    expected = [4 / (2 * 3)] * 3 + [4 / (2 * 1)] + [1, 1] + [1, 1, 1]
    assert weights.tolist() == pytest.approx(expected)
    (note,) = describe_weights(dataset, ["gender"])
    assert "weights 0.67 to 2.00, 0 utterances cut to 10, 1 targets without a group have 1" in note


def test_several_columns_are_one_group_and_the_weight_of_a_rare_one_is_cut():
    dataset = make_people(["female"] * 60 + ["male"], [0] * 61, 61)
    dataset.utterances["language"] = ["de", "en"] * 30 + ["de"]
    weights = weigh_groups(dataset, np.arange(61), ["gender", "language"])
    assert weights is not None
    assert weights[:2].tolist() == pytest.approx([61 / (3 * 30)] * 2)
    assert weights[60] == MOST
    assert "1 utterances cut to 10" in next(describe_weights(dataset, ["gender", "language"]))


def test_the_loss_is_the_mean_by_the_weights_of_targets_and_classes():
    genders, classes = ["female"] * 3 + ["male", "male"], [0, 0, 0, 0, 1]
    dataset = make_people(genders, classes, 4)
    dataset = dataset._replace(split=replace(dataset.split, folds=(make_fold(np.arange(5), TEST),)))
    arrays = {"speech": ModalityArrays(make_features(np.zeros((5, 1))), "speech")}
    inputs = make_inputs(dataset, single_utterances(np.array(classes)), arrays)
    training = TrainingSettings(reweight_groups=("gender",), class_weights="none")
    task = Planted(inputs, training, lambda: pytest.fail("is not built"))
    logits = torch.tensor([[1.0, 0.0]] * 3 + [[0.0, 1.0]] * 2)
    loss = task.loss(dataset.split.folds[0], torch.device("cpu"))
    batch = next(iter(task.batches(dataset.split.folds[0], 0).training))
    found = loss(lambda batch: Outputs(logits[batch.target_rows], None, None), batch)  # type: ignore[arg-type]
    right, wrong = -torch.log_softmax(torch.tensor([1.0, 0.0]), dim=0)
    assert float(found) == pytest.approx(float((3 * right * 2 / 3 + 2 * wrong + right) / 5))


@pytest.mark.parametrize("head", ["logistic", "svm"])
def test_a_head_serves_a_rare_group_better_with_its_weight(head):
    """One feature gives the class of the many, another that of the few, and both mislead else."""
    few, classes = np.arange(400) % 10 == 0, np.arange(400) // 10 % 2
    slopes = np.where(few[:, None], [-0.4, 1.2], [1.2, -0.4])
    noise = np.random.default_rng(0).normal(scale=0.5, size=(400, 2))
    values = (2 * classes - 1)[:, None] * slopes + noise
    table = make_dialogues(400, 1).assign(gender=np.where(few, "male", "female"))
    fold = Fold(name="f", train=np.arange(200), valid=np.arange(200, 300), test=np.arange(300, 400))
    arrays = {"speech": ModalityArrays(make_features(values), "speech")}
    inputs = make_inputs(make_dataset(table, classes, fold), single_utterances(classes), arrays)
    rights = {}
    for columns in ((), ("gender",)):
        task = UtteranceEmotion(
            inputs,
            FeatureSettings(modality="speech"),
            UtteranceModelSettings(head=head),
            TrainingSettings(reweight_groups=columns),
        )
        found = train_fold(task, fold, 0).predictions.query("part == 'test'")
        is_right = found["target"] == found["predicted"]
        rights[columns] = is_right.groupby(few[300:]).mean()
    assert rights["gender",][True] > rights[()][True] + 0.2
    assert rights[()][False] > 0.9


def test_a_tuned_encoder_has_the_weight_of_each_clip_in_its_loss():
    clips = make_clips()
    settings = FineTuningSettings(reweight_groups=("gender",), class_weights="none")
    task = make_fine_tuning(clips, settings)
    task.dataset.utterances["gender"] = ["female"] * 6 + ["male"] * 34
    fold = task.dataset.split.folds[0]
    batch = next(iter(task.batches(fold, 0).training))
    logits = torch.stack([batch.rows.float() / 40, torch.zeros(len(batch.rows))], dim=1)
    outputs = ClipOutputs(logits, None, torch.ones(len(batch.rows)))
    loss = task.loss(fold, torch.device("cpu"))(lambda *given: outputs, batch)  # type: ignore[arg-type]
    weights = torch.tensor([12 / (2 * 3) if row < 6 else 12 / (2 * 9) for row in batch.rows])
    each = torch.nn.functional.cross_entropy(logits, batch.targets, reduction="none")
    assert float(loss) == pytest.approx(float((each * weights).sum() / weights.sum()))


def test_what_takes_no_weights_refuses_them():
    training = TrainingSettings(epochs=100, patience=20, reweight_groups=("gender",))
    with pytest.raises(ValueError, match="--head lda takes no --reweight-groups"):
        SERSettings(model=UtteranceModelSettings(head="lda"), training=training)
    with pytest.raises(ValueError, match="--reweight-groups has no effect with --regression"):
        SentimentSettings(
            regression=True,
            training=TrainingSettings(class_weights="none", reweight_groups=("gender",)),
        )
    with pytest.raises(ValueError, match="--reweight-groups names gender more than once"):
        TrainingSettings(reweight_groups=("gender", "gender"))
