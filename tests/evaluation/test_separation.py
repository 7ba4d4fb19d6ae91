"""Representations on a plane and the numbers of how they part their classes."""

import sys
from importlib.util import find_spec

import numpy as np
import pytest
import torch

from conversation_emotion.evaluation.separation import (
    check_umap,
    measure_separation,
    project_to_plane,
)


def test_separation_is_that_worked_out_by_hand():
    # Two classes on a line: centres 10 apart, everyone 1 from its own.
    line = np.array([[0.0], [2.0], [10.0], [12.0]])
    separation = measure_separation(line, np.array([0, 0, 1, 1]))
    # The inner two are 2 from their like and 9 from the others, the outer two 2 and 11.
    assert separation.silhouette == pytest.approx(((9 - 2) / 9 + (11 - 2) / 11) / 2)
    assert separation.compactness == pytest.approx(10 / 1)
    assert separation.num_labelled == 4


def test_separation_does_not_depend_on_scale():
    values = np.random.default_rng(0).normal(size=(20, 4))
    classes = np.arange(20) % 3
    once, thrice = (measure_separation(factor * values, classes) for factor in (1, 3))
    assert thrice == pytest.approx(once)


def test_utterances_without_a_class_are_left_out():
    line = np.array([[0.0], [2.0], [500.0], [10.0], [12.0]])
    separation = measure_separation(line, np.array([0, 0, -100, 1, 1]))
    assert separation == measure_separation(np.delete(line, 2, axis=0), np.array([0, 0, 1, 1]))


@pytest.mark.parametrize("classes", [[0, 0, 0], [0, 1, 2], [-100, -100, -100], [0, 1, -100]])
def test_separation_is_undefined_without_classes_to_part(classes):
    separation = measure_separation(np.eye(3), np.array(classes))
    assert np.isnan(separation.silhouette)
    assert np.isnan(separation.compactness)


@pytest.mark.skipif(find_spec("umap") is None, reason="umap-learn is not installed")
def test_what_lies_apart_stays_apart_on_the_plane():
    generator = np.random.default_rng(0)
    groups = np.repeat([0.0, 50.0], 8)
    values = generator.normal(size=(16, 5)) + groups[:, None]
    num_threads = torch.get_num_threads()
    plane = project_to_plane(values, seed=1)
    assert torch.get_num_threads() == num_threads
    distances = np.linalg.norm(plane[:, None] - plane[None], axis=-1)
    np.fill_diagonal(distances, np.inf)
    assert (groups[distances.argmin(axis=1)] == groups).all()
    np.testing.assert_array_equal(plane, project_to_plane(values, seed=1))


def test_too_few_utterances_make_no_plane():
    with pytest.raises(ValueError, match="4 utterances make no plane, expected 5 or more"):
        project_to_plane(np.eye(4))


def test_missing_umap_names_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'conversation-emotion\[visual\]'"):
        check_umap()
