"""Checkpoints of a fine-tuning: what is kept, averaged, and continued after a kill."""

from pathlib import Path

import numpy as np
import pytest
import torch

from conversation_emotion.datasets.clip_batches import Clips
from conversation_emotion.models.fine_tuned import EncoderModel
from conversation_emotion.settings.training import FineTuningSettings
from conversation_emotion.training.checkpoints import Checkpoints, StoredCheckpoints, read_state
from conversation_emotion.training.fit import Fitted, OnEpoch
from tests.small_tasks import TwoBlocks, fit_task, make_clips, make_fine_tuning

SETTINGS = FineTuningSettings(
    epochs=6,
    patience=6,
    batch_size=4,
    learning_rate=0.02,
    average_best=3,
    class_weights="none",
)


def tune(
    checkpoints: Checkpoints,
    on_epoch: OnEpoch = lambda epoch, metrics: None,
    settings: FineTuningSettings = SETTINGS,
    clips: Clips | None = None,
) -> Fitted:
    """Fine-tunes two blocks on the planted clips."""
    task = make_fine_tuning(make_clips() if clips is None else clips, settings)
    model = EncoderModel(TwoBlocks(), 2)
    return fit_task(task, model, checkpoints=checkpoints, on_epoch=on_epoch)


def test_a_planted_rule_is_learnt_and_the_best_epochs_are_kept(tmp_path):
    checkpoints, seen = StoredCheckpoints(tmp_path, 3), {}
    tune(checkpoints, lambda epoch, metrics: seen.update({epoch: metrics}))
    assert checkpoints.best[0].score == 1.0
    ranked = sorted(seen, key=lambda e: (-seen[e]["valid/wa"], seen[e]["valid/loss"], e))
    assert [checkpoint.epoch for checkpoint in checkpoints.best] == ranked[:3]
    assert sorted(path.name for path in tmp_path.glob("epoch-*.pt")) == [
        f"epoch-{epoch:04d}.pt" for epoch in sorted(ranked[:3])
    ]


@pytest.mark.parametrize("is_stored", [True, False])
def test_averaged_weights_are_the_mean_by_hand_and_counters_those_of_the_best(tmp_path, is_stored):
    checkpoints = StoredCheckpoints(tmp_path, 3) if is_stored else Checkpoints(3)
    fitted = tune(checkpoints)
    averaged = fitted.model.state_dict()
    weights = [checkpoints.read(checkpoint) for checkpoint in checkpoints.best]
    first, second, third = (one["head.weight"].double() for one in weights)
    assert not torch.equal(first, second), "each epoch has weights of its own"
    torch.testing.assert_close(averaged["head.weight"], ((first + second + third) / 3).float())
    best = checkpoints.best[0].epoch
    assert averaged["encoder.counted"].item() == 6 * (best + 1)  # six batches an epoch
    assert averaged["encoder.counted"].dtype == torch.int64
    assert fitted.single is not None
    assert torch.equal(fitted.single["head.weight"].double(), first)


class KilledError(Exception):
    """Stands for a kill."""


@pytest.mark.parametrize("accumulate", [1, 4])
@pytest.mark.parametrize("last", [0, 2])
def test_an_interrupted_training_continues_to_bit_equal_weights(tmp_path, last, accumulate):
    settings = FineTuningSettings(
        **{**vars(SETTINGS), "accumulate": accumulate, "class_weights": "balanced"}
    )
    whole = StoredCheckpoints(tmp_path / "whole", 3)
    expected = tune(whole, settings=settings)

    def kill(epoch: int, metrics: dict[str, float]) -> None:
        if epoch == last:
            raise KilledError

    with pytest.raises(KilledError):
        tune(StoredCheckpoints(tmp_path / "cut", 3), kill, settings)
    resumed, epochs = StoredCheckpoints(tmp_path / "cut", 3), []
    fitted = tune(resumed, lambda epoch, metrics: epochs.append(epoch), settings)
    assert epochs == list(range(last + 1, 6))
    assert resumed.best == whole.best
    assert resumed.num_updates == whole.num_updates == 6 * -(-6 // accumulate)
    for name, tensor in expected.model.state_dict().items():
        assert torch.equal(tensor, fitted.model.state_dict()[name]), name
    files = [tmp_path / name / "state.pt" for name in ("whole", "cut")]
    states = [torch.load(file, weights_only=True)["model"] for file in files]
    for name, tensor in states[0].items():
        assert torch.equal(tensor, states[1][name]), f"{name} after the last epoch"


def test_a_finished_training_is_read_back_without_an_epoch(tmp_path):
    expected = tune(StoredCheckpoints(tmp_path, 3)).model.state_dict()
    epochs: list[int] = []
    again = tune(StoredCheckpoints(tmp_path, 3), lambda epoch, metrics: epochs.append(epoch))
    assert epochs == []
    assert torch.equal(again.model.state_dict()["head.weight"], expected["head.weight"])


def test_a_kill_while_a_state_is_written_leaves_the_one_before(tmp_path, monkeypatch):
    real = torch.save

    def break_off(state, file):
        if "optimizer" in state and state["numbers"][0] == 3:
            file.write(b"half")
            raise KeyboardInterrupt
        real(state, file)

    monkeypatch.setattr(torch, "save", break_off)
    with pytest.raises(KeyboardInterrupt):
        tune(StoredCheckpoints(tmp_path, 3))
    monkeypatch.setattr(torch, "save", real)
    epochs: list[int] = []
    tune(StoredCheckpoints(tmp_path, 3), lambda epoch, metrics: epochs.append(epoch))
    assert epochs == [2, 3, 4, 5]
    assert not list(tmp_path.glob("*.tmp"))


def test_patience_ends_a_training_that_no_longer_gains(tmp_path):
    settings = FineTuningSettings(epochs=50, patience=2, batch_size=4, learning_rate=0.02)
    checkpoints = StoredCheckpoints(tmp_path, 5)
    tune(checkpoints, settings=settings)
    assert checkpoints.epoch == checkpoints.best[0].epoch + 3 < 50


def test_a_loss_that_is_no_number_ends_with_the_remedy(tmp_path):
    clips = make_clips()
    broken = Clips(
        inputs=[None if one is None else one * np.inf for one in clips.inputs],
        classes=clips.classes,
    )
    with pytest.raises(FloatingPointError, match="the train loss is nan; lower --learning-rate"):
        tune(StoredCheckpoints(tmp_path, 3), clips=broken)


def test_the_lower_loss_and_then_the_earlier_epoch_rank_first_where_scores_tie():
    checkpoints = Checkpoints(2)
    for score, loss in ((0.5, 0.4), (0.9, 0.3), (0.9, 0.2), (0.9, 0.2)):
        checkpoints.add(score, loss, lambda model: {}, torch.nn.Identity())
    assert [checkpoint.epoch for checkpoint in checkpoints.best] == [2, 3]
    assert (checkpoints.epoch, checkpoints.since_best) == (4, 1)


class Planted:
    def __reduce__(self):
        return Path.touch, (Path("ran"),)


@pytest.mark.parametrize("is_zip", [True, False])
def test_a_checkpoint_that_would_run_code_or_is_damaged_is_named(tmp_path, monkeypatch, is_zip):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "state.pt"
    for content in ({"epoch": Planted()}, {"epoch": torch.ones(100)}):
        torch.save(content, file, _use_new_zipfile_serialization=is_zip)
        if isinstance(content["epoch"], torch.Tensor):
            file.write_bytes(file.read_bytes()[:150])
        with pytest.raises(ValueError, match=f"{file}: is no checkpoint of a training"):
            read_state(file)
    assert not (tmp_path / "ran").exists()
