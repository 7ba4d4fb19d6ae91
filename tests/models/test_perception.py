"""Standardisation, layer sums and pooling against values worked out by hand."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from conversation_emotion.models.perception import (
    AGGREGATORS,
    LayerJoin,
    LayerSum,
    MeanPooling,
    Perception,
    StatisticsPooling,
    fit_standardisation,
    make_aggregator,
)


def test_train_frames_get_mean_zero_and_deviation_one():
    frames = np.random.default_rng(0).normal(3, 7, size=(500, 2, 4)).astype(np.float32)
    standardised = fit_standardisation(frames)(torch.from_numpy(frames)[None, :, :, None])
    assert standardised.mean(dim=1).abs().max() < 1e-4
    torch.testing.assert_close(standardised.std(dim=1, correction=0), torch.ones(1, 2, 1, 4))


def test_a_constant_feature_stays_zero():
    frames = np.full((10, 1, 2), 5.0, dtype=np.float32)
    assert (fit_standardisation(frames)(torch.full((1, 1, 1, 1, 2), 5.0)) == 0).all()


def test_principal_components_are_those_of_scikit_learn_scaled_to_one():
    frames = np.random.default_rng(0).normal(size=(200, 1, 6)).astype(np.float32)
    frames[..., 0] *= 5
    found = fit_standardisation(frames, 3)(torch.from_numpy(frames)[None, :, :, None])
    expected = PCA(3, whiten=False, random_state=0).fit_transform(frames[:, 0])
    expected /= expected.std(axis=0)
    np.testing.assert_allclose(found[0, :, 0, 0].numpy(), expected, atol=1e-3)


def test_components_of_several_layers_are_those_of_all_standardised_features():
    frames = np.random.default_rng(0).normal(size=(200, 3, 4)).astype(np.float32)
    frames[:, 1] = 50 + 20 * frames[:, 1]  # a layer of another range counts like the others
    frames[:, 2] += frames[:, 0]
    standardisation = fit_standardisation(frames, 5)
    assert (standardisation.num_layers, standardisation.output_size) == (1, 5)
    states = torch.from_numpy(frames).transpose(0, 1)[None]  # one utterance of 200 frames
    reference = make_pipeline(StandardScaler(), PCA(5, random_state=0), StandardScaler())
    expected = reference.fit_transform(frames.reshape(200, 12))
    np.testing.assert_allclose(standardisation(states)[0, 0].numpy(), expected, atol=1e-3)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((4, 1, 6), "5 principal components of 4 train frames with 6 features; 4 is the most"),
        ((9, 2, 2), "5 principal components of 9 train frames with 4 features; 4 is the most"),
    ],
)
def test_impossible_components_are_refused(shape, message):
    with pytest.raises(ValueError, match=message):
        fit_standardisation(np.zeros(shape, dtype=np.float32), 5)


def test_layers_are_averaged_before_training():
    states = torch.randn(2, 3, 4, 5, 6)
    torch.testing.assert_close(LayerSum(4, 6)(states), states.mean(dim=2))


def test_joined_layers_stand_beside_each_other():
    states = torch.arange(12.0).reshape(1, 2, 3, 2)  # one utterance, L = 2, T = 3, D = 2
    joined = LayerJoin(2, 2)(states)
    assert joined.shape == (1, 3, 4)
    assert joined[0, 0].tolist() == [0.0, 1.0, 6.0, 7.0]


def test_statistics_are_those_of_the_real_frames():
    frames = torch.tensor([[1.0], [3.0], [99.0]])
    pooled = StatisticsPooling(1)(frames, torch.tensor([True, True, False]))
    assert pooled.tolist() == [2.0, 1.0]


def test_a_single_frame_deviates_by_zero_with_a_finite_gradient():
    frames = torch.ones(1, 1, requires_grad=True)
    pooled = StatisticsPooling(1)(frames, torch.tensor([True]))
    pooled.sum().backward()
    assert pooled.tolist() == [1.0, 0.0]
    assert frames.grad is not None
    assert frames.grad.tolist() == [[1.0]]


@pytest.mark.parametrize("name", sorted(AGGREGATORS))
def test_padding_changes_no_pooled_vector(name):
    torch.manual_seed(0)
    pooling = AGGREGATORS[name](6)
    frames, mask = torch.randn(2, 4, 6), torch.ones(2, 4, dtype=torch.bool)
    padded = torch.nn.functional.pad(frames, (0, 0, 0, 3), value=50.0)
    longer = torch.nn.functional.pad(mask, (0, 3))
    torch.testing.assert_close(pooling(padded, longer), pooling(frames, mask))


@pytest.mark.parametrize("name", ["attention", "ecapa"])
def test_an_aggregator_has_the_units_that_are_asked_for(name):
    def count(size: int | None) -> int:
        return sum(weight.numel() for weight in make_aggregator(name, 6, size).parameters())

    assert count(8) < count(16)
    assert count(None) == sum(weight.numel() for weight in AGGREGATORS[name](6).parameters())
    assert count(16) == sum(weight.numel() for weight in AGGREGATORS[name](6, 16).parameters())


def test_an_absent_modality_is_zero_with_its_flag_down():
    standardisation = fit_standardisation(
        np.random.default_rng(0).normal(size=(9, 1, 2)).astype(np.float32)
    )
    perception = Perception(standardisation, LayerSum(1, 2), MeanPooling(2))
    states = torch.full((1, 2, 1, 1, 2), 7.0)
    perceived = perception(states, torch.tensor([[[True], [False]]]))
    assert perceived[0, 0, -1] == 1
    assert perceived[0, 0, 0] != 0
    assert perceived[0, 1].tolist() == [0.0, 0.0, 0.0]
