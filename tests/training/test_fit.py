"""Fitting: learns planted rules, selects on valid alone, and ignores no setting."""

import dataclasses
import inspect
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from conversation_emotion.datasets.batches import ModalityArrays, WindowLoader
from conversation_emotion.models.conversation import Outputs
from conversation_emotion.settings.training import FitSettings, TrainingSettings
from conversation_emotion.tasks.ratings import SentimentStrength
from conversation_emotion.tasks.task import Task
from conversation_emotion.training.fit import fit
from conversation_emotion.training.optimisation import OPTIMIZERS
from conversation_emotion.utterances.labels import IGNORED
from tests.conversations import make_dialogues, make_features, make_model, make_windows
from tests.small_tasks import (
    Planted,
    fit_task,
    make_dataset,
    make_fold,
    make_inputs,
    make_utterances,
    score_valid,
)

NUM_ROWS = 900


def settings_of(**changes: Any) -> TrainingSettings:
    """The best epoch alone, every window of the same weight, unless something is changed."""
    plain: dict[str, Any] = {
        "average_best": 1,
        "patience": 10,
        "batch_size": 32,
        "class_weights": "none",
    }
    return TrainingSettings(**{**plain, **changes})


@pytest.fixture(scope="module")
def echo():
    """The next turn carries the sign that its own speaker showed two turns ago."""
    table = make_dialogues(150, 6)
    values = np.random.default_rng(0).normal(size=(NUM_ROWS, 3)).astype(np.float32)
    signs = (values[:, 0] > 0).astype(np.int64)
    classes = np.where(table["order"].to_numpy() >= 2, np.roll(signs, 2), IGNORED)
    fold = make_fold(np.arange(600), np.arange(600, NUM_ROWS))
    dataset = make_dataset(table, classes, fold, emotions=signs)
    arrays = {"speech": ModalityArrays(make_features(values), "speech")}
    return make_inputs(dataset, make_windows(table, classes), arrays)


@pytest.fixture
def planted(echo) -> Callable[..., Planted]:
    """A task on the echo, from what is changed of the settings and of the model."""

    def make(training: TrainingSettings, *, seed: int = 0, weights=None, **model: Any) -> Planted:
        def build() -> nn.Module:
            torch.manual_seed(seed)
            return make_model(echo.arrays["only"], np.arange(NUM_ROWS), **model)

        return Planted(echo, training, build, **(weights or {}))

    return make


@pytest.mark.parametrize(
    ("dialogue", "fusion"),
    [
        *product(["hierarchical", "two-role", "single"], ["early"]),
        *product(["hierarchical"], ["late", "gated", "cross-attention"]),
    ],
)
def test_learns_what_only_the_speakers_own_past_tells(planted, dialogue, fusion):
    task = planted(settings_of(epochs=12, learning_rate=0.02), dialogue=dialogue, fusion=fusion)
    model = task.make()
    assert score_valid(task, model)["uar"] < 0.65
    assert score_valid(task, fit_task(task, model).model)["uar"] > 0.9


class Scripted(nn.Module):
    """Predicts the same of every window."""

    def __init__(self) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(2))

    def forward(self, batch) -> Outputs:
        return Outputs(self.logits.expand(len(batch.targets), 2), None, None)


def scripted(echo, **changes: Any) -> Planted:
    return Planted(echo, settings_of(**changes), Scripted)


def test_reports_the_mean_of_the_losses_of_its_batches(echo):
    task = scripted(echo, epochs=1, learning_rate=1e-9)  # as good as no learning
    fold, reported = echo.dataset.split.folds[0], list[float]()
    batches = task.batches(fold, 0)
    fit(
        task,
        fold,
        task.build(fold),
        batches.training,
        batches.valid,
        on_epoch=lambda _, metrics: reported.append(metrics["train/loss"]),
    )
    assert len(list(batches.training)) > 1
    assert reported == [pytest.approx(np.log(2), abs=1e-5)]  # of two classes, alike in all batches


def test_returns_the_weights_of_the_epoch_that_was_best_on_valid(echo, planted):
    # Valid asks for the opposite of what train teaches: the better trained, the worse.
    task = planted(settings_of(epochs=4, learning_rate=0.01))
    fold = echo.dataset.split.folds[0]
    windows = echo.windows.select(fold.train)
    opposite = dataclasses.replace(windows, targets=1 - windows.targets)
    valid = WindowLoader(opposite, echo.arrays["only"], echo.dataset.emotion_classes, batch_size=64)
    seen: list[float] = []
    fitted = fit(
        task,
        fold,
        task.build(fold),
        task.batches(fold, 0).training,
        valid,
        on_epoch=lambda epoch, metrics: seen.append(metrics["valid/uar"]),
    )
    assert seen[-1] < 0.1 < max(seen)
    assert task.predict(fitted.model, valid).scores()["uar"] == pytest.approx(max(seen))


def test_averages_the_best_epochs(planted):
    task = planted(settings_of(epochs=6, learning_rate=0.05, average_best=2))
    model, weights = task.make(), []
    fitted = fit_task(
        task,
        model,
        on_epoch=lambda epoch, metrics: weights.append(
            (metrics["valid/uar"], model.get_parameter("head.weight").detach().clone())
        ),
    )
    best = sorted(weights, key=lambda pair: -pair[0])[:2]
    torch.testing.assert_close(
        fitted.model.get_parameter("head.weight"), (best[0][1] + best[1][1]) / 2
    )
    assert fitted.single is not None
    assert torch.equal(fitted.single["head.weight"], best[0][1])


def test_keeps_the_last_epoch_where_none_is_to_be_selected(planted):
    task = planted(settings_of(epochs=4, patience=1, learning_rate=0.5, average_best=0))
    model, weights = task.make(), []
    fitted = fit_task(
        task,
        model,
        on_epoch=lambda epoch, metrics: weights.append(
            model.get_parameter("head.weight").detach().clone()
        ),
    )
    assert len(weights) == 4
    assert fitted.single is None
    torch.testing.assert_close(fitted.model.get_parameter("head.weight"), weights[-1])


def test_counts_updates_in_place_of_epochs(echo):
    model, steps, losses = Scripted(), [], []
    model.logits.register_hook(lambda gradient: steps.append(1))
    fit_task(
        scripted(echo, updates=25, evaluate_every=10, patience=9),
        model,
        on_epoch=lambda epoch, metrics: losses.append(metrics["train/loss"]),
    )
    assert (len(steps), len(losses)) == (25, 3)


@pytest.mark.parametrize("optimizer", list(OPTIMIZERS))
def test_every_optimizer_learns(planted, optimizer):
    task = planted(
        settings_of(
            epochs=6,
            learning_rate=0.001 if optimizer == "rmsprop" else 0.01,  # its momentum adds up
            optimizer=optimizer,
            schedule="cyclic",
            weight_decay=0.0,
        )
    )
    assert score_valid(task, fit_task(task).model)["uar"] > 0.8


def test_stops_when_valid_no_longer_improves(echo):
    epochs: list[int] = []
    fit_task(
        scripted(echo, epochs=50, patience=3, learning_rate=1e-12),
        on_epoch=lambda epoch, metrics: epochs.append(epoch),
    )
    assert epochs == [0, 1, 2, 3]


def test_the_same_seed_gives_the_same_weights(planted):
    heads = [
        fit_task(planted(settings_of(epochs=2), seed=7, dropout=0.3)).model.get_parameter(
            "head.weight"
        )
        for _ in range(2)
    ]
    assert torch.equal(heads[0], heads[1])


def test_recognition_learns_the_emotions_of_the_context(planted):
    task = planted(settings_of(epochs=8, learning_rate=0.02), weights={"recognition_weight": 1.0})
    fitted = fit_task(task).model
    batch = next(iter(task.batches(task.dataset.split.folds[0], 0).test))  # shows all emotions
    recognised = fitted(batch).recognition.argmax(dim=-1)
    assert (recognised == batch.context_emotions)[batch.mask].float().mean() > 0.9


def test_emotions_outside_the_classes_are_learnt_to_be_predicted(echo):
    echoed = np.where(np.arange(NUM_ROWS) % 2, 1, 0)
    windows = make_windows(echo.dataset.utterances, np.zeros(NUM_ROWS, dtype=np.int64))
    # No window of training has a class, so that all there is to learn is the emotion itself.
    nameless = dataclasses.replace(windows, targets=np.full(len(windows), IGNORED))
    inputs = echo._replace(dataset=echo.dataset._replace(emotion_classes=echoed), training=nameless)
    torch.manual_seed(0)
    model = make_model(echo.arrays["only"], np.arange(NUM_ROWS))
    training = settings_of(epochs=8, learning_rate=0.02, batch_size=64)
    task = Planted(inputs, training, lambda: model, emotion_weight=1.0)
    fitted = fit_task(task).model
    batch = next(iter(task.batches(inputs.dataset.split.folds[0], 0).training))
    predicted = fitted(batch).emotions.argmax(dim=-1)
    assert (predicted == batch.emotions).float().mean() > 0.9


def test_a_loss_that_explodes_is_an_error(echo):
    model = Scripted()
    with torch.no_grad():
        model.logits.fill_(float("nan"))
    with pytest.raises(FloatingPointError, match="train loss is nan; lower --learning-rate"):
        fit_task(scripted(echo, epochs=1), model)


def test_fit_cannot_see_the_test_split():
    assert not any("test" in name for name in inspect.signature(fit).parameters)


def test_a_metric_that_a_task_does_not_have_is_refused_before_training(echo):
    with pytest.raises(ValueError, match="--select-by ccc: this task has uar, wa, macro_f1"):
        fit_task(scripted(echo, select_by="ccc"))


class Linear(nn.Module):
    """A linear map of the one frame of an utterance, plus noise of its own in training."""

    def __init__(self, num_outputs: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.head = nn.Linear(3, num_outputs)

    def forward(self, batch) -> Outputs:
        return Outputs(self.head(batch.states["speech"].mean(dim=(1, 2))), None, None)


def make_noisy() -> tuple[Any, np.ndarray]:
    """Eighty utterances with a rare class and a number, both of which the features only hint at."""
    generator = np.random.default_rng(2)
    values = generator.normal(size=(80, 3)).astype(np.float32)
    hidden = values[:, 0] + generator.normal(scale=1.5, size=80)
    strengths = (hidden - 1 + 0.5 * values[:, 1] ** 2).astype(np.float32)
    return make_utterances(values, (hidden > 1).astype(np.int64), 40), strengths


def make_task(kind: str, training: TrainingSettings | FitSettings) -> Task:
    inputs, strengths = make_noisy()
    if kind == "regression":
        return SentimentStrength(inputs, training, strengths, lambda fold: Linear(1))
    assert isinstance(training, TrainingSettings)
    return Planted(inputs, training, lambda: Linear(2))


BASE: dict[str, Any] = {
    "epochs": 12,
    "patience": 12,
    "learning_rate": 0.05,
    "weight_decay": 0.01,
    "batch_size": 10,
    "average_best": 2,
}
CHANGES: list[dict[str, Any]] = [
    {"optimizer": "adam"},
    {"optimizer": "rmsprop"},
    {"schedule": "cyclic"},
    {"schedule": "cosine"},
    {"select_by": None},
    {"average_best": 0},
    {"average_best": 4},
    {"updates": 15, "evaluate_every": 2},
    {"patience": 1},
    {"weight_decay": 0.5},
    {"learning_rate": 0.01},
    {"epochs": 3},
    {"batch_size": 40},
]
OTHER_METRIC = {"classification": "wa", "regression": "mae"}


def weights_of(kind: str, **changes: Any) -> tuple[list[float], int]:
    """Fitted weights of a task and the number of its epochs."""
    settings = FitSettings if kind == "regression" else TrainingSettings
    epochs: list[int] = []
    task = make_task(kind, settings(**{**BASE, **changes}))
    fitted = fit_task(task, on_epoch=lambda epoch, metrics: epochs.append(epoch)).model
    weights = [value for p in fitted.parameters() for value in p.detach().flatten().tolist()]
    return weights, len(epochs)


@pytest.mark.parametrize("kind", ["classification", "regression"])
@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_no_setting_is_ignored(kind, change):
    if "select_by" in change:
        change = {"select_by": OTHER_METRIC[kind]}
    before, after = weights_of(kind), weights_of(kind, **change)
    assert weights_of(kind) == before, "the same settings give the same weights"
    length = {"epochs": 3, "updates": 8}
    if expected := [length[name] for name in change if name in length]:
        assert after[1] == expected[0]
    if "patience" in change:
        assert after[1] < before[1]
    else:
        assert after[0] != before[0]


@pytest.mark.parametrize(
    "change",
    [{}, {"loss": "focal"}, {"loss": "logit-adjusted"}, {"sampling": "balanced"}, {"mixup": 0.4}],
    ids=str,
)
def test_how_classes_are_learned_is_not_ignored(change):
    plain = {} if not change else {"class_weights": "none"}
    other = {"class_weights": "none", **change}
    assert weights_of("classification", **plain)[0] != weights_of("classification", **other)[0]
