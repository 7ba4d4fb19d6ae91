"""The recogniser of ratings: its attention, padding, silence, end to end, learning."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conversation_emotion.training.rating_training import (
    RatingFitSettings,
    fit_ratings,
    predict_ratings,
)
from torch import nn
from torch.utils.data import DataLoader

from conversation_emotion.datasets.batches import ModalityArrays, make_loader
from conversation_emotion.datasets.windows import single_utterances
from conversation_emotion.features.extract import Features
from conversation_emotion.models.perception import LayerSum, Standardisation
from conversation_emotion.models.ratings import (
    AttentionHead,
    FeatureFront,
    Frames,
    RatingModel,
    WaveformFront,
)

NAN = float("nan")


def make_front(size: int, stride: int = 1, num_layers: int = 1) -> FeatureFront:
    standardisation = Standardisation(
        torch.zeros(num_layers, size), None, torch.ones(num_layers, size)
    )
    return FeatureFront(standardisation, LayerSum(num_layers, size), stride)


def test_attention_is_that_of_its_definition():
    torch.manual_seed(0)
    head = AttentionHead(6, 3, num_heads=2, attention_size=8, hidden_size=5).eval()
    frames = torch.randn(1, 4, 6)
    queries, keys, values = head.attend(frames[0]).split(8, dim=1)
    heads = []
    for part in (slice(0, 4), slice(4, 8)):
        scores = queries[:, part] @ keys[:, part].T / 4**0.5
        heads.append(scores.softmax(dim=1) @ values[:, part])
    joined = head.join(torch.cat(heads, dim=1))
    pooled = torch.cat([joined.mean(dim=0), joined.std(dim=0, correction=0)])
    expected = head.output(head.layers(pooled))
    rated = head(Frames(frames, torch.ones(1, 4, dtype=torch.bool)))
    torch.testing.assert_close(rated[0], expected)


def test_the_head_has_the_sizes_of_the_paper():
    head = AttentionHead(256, 3)
    assert head.num_heads == 8
    # 512 units, back to the 256 of the contexts, their mean and deviation, two layers of 128.
    assert (head.attend.out_features, head.join.out_features) == (3 * 512, 256)
    shapes = [(m.in_features, m.out_features) for m in head.layers if isinstance(m, nn.Linear)]
    assert shapes == [(512, 128), (128, 128)]
    assert [m.p for m in head.layers if isinstance(m, nn.Dropout)] == [0.2, 0.2]


@pytest.mark.parametrize("stride", [1, 3])
def test_neither_padding_nor_batch_mates_change_a_rating(stride):
    torch.manual_seed(0)
    front, head = make_front(5, stride), AttentionHead(5, 3).eval()
    lengths = [11, 4, 1]
    states = torch.randn(3, 1, 11, 5)
    mask = torch.arange(11) < torch.tensor(lengths)[:, None]
    together = head(front(states * mask[:, None, :, None], mask))
    for row, length in enumerate(lengths):
        alone = head(front(states[row : row + 1, :, :length], mask[row : row + 1, :length]))
        torch.testing.assert_close(together[row], alone[0], atol=1e-5, rtol=1e-4)


def test_neighbouring_frames_are_averaged_and_the_last_are_fewer():
    states = torch.tensor([[1.0, 3.0, 5.0, 7.0, 9.0]])[:, None, :, None]
    mask = torch.tensor([[True, True, True, True, True]])
    frames = make_front(1, stride=2)(states, mask)
    assert frames.states.flatten().tolist() == [2.0, 6.0, 9.0]
    assert frames.mask.tolist() == [[True, True, True]]


def test_an_utterance_without_speech_is_rated_like_the_mean_of_train():
    front, head = make_front(5), AttentionHead(5, 3).eval()
    absent = torch.zeros(2, 1, 7, 5)
    mask = torch.zeros(2, 7, dtype=torch.bool)
    mask[1] = True
    nothing, mean = head(front(absent, mask))
    torch.testing.assert_close(nothing, mean)  # standardised, the mean is zero
    assert nothing.isfinite().all()


class Halves(nn.Module):
    """An encoder whose frames are the sums of two samples, times a weight."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(2.0))

    def forward(self, waveforms: torch.Tensor, mask: torch.Tensor) -> SimpleNamespace:
        frames = self.weight * (waveforms * mask).unfold(1, 2, 2).sum(dim=2)
        return SimpleNamespace(
            last_hidden_state=frames[..., None], frame_mask=mask.unfold(1, 2, 2).all(dim=2)
        )


def test_waveforms_are_heard_by_an_encoder_that_learns():
    front = WaveformFront(Halves(), output_size=1, min_samples=4)
    samples = torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [1.0, 1.0, 1.0, 1.0, 0.0, 0.0]])
    mask = torch.tensor([[True] * 6, [True] * 4 + [False] * 2])
    frames = front(samples[:, None, :, None], mask)
    assert frames.states[..., 0].tolist() == [[6.0, 14.0, 22.0], [4.0, 4.0, 0.0]]
    assert frames.mask.tolist() == [[True, True, True], [True, True, False]]
    frames.states.sum().backward()
    assert front.encoder.weight.grad == 25.0
    missing = front(torch.zeros(1, 1, 1, 1), torch.zeros(1, 1, dtype=torch.bool))
    assert missing.mask.tolist() == [[True, True]]  # as much silence as can be heard


def make_data(num: int) -> tuple[ModalityArrays, torch.Tensor]:
    """Utterances of 3 to 8 frames whose ratings are planted in their frames; some are missing."""
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(num, 2))
    states = [
        (h + 0.1 * rng.normal(size=(1, rng.integers(3, 9), 2))).astype(np.float32) for h in hidden
    ]
    ratings = np.stack([3 + hidden[:, 0], 3 - hidden[:, 1], 3 + hidden.sum(axis=1)], axis=1)
    ratings[::7, 1] = np.nan
    arrays = ModalityArrays(Features(list(states), {}), "speech")
    return arrays, torch.tensor(ratings, dtype=torch.float32)


def make_rating_loader(
    arrays: ModalityArrays, rows: range, size: int, seed: int | None
) -> DataLoader[int]:
    classes = np.full(120, -100, dtype=np.int64)
    classes[list(rows)] = 0
    windows = single_utterances(classes)
    return make_loader(windows, {"speech": arrays}, classes, batch_size=size, seed=seed)


def test_planted_ratings_are_learnt_and_the_best_epoch_is_kept():
    torch.manual_seed(0)
    arrays, ratings = make_data(120)
    head = AttentionHead(2, 3, num_heads=2, attention_size=8, hidden_size=16, dropout=0.0)
    model = RatingModel(make_front(2), head, torch.full((3,), 3.0), torch.ones(3))
    train = make_rating_loader(arrays, range(80), 16, seed=0)
    valid = make_rating_loader(arrays, range(80, 120), 7, seed=None)
    seen: list[float] = []
    settings = RatingFitSettings(epochs=40, learning_rate=1e-2)
    fitted = fit_ratings(
        model, train, valid, ratings, settings, on_epoch=lambda _, m: seen.append(m["valid/ccc"])
    )
    found = predict_ratings(fitted, valid)
    assert found.target_rows.tolist() == list(range(80, 120))
    assert max(seen) > 0.95
    # The CCC of all 40 at once, dimension by dimension, over what is rated.
    scores = []
    for said, rated in zip(found.ratings.T, ratings[found.target_rows].numpy().T, strict=True):
        x, y = said[~np.isnan(rated)], rated[~np.isnan(rated)]
        scores.append(
            2 * np.cov(x, y, ddof=0)[0, 1] / (x.var() + y.var() + (x.mean() - y.mean()) ** 2)
        )
    assert np.mean(scores) == pytest.approx(max(seen), abs=1e-4)


def test_training_stops_without_progress_and_refuses_what_is_not_finite():
    arrays, ratings = make_data(120)
    model = RatingModel(make_front(2), AttentionHead(2, 3), torch.zeros(3), torch.ones(3))
    train = make_rating_loader(arrays, range(80), 16, seed=0)
    valid = make_rating_loader(arrays, range(80, 120), 7, seed=None)
    epochs: list[int] = []
    constant = torch.full_like(ratings, 2.0)  # its CCC is 0 whatever is said
    fit_ratings(
        model,
        train,
        valid,
        constant,
        RatingFitSettings(patience=3),
        on_epoch=lambda e, _: epochs.append(e),
    )
    assert epochs == [0, 1, 2, 3]
    with pytest.raises(FloatingPointError, match="the train loss is nan; lower --learning-rate"):
        fit_ratings(model, train, valid, ratings, RatingFitSettings(learning_rate=1e30))
