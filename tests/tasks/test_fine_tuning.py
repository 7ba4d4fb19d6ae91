"""Fine-tuning as a task: its loss with a transcript, its predictions, its limits."""

import itertools
import math

import numpy as np
import pytest
import torch

from conversation_emotion.datasets.clip_batches import ClipBatch
from conversation_emotion.evaluation.word_errors import Spellings
from conversation_emotion.models.fine_tuned import ClipOutputs, EncoderModel
from conversation_emotion.settings.fine_tuning import TunableSettings
from conversation_emotion.settings.training import FineTuningSettings
from conversation_emotion.tasks.fine_tuning import EmotionWithTranscript
from tests.small_tasks import (
    TwoBlocks,
    fit_task,
    load_blocks,
    make_clip_inputs,
    make_clips,
    make_fine_tuning,
)

SETTINGS = FineTuningSettings(epochs=2, batch_size=4, learning_rate=0.02)


def with_transcript(weight: float) -> EmotionWithTranscript:
    """Fine-tuning with the transcript A B of every clip."""
    spelt = [np.array([2, 3])] * 40
    return EmotionWithTranscript(
        make_clip_inputs(make_clips()),
        TunableSettings(),
        SETTINGS,
        load_blocks,
        encoder="two-blocks",
        spellings=Spellings(["AB"] * 40, spelt, 80, 0),
        weight=weight,
    )


def test_predictions_neither_depend_on_batches_nor_on_their_order():
    model = EncoderModel(TwoBlocks(), 2)
    found = []
    for size in (1, 16):
        task = make_fine_tuning(make_clips(), FineTuningSettings(batch_size=size))
        found.append(task.predict(model, task.batches(task.dataset.split.folds[0], 0).valid))
    alone, together = found
    np.testing.assert_allclose(together.probabilities, alone.probabilities, atol=1e-6)
    assert together.loss == pytest.approx(alone.loss, rel=1e-5)
    assert together.target_rows.tolist() == alone.target_rows.tolist() == list(range(24, 38))
    assert together.targets.tolist() == [row % 2 for row in range(24, 38)]


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
    outputs = ClipOutputs(logits, characters, torch.tensor([3]))
    loss = with_transcript(0.1).measure(outputs, batch, None)
    assert float(loss) == pytest.approx(-math.log(0.75) - 0.1 * math.log(spelt), rel=1e-5)
    assert float(with_transcript(0.0).measure(outputs, batch, None)) == pytest.approx(
        -math.log(0.75)
    )


def test_a_clip_without_transcript_or_with_too_long_a_one_adds_nothing():
    batch = ClipBatch(
        inputs=torch.zeros(2, 2, 1),
        lengths=torch.tensor([2, 2]),
        targets=torch.tensor([0, 0]),
        spellings=torch.tensor([1, 2, 1]),  # three characters in two frames
        spelling_lengths=torch.tensor([0, 3]),
        rows=torch.tensor([0, 1]),
    )
    outputs = ClipOutputs(torch.zeros(2, 2), torch.randn(2, 2, 3), torch.tensor([2, 2]))
    loss = with_transcript(1.0).measure(outputs, batch, None)
    assert float(loss) == pytest.approx(math.log(2), rel=1e-5)


def test_several_processes_are_refused(monkeypatch):
    task = make_fine_tuning(make_clips(), SETTINGS)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="runs in one process, got 2; start it without torchrun"):
        task.batches(task.dataset.split.folds[0], 0)


def test_checkpoints_of_adapters_are_those_of_a_model_without_them():
    pytest.importorskip("peft")
    task = make_fine_tuning(make_clips(), SETTINGS, lora_rank=2)
    fitted = fit_task(task)
    assert fitted.single is not None
    assert not any("lora_" in name for name in fitted.single)
    # Everything but the linear maps of the blocks and the head is frozen.
    assert torch.equal(fitted.single["encoder.front.weight"], TwoBlocks().front.weight)
    assert not torch.equal(
        fitted.single["encoder.blocks.0.up.weight"],
        TwoBlocks().blocks[0]["up"].weight,  # type: ignore[index]
    )


CHANGES = [
    {"head_learning_rate": 0.01},
    {"learning_rate": 0.002},
    {"layer_decay": 0.5},
    {"weight_decay": 0.5},
    {"warmup": 0.9},
    {"dropout": 0.5},
    {"batch_size": 8},
    {"batch_seconds": 0.1},
    {"accumulate": 3},
    {"average_best": 1},
    {"average": "greedy"},
    {"select_by": "macro_f1"},
    {"class_weights": "none"},
    {"class_weights": "none", "loss": "logit-adjusted"},
    {"loss": "focal"},
    {"class_weights": "none", "sampling": "balanced"},
    {"mixup": 0.4},
    {"epochs": 2},
    {"patience": 1},
]


def head_of(**changes) -> list[float]:
    """Weights of the fitted head, on clips of which train has few of a class, and a third lie."""
    generator = np.random.default_rng(7)
    clips = make_clips()
    lies = generator.random(39) < 0.35
    clips.classes[:39][lies] = 1 - clips.classes[:39][lies]
    clips.classes[:24:6] = 1
    base = {"epochs": 5, "batch_size": 4, "learning_rate": 0.02, "average_best": 3}
    task = make_fine_tuning(clips, FineTuningSettings(**{**base, **changes}))
    return fit_task(task).model.get_parameter("head.weight").flatten().tolist()


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_no_setting_is_ignored(change):
    before = head_of()
    assert head_of() == before, "the same settings give the same weights"
    assert head_of(**change) != before
