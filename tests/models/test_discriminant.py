"""Discriminants and support vector machines: what they are, and where classes are missing."""

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.covariance import ledoit_wolf
from sklearn.svm import LinearSVC

from conversation_emotion.models.conversation import fit_discriminants, fit_margins


@pytest.fixture
def clouds() -> tuple[np.ndarray, np.ndarray]:
    """Three classes of 30, 60 and 90 points around their own means, stretched alike."""
    generator = np.random.default_rng(0)
    targets = np.repeat([0, 1, 2], [30, 60, 90])
    means = np.array([[0.0, 0, 0, 0], [2, 0, 1, 0], [0, 3, 0, 1]])
    mixing = generator.normal(size=(4, 4))
    return means[targets] + generator.normal(size=(180, 4)) @ mixing, targets


def by_hand(vectors: np.ndarray, targets: np.ndarray, priors: np.ndarray) -> np.ndarray:
    """Log of prior times density of each class, from the mean of the shrunk covariances."""
    means = np.stack([vectors[targets == number].mean(axis=0) for number in range(len(priors))])
    covariance = np.zeros((vectors.shape[1],) * 2)
    for number, prior in enumerate(priors):
        members = vectors[targets == number]
        scale = members.std(axis=0)
        shrunk, _ = ledoit_wolf((members - members.mean(axis=0)) / scale)
        covariance += prior * scale[:, None] * shrunk * scale
    away = vectors[:, None] - means
    distances = np.einsum("nci,ij,ncj->nc", away, np.linalg.inv(covariance), away)
    return np.log(priors) - distances / 2


@pytest.mark.parametrize("is_balanced", [True, False])
def test_probabilities_are_those_of_the_densities(clouds, is_balanced):
    vectors, targets = clouds
    priors = np.full(3, 1 / 3) if is_balanced else np.array([30, 60, 90]) / 180
    weights, biases = fit_discriminants(vectors, targets, 3, is_balanced=is_balanced)
    expected = softmax(by_hand(vectors, targets, priors), axis=1)
    np.testing.assert_allclose(softmax(vectors @ weights.T + biases, axis=1), expected, atol=1e-5)


def test_two_classes_of_four_leave_the_others_without_a_chance(clouds):
    vectors, targets = clouds
    some = targets < 2
    two, three = vectors[some], 3 * targets[some]
    weights, biases = fit_discriminants(two, three, 4, is_balanced=True)
    found = softmax(two @ weights.T + biases, axis=1)
    expected = softmax(by_hand(two, targets[some], np.full(2, 0.5)), axis=1)
    np.testing.assert_allclose(found[:, [0, 3]], expected, atol=1e-5)
    assert (found[:, [1, 2]] == 0).all()


def test_a_feature_that_never_changes_does_no_harm(clouds):
    vectors, targets = clouds
    weights, biases = fit_discriminants(
        np.hstack([vectors, np.zeros((180, 1))]), targets, 3, is_balanced=True
    )
    assert np.isfinite(weights).all()
    assert np.isfinite(biases).all()
    right = ((vectors @ weights[:, :4].T + biases).argmax(axis=1) == targets).mean()
    assert right > 0.8


def test_one_class_in_train_is_an_error(clouds):
    with pytest.raises(ValueError, match="two classes in train, got 1"):
        fit_discriminants(clouds[0], np.zeros(180, dtype=np.int64), 3, is_balanced=True)


@pytest.mark.parametrize(("num_present", "names"), [(3, [0, 1, 2, 3]), (2, [0, 3])])
def test_the_largest_margin_is_the_class_that_the_machine_predicts(clouds, num_present, names):
    some = clouds[1] < num_present
    vectors, targets = clouds[0][some], np.array(names)[clouds[1][some]]
    weights, biases = fit_margins(vectors, targets, 5, is_balanced=True, cost=0.1)
    machine = LinearSVC(C=0.1, class_weight="balanced", random_state=0, max_iter=20_000)
    expected = machine.fit(vectors, targets).predict(vectors)
    np.testing.assert_array_equal((vectors @ weights.T + biases).argmax(axis=1), expected)
    absent = sorted({*range(5)} - {*targets.tolist()})
    assert (softmax(vectors @ weights.T + biases, axis=1)[:, absent] == 0).all()
