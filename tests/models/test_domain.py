"""The domain of features: known distances, units of held-out speakers, and what lies outside."""

import numpy as np
import pandas as pd
import pytest

from conversation_emotion.datasets.batches import ModalityArrays
from conversation_emotion.datasets.windows import PADDING, Windows, single_utterances
from conversation_emotion.features.extract import Features
from conversation_emotion.models.domain import (
    average_frames,
    fit_domain,
    fit_domains,
    measure_novelty,
)


def draw(number: int, seed: int = 0) -> np.ndarray:
    """Features of which the first two lie along one line, and one is constant."""
    generator = np.random.default_rng(seed)
    line = generator.normal(size=number)
    noise = generator.normal(size=(number, 5))
    values = np.column_stack([5 * line + noise[:, 0], 5 * line + noise[:, 1], noise[:, 2:]])
    return np.column_stack([values, np.full(number, 3.0)]).astype(np.float32)


def test_the_distance_is_that_of_mahalanobis_where_there_are_all_directions():
    values = draw(200)[:, :5]
    domain = fit_domain(values, pd.Series(np.arange(200) % 8))
    assert domain is not None
    centred = draw(50, seed=1)[:, :5] - values.mean(axis=0)
    inverse = np.linalg.inv(np.cov(values.T))
    expected = np.sqrt(((centred @ inverse) * centred).sum(axis=1))
    found = domain.measure(draw(50, seed=1)[:, :5]) * domain.unit
    np.testing.assert_allclose(found, expected, rtol=1e-3)


def test_of_held_out_speakers_nineteen_in_twenty_have_a_novelty_of_one_at_most():
    domain = fit_domain(draw(2_000), pd.Series(np.arange(2_000) % 20))
    assert domain is not None
    assert (domain.measure(draw(4_000, seed=1)) <= 1).mean() == pytest.approx(0.95, abs=0.01)
    across = draw(1, seed=2) * 0 + np.array([5, -5, 0, 0, 0, 3], dtype=np.float32)
    assert domain.measure(across) > 2  # each of its features alone is usual


@pytest.mark.parametrize(("number", "is_there"), [(0, False), (1, False), (2, True), (3, True)])
def test_few_utterances_make_a_domain_and_fewer_than_two_none(number, is_there):
    domain = fit_domain(draw(max(number, 1))[:number], pd.Series(["a"] * number))
    assert (domain is not None) == is_there
    if domain is not None:
        assert np.isfinite(domain.measure(draw(5, seed=1))).all()


def make_arrays(values: np.ndarray) -> ModalityArrays:
    """Utterances of two frames around their values; the first has no speech."""
    states = [np.stack([one - 1, one + 1])[None].astype(np.float32) for one in values]
    return ModalityArrays(Features([None, *states[1:]], {}, "key"), "speech")


def test_frames_are_averaged_and_what_has_none_is_not_known():
    arrays = make_arrays(draw(4))
    found = average_frames(arrays, np.array([3, 0]))
    np.testing.assert_allclose(found[0], draw(4)[3], atol=1e-5)
    assert np.isnan(found[1]).all()
    domains = fit_domains({"speech": arrays}, np.arange(4), pd.Series(list("aabb")))
    alone = measure_novelty(domains, {"speech": arrays}, single_utterances(np.zeros(4, dtype=int)))
    assert np.isnan(alone[0])
    expected = domains["speech"].measure(draw(4)[1:])
    np.testing.assert_allclose(alone[1:], expected, rtol=1e-4)


def test_the_novelty_of_a_turn_is_the_mean_of_what_it_is_predicted_from():
    arrays = make_arrays(draw(4))
    domains = fit_domains({"speech": arrays}, np.arange(4), pd.Series(list("aabb")))
    rows = np.array([[1, 2], [2, 3], [0, PADDING]])
    zeros = np.zeros_like(rows)
    windows = Windows(
        rows=rows,
        roles=zeros,
        turns_back=zeros,
        masked=np.array([[False, False], [True, False], [False, False]]),
        targets=np.zeros(3, dtype=int),
        target_rows=np.arange(3),
    )
    found = measure_novelty(domains, {"speech": arrays}, windows)
    each = domains["speech"].measure(draw(4))
    np.testing.assert_allclose(found[:2], [(each[1] + each[2]) / 2, each[3]], rtol=1e-4)
    assert np.isnan(found[2])
