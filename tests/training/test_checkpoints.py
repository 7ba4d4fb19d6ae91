"""Tuning a small planted encoder: what is learnt, kept, averaged, and gone on with."""

import itertools
import math

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from conversation_emotion.training.clip_judging import TuningSettings, judge, tuning_loss
from conversation_emotion.training.finetuning import Finetuning
from conversation_emotion.training.layer_rates import layered_groups
from torch import nn

from conversation_emotion.datasets.clip_batches import ClipBatch, Clips, plan_batches
from conversation_emotion.models.averaging import average_weights
from conversation_emotion.models.fine_tuned import ClipOutputs, EncoderModel, pool_time

SETTINGS = TuningSettings(epochs=6, patience=6, batch_size=4, learning_rate=0.02, keep=3)


class TwoBlocks(nn.Module):
    """Blocks of linear maps, and a counter, which cannot be averaged."""

    hidden_size = 4
    num_blocks = 2
    adapted = ("up",)

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.front = nn.Linear(2, 4)
        self.blocks = nn.ModuleList(nn.ModuleDict({"up": nn.Linear(4, 4)}) for _ in range(2))
        self.drop = nn.Dropout(0.2)
        self.register_buffer("heard", torch.tensor(0))

    def forward(self, inputs, lengths):
        self.heard += self.training
        states = self.front(inputs)
        for block in self.blocks:
            states = torch.tanh(self.drop(block["up"](states)))  # type: ignore[index]
        return states, lengths


@pytest.fixture
def clips() -> Clips:
    """Forty clips; the sign of the first feature is the class. One is unheard, one unlabelled."""
    generator = np.random.default_rng(0)
    inputs, classes = [], []
    for row in range(40):
        states = generator.normal(size=(1, 3 + row % 5, 2)).astype(np.float32)
        states[..., 0] += 2 if row % 2 else -2
        inputs.append(states)
        classes.append(row % 2)
    inputs[38], classes[39] = None, -100
    return Clips(inputs=inputs, classes=np.array(classes))


def start(clips, folder, settings=SETTINGS, **changes) -> Finetuning:
    return Finetuning(
        EncoderModel(TwoBlocks(), 2),
        clips,
        clips.usable(np.arange(24)),
        clips.usable(np.arange(24, 40)),
        settings,
        folder,
        class_weights=torch.ones(2),
        accelerator=Accelerator(cpu=True),
        **changes,
    )


def test_a_planted_rule_is_learnt_and_the_best_epochs_are_kept(clips, tmp_path):
    training = start(clips, tmp_path)
    seen = {}
    kept = training.run(lambda epoch, metrics: seen.update({epoch: metrics}))
    assert kept[0].score == 1.0
    ranked = sorted(seen, key=lambda e: (-seen[e]["valid/accuracy"], seen[e]["valid/loss"], e))
    assert [checkpoint.epoch for checkpoint in kept] == ranked[:3]
    assert sorted(path.name for path in tmp_path.glob("epoch-*.pt")) == [
        f"epoch-{epoch:04d}.pt" for epoch in sorted(ranked[:3])
    ]


def test_averaged_weights_are_the_mean_by_hand_and_counters_those_of_the_best(clips, tmp_path):
    training = start(clips, tmp_path)
    kept = training.run()
    weights = [training.read(checkpoint) for checkpoint in kept]
    averaged = training.average("best", lambda weights: 0.0)
    first, second, third = (one["head.weight"].double() for one in weights)
    by_hand = (first + second + third) / 3
    torch.testing.assert_close(averaged["head.weight"], by_hand.float())
    assert averaged["encoder.heard"].item() == 6 * (kept[0].epoch + 1)  # six batches an epoch
    assert averaged["encoder.heard"].dtype == torch.int64


def test_a_killed_training_goes_on_to_the_same_weights(clips, tmp_path):
    whole = start(clips, tmp_path / "whole")
    whole.run()

    class KilledError(Exception):
        pass

    def kill(epoch, metrics):
        if epoch == 2:
            raise KilledError

    with pytest.raises(KilledError):
        start(clips, tmp_path / "cut").run(kill)
    resumed, epochs = start(clips, tmp_path / "cut"), []
    resumed.run(lambda epoch, metrics: epochs.append(epoch))
    assert epochs == [3, 4, 5]
    assert resumed.kept == whole.kept
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, resumed.model.state_dict()[name]), name


def test_a_kill_while_a_state_is_written_leaves_the_one_before(clips, tmp_path, monkeypatch):
    training = start(clips, tmp_path)
    real = torch.save

    def break_off(state, file):
        if "optimizer" in state and state["numbers"][0] == 3:
            file.write(b"half")
            raise KeyboardInterrupt
        real(state, file)

    monkeypatch.setattr(torch, "save", break_off)
    with pytest.raises(KeyboardInterrupt):
        training.run()
    monkeypatch.setattr(torch, "save", real)
    again, epochs = start(clips, tmp_path), []
    again.run(lambda epoch, metrics: epochs.append(epoch))
    assert epochs == [2, 3, 4, 5]
    assert not list(tmp_path.glob("*.tmp"))


def test_patience_ends_a_training_that_no_longer_gains(clips, tmp_path):
    settings = TuningSettings(epochs=50, patience=2, batch_size=4, learning_rate=0.02)
    training = start(clips, tmp_path, settings)
    training.run()
    assert training.epoch == training.kept[0].epoch + 3 < 50


def test_a_loss_that_is_no_number_ends_with_the_remedy(clips, tmp_path):
    broken = [None if one is None else one * np.inf for one in clips.inputs]
    with pytest.raises(FloatingPointError, match="the train loss is nan; lower --learning-rate"):
        start(Clips(inputs=broken, classes=clips.classes), tmp_path).run()


def test_judging_neither_depends_on_batches_nor_changes_the_order(clips):
    model = EncoderModel(TwoBlocks(), 2)
    rows = clips.usable(np.arange(40))[::-1].copy()
    accelerator = Accelerator(cpu=True)
    together = judge(model, clips, rows, TuningSettings(batch_size=32), accelerator)
    alone = judge(model, clips, rows, TuningSettings(batch_size=1), accelerator)
    np.testing.assert_allclose(together.probabilities, alone.probabilities, atol=1e-6)
    assert together.targets.tolist() == [row % 2 for row in rows]


def test_only_real_frames_are_pooled():
    frames = torch.tensor([[[1.0], [3.0], [100.0]], [[2.0], [4.0], [9.0]]])
    counts = torch.tensor([2, 3])
    assert pool_time(frames, counts, "mean").flatten().tolist() == [2.0, 5.0]
    assert pool_time(frames, counts, "sum").flatten().tolist() == [4.0, 15.0]


def test_an_epoch_hears_every_clip_once_in_batches_that_fit(clips):
    rows = clips.usable(np.arange(40))
    clips = Clips(inputs=clips.inputs, classes=clips.classes, rate=1.0)
    plans = [
        list(plan_batches(clips, rows, batch_size=6, batch_seconds=20, seed=[seed, epoch]))
        for seed, epoch in ((0, 0), (0, 0), (0, 1))
    ]
    for plan in plans:
        assert sorted(np.concatenate(plan)) == sorted(rows)
        for batch in plan:
            assert len(batch) <= 6
            assert len(batch) * max(clips.length(row) for row in batch) <= 20
    first, same, other = ([batch.tolist() for batch in plan] for plan in plans)
    assert first == same != other


def test_a_clip_longer_than_a_batch_is_alone(clips):
    rows = clips.usable(np.arange(8))
    plan = list(plan_batches(clips, rows, batch_size=6, batch_seconds=1e-6, seed=[0]))
    assert [len(batch) for batch in plan] == [1] * 8


def test_step_sizes_fall_from_the_heads_to_the_front():
    model = EncoderModel(TwoBlocks(), 2)
    groups = layered_groups(
        model, 2, learning_rate=0.1, head_learning_rate=0.5, decay=0.5, weight_decay=0.01
    )
    rates = {
        id(parameter): group["lr"]
        for group in groups
        for parameter in group["params"]  # type: ignore[attr-defined]
    }
    by_name = {name: rates[id(parameter)] for name, parameter in model.named_parameters()}
    assert by_name["head.weight"] == by_name["head.bias"] == 0.5
    assert by_name["encoder.blocks.1.up.weight"] == 0.1
    assert by_name["encoder.blocks.0.up.weight"] == 0.05
    assert by_name["encoder.front.bias"] == 0.025
    assert {group["weight_decay"] for group in groups if group["lr"] == 0.5} == {0.0, 0.01}


def test_the_loss_adds_alpha_times_the_improbability_of_the_transcript():
    # Three frames, blank and two characters; the transcript is the first character.
    generator = torch.Generator().manual_seed(0)
    characters = torch.randn(1, 3, 3, generator=generator)
    logits = torch.tensor([[0.0, math.log(3.0)]])
    batch = ClipBatch(
        inputs=torch.zeros(1, 3, 1),
        lengths=torch.tensor([3]),
        targets=torch.tensor([1]),
        spellings=torch.tensor([1]),
        spelling_lengths=torch.tensor([1]),
        rows=torch.tensor([0]),
    )
    probabilities = characters[0].softmax(dim=-1)
    spelt = sum(
        float(probabilities[0, a] * probabilities[1, b] * probabilities[2, c])
        for a, b, c in itertools.product(range(2), repeat=3)
        if [key for key, _ in itertools.groupby((a, b, c)) if key] == [1]
    )
    settings = TuningSettings(transcript_weight=0.1)
    judgement = ClipOutputs(logits, characters, torch.tensor([3]))
    loss = tuning_loss(judgement, batch, None, settings)
    assert float(loss) == pytest.approx(-math.log(0.75) - 0.1 * math.log(spelt), rel=1e-5)


def test_a_clip_without_transcript_or_with_too_long_a_one_adds_nothing():
    characters = torch.randn(2, 2, 3)
    batch = ClipBatch(
        inputs=torch.zeros(2, 2, 1),
        lengths=torch.tensor([2, 2]),
        targets=torch.tensor([0, 0]),
        spellings=torch.tensor([1, 2, 1]),  # three characters in two frames
        spelling_lengths=torch.tensor([0, 3]),
        rows=torch.tensor([0, 1]),
    )
    judgement = ClipOutputs(torch.zeros(2, 2), characters, torch.tensor([2, 2]))
    loss = tuning_loss(judgement, batch, None, TuningSettings(transcript_weight=1.0))
    assert float(loss) == pytest.approx(math.log(2), rel=1e-5)


def test_adapters_are_merged_before_they_are_averaged(clips, tmp_path):
    pytest.importorskip("peft")
    from conversation_emotion.models.adapters import add_adapters, merge_adapters

    model = EncoderModel(TwoBlocks(), 2)
    plain = set(model.state_dict())
    add_adapters(model, rank=2)
    learnt = {name for name, p in model.named_parameters() if p.requires_grad}
    assert {name.split(".")[0] for name in learnt} == {"encoder", "head"}
    assert all("lora_" in name for name in learnt if name.startswith("encoder"))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.normal_()
    merged = merge_adapters(model)
    assert set(merged) == plain
    twin = EncoderModel(TwoBlocks(), 2)
    twin.load_state_dict(merged)
    inputs, lengths = torch.randn(3, 5, 2), torch.tensor([5, 4, 3])
    expected = model.eval()(inputs, lengths).logits
    torch.testing.assert_close(twin.eval()(inputs, lengths).logits, expected)
    assert not torch.equal(
        merged["encoder.blocks.0.up.weight"],
        TwoBlocks().blocks[0]["up"].weight,  # type: ignore[index]
    )
    assert average_weights([merged, merged]).keys() == plain


def test_several_processes_are_refused(clips, tmp_path):
    class Many:
        num_processes = 2

    with pytest.raises(ValueError, match="runs in one process, got 2; start it without torchrun"):
        Finetuning(
            EncoderModel(TwoBlocks(), 2),
            clips,
            np.arange(4),
            np.arange(4),
            SETTINGS,
            tmp_path,
            class_weights=torch.ones(2),
            accelerator=Many(),  # type: ignore[arg-type]
        )
