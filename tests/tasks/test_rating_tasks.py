"""Numbers as tasks: planted ratings are learnt, missing ones left out, and less error is better."""

import numpy as np
import pandas as pd
import pytest
import torch

from conversation_emotion.datasets.batches import ModalityArrays
from conversation_emotion.datasets.inputs import Inputs
from conversation_emotion.datasets.windows import single_utterances
from conversation_emotion.features.extract import Features
from conversation_emotion.models.conversation import Outputs
from conversation_emotion.settings.training import FitSettings
from conversation_emotion.tasks.ratings import (
    MEAN,
    DimensionalEmotion,
    SentimentStrength,
    refuse_outliers,
)
from conversation_emotion.tasks.task import MODEL
from conversation_emotion.tracker import MemoryTracker
from conversation_emotion.training.cross_validation import cross_validate
from tests.conversations import make_dialogues
from tests.small_tasks import fit_task, make_dataset, make_fold, make_inputs, make_utterances

SETTINGS = FitSettings(optimizer="adam", weight_decay=0.0, batch_size=16, average_best=1)


@pytest.fixture
def rated() -> tuple[Inputs, np.ndarray]:
    """Utterances of 3 to 8 frames whose ratings are planted in their frames; some are missing."""
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(120, 2))
    states = [
        (h + 0.1 * rng.normal(size=(1, rng.integers(3, 9), 2))).astype(np.float32) for h in hidden
    ]
    ratings = np.stack([3 + hidden[:, 0], 3 - hidden[:, 1], 3 + hidden.sum(axis=1)], axis=1)
    ratings[::7, 1] = np.nan
    classes = np.zeros(120, dtype=np.int64)
    fold = make_fold(np.arange(80), np.arange(80, 120))
    dataset = make_dataset(make_dialogues(120, 1), classes, fold)
    arrays = {"speech": ModalityArrays(Features(list(states), {}), "speech")}
    inputs = make_inputs(dataset, single_utterances(classes), arrays)
    return inputs, ratings.astype(np.float32)


def changed(**changes) -> FitSettings:
    return FitSettings(**{**vars(SETTINGS), **changes})


def test_planted_ratings_are_learnt_and_the_best_epoch_is_kept(rated):
    torch.manual_seed(0)
    task = DimensionalEmotion(
        *(rated[0], changed(epochs=25, patience=25, learning_rate=1e-2), rated[1]),
        dropout=0.0,
        stride=1,
    )
    seen: list[float] = []
    fitted = fit_task(task, on_epoch=lambda _, m: seen.append(m["valid/ccc_mean"])).model
    found = task.predict(fitted, task.batches(task.dataset.split.folds[0], 0).valid)
    assert found.target_rows.tolist() == list(range(80, 120))
    assert max(seen) > 0.95
    # The CCC of all 40 at once, dimension by dimension, over what is rated.
    scores = []
    for given, ratings in zip(found.ratings.T, rated[1][found.target_rows].T, strict=True):
        x, y = given[~np.isnan(ratings)], ratings[~np.isnan(ratings)]
        scores.append(
            2 * np.cov(x, y, ddof=0)[0, 1] / (x.var() + y.var() + (x.mean() - y.mean()) ** 2)
        )
    assert np.mean(scores) == pytest.approx(max(seen), abs=1e-4)
    assert task.score(found)["ccc_valence"] == pytest.approx(
        dict(zip(task.columns, scores, strict=True))["valence"], abs=1e-4
    )


@pytest.mark.parametrize("code", [999, -99])
@pytest.mark.parametrize("count", [1, 30])
def test_ratings_far_outside_the_scale_are_refused_with_the_first(rated, code, count):
    inputs, ratings = rated
    ratings[10 : 10 + count, 1] = code
    is_on_scale = ~np.isnan(ratings[:, 1]) & (ratings[:, 1] != code)
    low, high = ratings[is_on_scale, 1].min(), ratings[is_on_scale, 1].max()
    message = (
        rf"^{count} ratings of valence are far outside the scale of the others, {low:g} to "
        rf"{high:g}: first {code} of 'd010u00'; leave out"
    )
    with pytest.raises(ValueError, match=message):
        DimensionalEmotion(inputs, SETTINGS, ratings)


@pytest.mark.parametrize("scale", [[1, 7], [0, 0, 0, 0, 0, 0, 100], [3, 3, 3, 3, 5], [-0.5, 0.9]])
def test_the_ends_of_a_scale_are_ratings_and_what_is_far_beyond_is_none(scale):
    ratings = np.resize(np.array(scale, dtype=np.float32), 120)
    refuse_outliers("valence", ratings, pd.Series(range(120)))
    with pytest.raises(ValueError, match="^1 ratings of valence .* first 9999 of "):
        refuse_outliers("valence", np.append(ratings, np.float32(9999)), pd.Series(range(121)))


def test_training_stops_without_progress(rated, monkeypatch):
    epochs: list[int] = []
    task = DimensionalEmotion(rated[0], changed(patience=3), rated[1])
    monkeypatch.setattr(task, "score", lambda found: dict.fromkeys(task.metrics, 0.5))
    fit_task(task, on_epoch=lambda epoch, _: epochs.append(epoch))
    assert epochs == [0, 1, 2, 3]


def test_training_refuses_what_is_not_finite(rated):
    inputs, ratings = rated
    task = DimensionalEmotion(inputs, SETTINGS, ratings)
    model = task.build(task.dataset.split.folds[0])
    with torch.no_grad():
        model.get_parameter("judge.head.output.weight").fill_(float("inf"))
    with pytest.raises(FloatingPointError, match="the train loss is nan; lower --learning-rate"):
        fit_task(task, model)


def test_a_dimension_without_two_ratings_that_differ_is_named_and_selects_nothing(rated):
    inputs, ratings = rated
    ratings[80:, 2] = np.nan  # valid and test
    task = DimensionalEmotion(inputs, changed(epochs=1), ratings)
    found = task.predict(
        task.build(fold := task.dataset.split.folds[0]), task.batches(fold, 0).valid
    )
    scores = task.score(found._replace(ratings=ratings[found.target_rows]))
    assert np.isnan(scores["ccc_dominance"])
    assert scores["ccc_mean"] == pytest.approx(1.0)
    assert list(task.notes()) == [
        "dominance: no two ratings differ in the test part of 1 of 1 folds, left out of its mean: "
        "only"
    ]
    task.training = changed(epochs=1, select_by="ccc_dominance")
    with pytest.raises(ValueError, match="--select-by ccc_dominance: no two targets of the valid"):
        fit_task(task)


def test_the_scale_of_ratings_is_that_of_train_alone(rated):
    inputs, ratings = rated
    ratings[80:] = 10.0  # valid and test
    task = DimensionalEmotion(inputs, SETTINGS, ratings)
    centre, scale = task.train_scale(task.dataset.split.folds[0])
    np.testing.assert_allclose(centre, np.nanmean(ratings[:80], axis=0), rtol=1e-5)
    np.testing.assert_allclose(scale, np.nanstd(ratings[:80], axis=0), rtol=1e-5)


def test_the_weight_of_a_dimension_is_its_share_of_the_loss(rated):
    inputs, ratings = rated
    task = DimensionalEmotion(inputs, SETTINGS, ratings, loss_weights=(1.0, 0.0, 0.0))
    predicted = torch.from_numpy(np.nan_to_num(ratings)) + torch.tensor([0.0, 5.0, 5.0])
    loss = task.measure(predicted, torch.from_numpy(ratings))
    assert float(loss) == pytest.approx(0.0, abs=1e-5)  # the others are far off, and do not count


class Slope(torch.nn.Module):
    """A number of the one frame."""

    def __init__(self) -> None:
        super().__init__()
        self.head = torch.nn.Linear(1, 1)

    def forward(self, batch) -> Outputs:
        return Outputs(self.head(batch.states["speech"].mean(dim=(1, 2))), None, None)


@pytest.fixture
def strengths() -> SentimentStrength:
    values = np.linspace(-3, 3, 40, dtype=np.float32)
    inputs = make_utterances(values[:, None], np.zeros(40, dtype=np.int64), 30)
    return SentimentStrength(inputs, SETTINGS, -values, lambda fold: Slope())


def test_the_less_error_selects(strengths):
    strengths.training = changed(select_by="mae")
    assert strengths.rank({"mae": 0.5, "ccc": 0.1}) > strengths.rank({"mae": 0.9, "ccc": 0.8})


def test_strength_is_scored_next_to_the_mean_of_train(strengths):
    strengths.training = changed(epochs=30, learning_rate=0.05)
    found = cross_validate(strengths, MemoryTracker())
    scores = strengths.evaluate(found[found["part"] == "test"])
    assert list(scores) == [MODEL, MEAN]
    assert scores[MODEL]["mae"].score < 0.2
    # Train is -3 to 3 by 40 steps, the first 30 of them.
    assert set(found[MEAN]) == {float(-np.linspace(-3, 3, 40, dtype=np.float32)[:30].mean())}


def test_least_squares_leaves_out_what_is_not_rated(strengths):
    given = torch.tensor([[1.0], [2.0], [5.0]], requires_grad=True)
    loss = strengths.measure(given, torch.tensor([[0.0], [float("nan")], [3.0]]))
    loss.backward()
    assert loss.item() == pytest.approx((1 + 4) / 2)
    assert given.grad is not None
    assert given.grad.flatten().tolist() == [1.0, 0.0, 2.0]
