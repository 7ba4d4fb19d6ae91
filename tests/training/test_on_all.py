"""The model of all targets: every row trains it, as long as the folds took."""

import numpy as np
import pandas as pd
import pytest
from torch import nn

from conversation_emotion.datasets.batches import Batch
from conversation_emotion.models.conversation import Outputs
from conversation_emotion.settings.training import TrainingSettings
from conversation_emotion.tracker import MemoryTracker
from conversation_emotion.training.on_all import limit_epochs, pool_folds, train_on_all
from tests.small_tasks import Planted, make_clips, make_fine_tuning, make_utterances


class Linear(nn.Module):
    """One linear map of the speech of single utterances."""

    def __init__(self) -> None:
        super().__init__()
        self.map = nn.Linear(1, 2)

    def forward(self, batch: Batch) -> Outputs:
        return Outputs(self.map(batch.states["speech"][:, 0, 0]), None, None)


@pytest.fixture
def task():
    classes = np.arange(20) % 2
    settings = TrainingSettings(epochs=9, learning_rate=0.05, batch_size=20)
    return Planted(make_utterances(classes[:, None] * 2.0 - 1, classes, 12), settings, Linear)


def table_of(*epochs: int) -> pd.DataFrame:
    """Predictions of trainings that took so many epochs, two rows each."""
    return pd.DataFrame(
        {"fold": "f", "seed": np.repeat(range(len(epochs)), 2), "epochs": np.repeat(epochs, 2)}
    )


def test_every_target_trains_for_the_epochs_of_the_middle_fold(task):
    tracker, kept, seen = MemoryTracker(), [], []
    loss = task.loss
    task.loss = lambda fold, device: seen.append(fold) or loss(fold, device)
    found = train_on_all(task, table_of(7, 2, 4), tracker, lambda *trained: kept.append(trained))
    assert [fold.train.tolist() for fold in seen] == [list(range(20))]
    assert sorted(found[found["part"] == "test"]["utterance_id"]) == sorted(
        task.dataset.utterances["utterance_id"]
    )
    assert set(found["epochs"]) == {4}
    ((_, run),) = kept
    assert len(run.points["train/loss"]) == 4
    assert task.training.epochs == 9


def test_the_last_weights_are_kept_whatever_selects():
    settings = TrainingSettings(updates=100, evaluate_every=5, patience=3, average_best=2)
    limited = limit_epochs(settings, 6)
    assert (limited.average_best, limited.updates, limited.patience) == (0, 30, 6)
    assert limit_epochs(TrainingSettings(), 6).updates is None


def test_rows_of_all_parts_and_folds_are_pooled():
    task = make_fine_tuning(make_clips(), None, num_folds=2)  # type: ignore[arg-type]
    folds = task.dataset.split.folds
    expected = {*folds[0].train, *folds[0].valid, *folds[1].train, *folds[1].test}
    assert set(pool_folds(task).train) == expected


def test_a_task_whose_encoder_is_tuned_for_each_fold_has_no_model_of_all():
    task = make_fine_tuning(make_clips(), None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="--train-on-all"):
        task.on_all(pool_folds(task))
