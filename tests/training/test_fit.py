"""Fitting: learns planted rules, selects on valid alone, weighs classes by train."""

import dataclasses
import inspect
from itertools import product

import numpy as np
import pytest
import torch
from torch import nn

from conversation_emotion.datasets.batches import ModalityArrays, make_loader
from conversation_emotion.models.conversation import Outputs
from conversation_emotion.tasks.baselines import predict_last_emotion, predict_majority
from conversation_emotion.training import fit as training
from conversation_emotion.training.fit import (
    OPTIMIZERS,
    FitSettings,
    Predictions,
    balanced_class_weights,
    fit,
    predict,
)
from conversation_emotion.utterances.labels import IGNORED
from tests.conversations import make_dialogues, make_features, make_model, make_windows

EQUAL = torch.ones(2)


@pytest.fixture(scope="module")
def echo():
    """The next turn carries the sign that its own speaker showed two turns ago."""
    table = make_dialogues(150, 6)
    values = np.random.default_rng(0).normal(size=(len(table), 3)).astype(np.float32)
    signs = (values[:, 0] > 0).astype(np.int64)
    order = table["order"].to_numpy()
    classes = np.where(order >= 2, np.roll(signs, 2), IGNORED)
    arrays = {"speech": ModalityArrays(make_features(values), "speech")}
    windows = make_windows(table, classes)
    is_train = windows.target_rows < 600
    parts = [windows.select(windows.target_rows[chosen]) for chosen in (is_train, ~is_train)]
    train = make_loader(parts[0], arrays, signs, batch_size=32, seed=0)
    valid = make_loader(parts[1], arrays, signs, batch_size=64)
    return arrays, train, valid, len(table)


@pytest.mark.parametrize(
    ("dialogue", "fusion"),
    [
        *product(["hierarchical", "two-role", "single"], ["early"]),
        *product(["hierarchical"], ["late", "gated", "cross-attention"]),
    ],
)
def test_learns_what_only_the_speakers_own_past_tells(echo, dialogue, fusion):
    arrays, train, valid, num_rows = echo
    torch.manual_seed(0)
    model = make_model(arrays, np.arange(num_rows), dialogue=dialogue, fusion=fusion)
    untrained = predict(model, valid).uar()
    settings = FitSettings(epochs=12, learning_rate=0.02)
    fitted = fit(model, train, valid, settings, class_weights=EQUAL)
    assert untrained < 0.65
    assert predict(fitted, valid).uar() > 0.9


class Scripted(nn.Module):
    """Says the same of every window."""

    def __init__(self) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(2))

    def forward(self, batch) -> Outputs:
        return Outputs(self.logits.expand(len(batch.targets), 2), None, None)


def test_returns_the_weights_of_the_epoch_that_was_best_on_valid(echo):
    arrays, train, _, num_rows = echo
    # Valid asks for the opposite of what train teaches: the better trained, the worse.
    windows = make_windows(make_dialogues(150, 6), np.tile([IGNORED, 0, 1, 0, 1, 1], 150))
    signs = np.zeros(num_rows, dtype=np.int64)
    taught = {int(row): int(target) for batch in train for row, target in _judged(batch)}
    opposite = dataclasses.replace(
        windows.select(np.array(list(taught))),
        targets=np.array([1 - taught[row] for row in windows.target_rows if row in taught]),
    )
    valid = make_loader(opposite, arrays, signs, batch_size=64)
    torch.manual_seed(0)
    seen: list[float] = []
    fitted = fit(
        make_model(arrays, np.arange(num_rows)),
        train,
        valid,
        FitSettings(epochs=4, learning_rate=0.01),
        class_weights=EQUAL,
        on_epoch=lambda epoch, metrics: seen.append(metrics["valid/uar"]),
    )
    assert seen[-1] < 0.1 < max(seen)
    assert predict(fitted, valid).uar() == pytest.approx(max(seen))


def _judged(batch) -> list[tuple[int, int]]:
    return list(zip(batch.target_rows.tolist(), batch.targets.tolist(), strict=True))


def test_averages_the_best_epochs(echo):
    arrays, train, valid, num_rows = echo
    weights: list[tuple[float, torch.Tensor]] = []
    model = make_model(arrays, np.arange(num_rows))
    fitted = fit(
        model,
        train,
        valid,
        FitSettings(epochs=6, learning_rate=0.05, average_best=2),
        class_weights=EQUAL,
        on_epoch=lambda epoch, metrics: weights.append(
            (metrics["valid/uar"], model.head.weight.detach().clone())
        ),
    )
    best = sorted(weights, key=lambda pair: -pair[0])[:2]
    torch.testing.assert_close(fitted.head.weight, (best[0][1] + best[1][1]) / 2)


def test_keeps_the_last_epoch_where_none_is_to_be_selected(echo):
    arrays, train, valid, num_rows = echo
    weights: list[torch.Tensor] = []
    model = make_model(arrays, np.arange(num_rows))
    fitted = fit(
        model,
        train,
        valid,
        FitSettings(epochs=4, patience=1, learning_rate=0.5, average_best=0),
        class_weights=EQUAL,
        on_epoch=lambda epoch, metrics: weights.append(model.head.weight.detach().clone()),
    )
    assert len(weights) == 4
    torch.testing.assert_close(fitted.head.weight, weights[-1])


def test_counts_updates_in_the_place_of_passes(echo):
    _, train, valid, _ = echo
    losses: list[float] = []
    model, steps = Scripted(), []
    model.logits.register_hook(lambda gradient: steps.append(1))
    fit(
        model,
        train,
        valid,
        FitSettings(updates=25, evaluate_every=10, patience=9),
        class_weights=EQUAL,
        on_epoch=lambda epoch, metrics: losses.append(metrics["train/loss"]),
    )
    assert (len(steps), len(losses)) == (25, 3)


def test_the_cyclic_step_size_rises_to_twice_and_falls_again_in_ten_epochs_each():
    sizes = step_sizes(FitSettings(epochs=21, learning_rate=0.5, schedule="cyclic"))
    assert (sizes[0], sizes[5], sizes[10], sizes[20]) == pytest.approx((0.5, 0.75, 1.0, 0.5))


@pytest.mark.parametrize("length", [{"epochs": 21}, {"updates": 61, "evaluate_every": 3}])
def test_the_cosine_step_size_falls_to_nothing_over_the_whole_training(length):
    sizes = step_sizes(FitSettings(**length, learning_rate=0.5, schedule="cosine"))
    assert sizes[0] == 0.5
    assert sizes == sorted(sizes, reverse=True)
    assert (sizes[7], sizes[20]) == pytest.approx((0.375, 0.0028), abs=1e-4)


def step_sizes(settings: FitSettings) -> list[float]:
    """Step size of each of 21 rounds."""
    sizes: list[float] = []
    optimizer = OPTIMIZERS["rmsprop"](Scripted().parameters(), lr=0.5, weight_decay=0.0)
    schedule = training._make_schedule(optimizer, settings)
    for _ in range(21):
        sizes.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return sizes


@pytest.mark.parametrize("optimizer", list(OPTIMIZERS))
def test_every_optimizer_learns(echo, optimizer):
    arrays, train, valid, num_rows = echo
    torch.manual_seed(0)
    model = make_model(arrays, np.arange(num_rows))
    settings = FitSettings(
        epochs=6,
        learning_rate=0.001 if optimizer == "rmsprop" else 0.01,  # its momentum adds up
        optimizer=optimizer,
        schedule="cyclic",
        weight_decay=0.0,
    )
    fitted = fit(model, train, valid, settings, class_weights=EQUAL)
    assert predict(fitted, valid).uar() > 0.8


def test_the_score_that_selects_can_be_chosen():
    # Nine of class 0 and one of class 1: always 0 has the better accuracy, the mix the better UAR.
    targets = np.array([0] * 9 + [1])
    always = Predictions(np.tile([[1.0, 0.0]], (10, 1)).astype(np.float32), targets, targets)
    mixed = np.zeros((10, 2), dtype=np.float32)
    mixed[:6, 0] = mixed[6:, 1] = 1.0
    both = [always, Predictions(mixed, targets, targets)]
    assert [one.scores()["wa"] for one in both] == pytest.approx([0.9, 0.7])
    assert [one.scores()["uar"] for one in both] == pytest.approx([0.5, 5 / 6])


def test_stops_when_valid_no_longer_improves(echo):
    _, train, valid, _ = echo
    epochs: list[int] = []
    fit(
        Scripted(),
        train,
        valid,
        FitSettings(epochs=50, patience=3, learning_rate=1e-12),
        class_weights=EQUAL,
        on_epoch=lambda epoch, metrics: epochs.append(epoch),
    )
    assert epochs == [0, 1, 2, 3]


def test_the_same_seed_gives_the_same_weights(echo):
    arrays, train, valid, num_rows = echo
    heads = []
    for _ in range(2):
        torch.manual_seed(7)
        train.generator.manual_seed(7)
        model = make_model(arrays, np.arange(num_rows), dropout=0.3)
        fitted = fit(model, train, valid, FitSettings(epochs=2), class_weights=EQUAL)
        heads.append(fitted.head.weight)
    assert torch.equal(*heads)


def test_recognition_learns_the_emotions_heard_without_changing_what_is_judged(echo):
    arrays, train, valid, num_rows = echo
    torch.manual_seed(0)
    model = make_model(arrays, np.arange(num_rows))
    settings = FitSettings(epochs=8, learning_rate=0.02, recognition_weight=1.0)
    fitted = fit(model, train, valid, settings, class_weights=EQUAL).eval()
    batch = next(iter(valid))
    recognised = fitted(batch).recognition.argmax(dim=-1)
    assert (recognised == batch.context_emotions)[batch.mask].float().mean() > 0.9


def test_emotions_outside_the_classes_are_learnt_to_be_foreseen(echo):
    arrays, _, valid, num_rows = echo
    torch.manual_seed(0)
    model = make_model(arrays, np.arange(num_rows))
    settings = FitSettings(epochs=8, learning_rate=0.02, emotion_weight=1.0)
    # No class is known, so that all there is to learn from is the emotion itself.
    nameless = dataclasses.replace(
        make_windows(make_dialogues(150, 6), np.zeros(num_rows, dtype=np.int64)),
        targets=np.full(150 * 5, IGNORED),
    )
    echoed = np.where(np.arange(num_rows) % 2, 1, 0)
    learning = make_loader(nameless, arrays, echoed, batch_size=64, seed=0)
    fitted = fit(model, learning, valid, settings, class_weights=EQUAL).eval()
    batch = next(iter(learning))
    foreseen = fitted(batch).emotions.argmax(dim=-1)
    assert (foreseen == batch.emotions).float().mean() > 0.9


def test_a_loss_that_explodes_is_an_error(echo):
    _, train, valid, _ = echo
    model = Scripted()
    with torch.no_grad():
        model.logits.fill_(float("nan"))
    with pytest.raises(FloatingPointError, match="train loss is nan; lower --learning-rate"):
        fit(model, train, valid, FitSettings(epochs=1), class_weights=EQUAL)


def test_fit_cannot_see_the_test_split():
    assert not any("test" in name for name in inspect.signature(fit).parameters)


def test_class_weights_make_each_class_count_alike():
    weights = balanced_class_weights(np.array([0, 0, 0, 1, IGNORED]), ("angry", "sad"))
    assert weights.tolist() == pytest.approx([4 / (2 * 3), 4 / (2 * 1)])


def test_a_class_that_train_lacks_is_an_error_before_training():
    with pytest.raises(ValueError, match="no example of sad; its classes are {'angry': 2, 'sad'"):
        balanced_class_weights(np.array([0, 0]), ("angry", "sad"))


def test_baselines_know_the_commonest_and_the_latest_gold_emotion():
    table = make_dialogues(1, 5)
    classes = np.array([2, 1, IGNORED, 1, 0])
    windows = make_windows(table, classes)
    assert windows.target_rows.tolist() == [1, 3, 4]
    assert predict_majority(windows, windows).tolist() == [1, 1, 1]
    assert predict_last_emotion(windows, windows, classes).tolist() == [2, 1, 1]


def test_the_last_emotion_of_recognition_is_not_the_judged_one():
    table = make_dialogues(1, 3)
    classes = np.array([2, 1, 0])
    windows = make_windows(table, classes, horizon=0)
    # The first has nothing before it: the commonest class of train, by its lowest number, is 0.
    assert predict_last_emotion(windows, windows, classes).tolist() == [0, 2, 1]
