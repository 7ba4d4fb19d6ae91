"""A loss for each modality of late fusion: heads of their own, the sum by hand, what is refused."""

import numpy as np
import pytest
import torch

from conversation_emotion.datasets.batches import ModalityArrays
from conversation_emotion.settings.features import FeatureSettings
from conversation_emotion.settings.models import ConversationModelSettings
from conversation_emotion.settings.recognition import EPCSettings
from conversation_emotion.settings.training import LossName, TrainingSettings
from conversation_emotion.settings.votes import VoteSettings
from conversation_emotion.tasks.emotion import TurnEmotion
from conversation_emotion.tasks.losses import cross_entropy, make_measure
from tests.conversations import make_dialogues, make_features, make_windows
from tests.small_tasks import make_dataset, make_fold, make_inputs

OWN = ("speech=focal", "text=logit-adjusted")


def make_task(own: tuple[str, ...]) -> TurnEmotion:
    generator, classes = np.random.default_rng(0), (np.arange(60) % 5 == 0).astype(np.int64)
    table = make_dialogues(10, 6)
    arrays = {
        name: ModalityArrays(make_features(generator.normal(size=(60, 4))), name)
        for name in ("speech", "text")
    }
    dataset = make_dataset(table, classes, make_fold(np.arange(36), np.arange(36, 60)))
    model = ConversationModelSettings(
        fusion="late", hidden_size=8, modality_loss=own, recognition_weight=0, emotion_weight=0
    )
    training = TrainingSettings(class_weights="none")
    inputs = make_inputs(dataset, make_windows(table, classes), arrays)
    return TurnEmotion(inputs, FeatureSettings(), model, training)


def test_each_modality_adds_half_of_its_own_loss_on_its_own_head():
    task = make_task(OWN)
    (fold,) = task.dataset.split.folds
    model = task.build(fold).eval()
    (batch, *_) = task.batches(fold, 0).training
    outputs, ones = model(batch), torch.ones(2)
    counts = torch.from_numpy(np.bincount(task.inputs.windows.select(fold.train).targets))
    expected = cross_entropy(outputs.logits, batch.targets)
    losses: dict[str, LossName] = {"speech": "focal", "text": "logit-adjusted"}
    for name, loss in losses.items():
        settings = TrainingSettings(loss=loss, class_weights="none")
        own = make_measure(settings, counts)(outputs.streams[name], batch.targets, ones, None)
        expected = expected + 0.5 * own
    torch.testing.assert_close(task.loss(fold, torch.device("cpu"))(model, batch), expected)


def test_without_it_there_are_no_heads_and_a_head_reads_its_modality_alone():
    task = make_task(())
    (fold,) = task.dataset.split.folds
    (batch, *_) = task.batches(fold, 0).training
    plain = task.build(fold)
    assert not any("own_heads" in name for name in plain.state_dict())
    assert plain(batch).streams == {}
    model = make_task(OWN[:1]).build(fold).eval()
    other = batch._replace(states={**batch.states, "text": batch.states["text"] + 1})
    before, after = model(batch), model(other)
    assert list(before.streams) == ["speech"]
    torch.testing.assert_close(before.streams["speech"], after.streams["speech"])
    assert not torch.equal(before.logits, after.logits)


@pytest.mark.parametrize(
    ("model", "more", "message"),
    [
        ({"modality_loss": ("video=focal",)}, {}, "takes speech=LOSS and text=LOSS, .*'video=foc"),
        ({"modality_loss": ("speech=hinge",)}, {}, "LOSS one of cross-entropy, .*'speech=hinge'"),
        ({"modality_loss": OWN[:1]}, {}, "--modality-loss needs --fusion late, .* got early"),
        (
            {"modality_loss": OWN[:1] * 2, "fusion": "late"},
            {},
            "--modality-loss names speech more than once",
        ),
        (
            {"modality_loss": OWN[:1], "fusion": "late"},
            {"features": FeatureSettings(modality="text")},
            "--modality-loss speech=focal: --modality is text",
        ),
        (
            {"modality_loss": OWN[:1], "fusion": "late"},
            {"votes": VoteSettings(targets=("majority",))},
            "--modality-loss needs --targets label, got majority",
        ),
        ({"modality_loss": OWN, "fusion": "late"}, {}, "logit-adjusted and --class-weights bal"),
    ],
)
def test_losses_that_cannot_work_are_refused(model, more, message):
    with pytest.raises(ValueError, match=message):
        EPCSettings(model=ConversationModelSettings(**model), **more)
