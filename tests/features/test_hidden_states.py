"""Hidden states of many utterances: gathered by row, whatever arrays they lie in."""

import errno

import numpy as np
import pytest
import torch

from conversation_emotion.datasets import batches
from conversation_emotion.datasets.batches import ModalityArrays
from conversation_emotion.features import store as store_module
from conversation_emotion.features.extract import Features
from conversation_emotion.features.hidden_states import HiddenStates
from conversation_emotion.features.key import FeatureKey
from conversation_emotion.features.store import FeatureStore
from conversation_emotion.models.perception import fit_on_rows

HALF = FeatureKey(encoder="fake", layers="all", pooling="frames", half_precision=True)


@pytest.fixture
def stored(tmp_path, monkeypatch):
    """Three texts of 1, 2 and 3 frames of two layers in shards of their own, and their states."""
    monkeypatch.setattr(store_module, "SHARD_BYTES", 1)
    states = {f"c{n}": np.full((2, n + 1, 3), n + 0.5) for n in range(3)}
    store = FeatureStore(HALF, tmp_path)
    for content, one in states.items():
        store.add(content, one)
    return FeatureStore(HALF, tmp_path), states


def test_states_of_several_shards_come_in_the_order_of_rows_and_absent_ones_are_none(stored):
    store, states = stored
    found = store.read(["c2", None, "c0", "gone", "c1"])
    for content, one in zip(["c2", None, "c0", "gone", "c1"], found, strict=True):
        expected = states.get(content)
        assert (one is None) == (expected is None)
        if expected is not None:
            np.testing.assert_array_equal(one, expected)
    frames = found.gather(np.array([4, 1, 0, 2, 4]))
    assert frames[:, 0, 0].tolist() == [1.5, 1.5, 2.5, 2.5, 2.5, 0.5, 1.5, 1.5]
    assert found[1:3].lengths.tolist() == [0, 1]


def test_half_precision_stays_on_the_disk_until_a_batch_is_gathered(stored):
    store, _ = stored
    found = store.read(["c0", "c2"])
    assert {(type(one), one.dtype.name) for one in found.arrays} == {(np.memmap, "float16")}
    states, frames = ModalityArrays(Features(found, {}), "text").gather(torch.tensor([1, 0]))
    assert frames.tolist() == [[True] * 3, [True, False, False]]
    assert states[:, 1, :, 0].tolist() == [[2.5] * 3, [0.5, 0.0, 0.0]]
    vectors = ModalityArrays(Features(store.read(["c0", "c0"]), {}), "text")
    assert vectors._dense is None
    assert vectors.gather(torch.tensor([1]))[0].flatten().tolist() == [0.5] * 6


def test_vectors_that_memory_should_not_hold_are_gathered_from_the_disk(monkeypatch):
    states = [np.full((2, 1, 3), n) if n != 1 else None for n in range(4)]
    rows = torch.tensor([3, 1, 0])
    held = ModalityArrays(Features(states, {}), "text").gather(rows)
    monkeypatch.setattr(batches, "MOST_IN_MEMORY", 0)
    read = ModalityArrays(Features(states, {}), "text").gather(rows)
    assert read[0][:, 0, 0, 0].tolist() == [3, 0, 0]
    assert read[1].tolist() == [[True], [False], [True]]
    assert all(torch.equal(one, other) for one, other in zip(held, read, strict=True))


def test_rows_are_cut_into_pieces_of_some_frames():
    states = HiddenStates.of([np.zeros((1, length, 1)) for length in (2, 2, 1, 9, 1)])
    pieces = list(states.pieces(np.array([0, 1, 2, 3, 4]), 4))
    assert [piece.tolist() for piece in pieces] == [[0, 1], [2], [3, 4]]


def test_what_waits_to_be_written_is_not_the_array_that_was_given(tmp_path):
    store = FeatureStore(HALF, tmp_path)
    states = np.ones((1, 1, 2), dtype=np.float16)
    store.add("a", states)
    states[:] = 2
    np.testing.assert_array_equal(store.read(["a"])[0], np.ones((1, 1, 2)))


def test_more_shards_may_be_open_than_files_by_default(stored, monkeypatch):
    import resource

    raised, tries = [], []

    def refuse_once(path, mmap_mode):
        tries.append(path)
        if len(tries) == 1:
            raise OSError(errno.EMFILE, "Too many open files")
        return np.zeros((6, 2, 3))

    store, _ = stored
    monkeypatch.setattr(np, "load", refuse_once)
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (1024, 4096))
    monkeypatch.setattr(resource, "setrlimit", lambda kind, limits: raised.append(limits))
    assert store.read(["c1"])[0].shape == (2, 2, 3)
    assert raised == [(4096, 4096)]


@pytest.mark.parametrize("num_components", [None, 2])
def test_statistics_of_frames_that_memory_should_not_hold_are_those_of_all(
    num_components, monkeypatch
):
    generator = np.random.default_rng(0)
    causes = generator.normal(size=(600, 2)) @ (
        np.array([[5], [2]]) * generator.normal(size=(2, 6))
    )
    frames = (1 + causes + 0.01 * generator.normal(size=causes.shape)).reshape(30, 20, 2, 3)
    states = [one.transpose(1, 0, 2) for one in frames]
    arrays, rows = ModalityArrays(Features(states, {}), "text"), np.arange(30)
    whole = fit_on_rows(arrays, rows, num_components)
    monkeypatch.setattr(batches, "MOST_IN_MEMORY", 4 * 6 * 100)  # a hundred frames of 2 x 3
    assert len(arrays.pieces(rows)) == 6
    pieces = fit_on_rows(arrays, rows, num_components)
    one, other = (fitted(torch.tensor(states[0]).float()) for fitted in (whole, pieces))
    signs = (one * other).sum(dim=(0, 1), keepdim=True).sign() if num_components else 1.0
    assert torch.allclose(one, other * signs, atol=2e-2)
