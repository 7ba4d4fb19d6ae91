"""The store: whole or absent shards, joined where they are many and small."""

import errno
import json

import numpy as np
import pytest

from conversation_emotion.features import store as store_module
from conversation_emotion.features.key import FeatureKey
from conversation_emotion.features.store import FeatureStore, StoreFullError

KEY = FeatureKey(encoder="fake", layers="all", pooling="mean")


def test_what_waits_for_a_minute_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(store_module, "SHARD_SECONDS", 0.0)
    FeatureStore(KEY, tmp_path).add("a", np.ones((2, 1, 1)))  # and killed before it is flushed
    assert "a" in FeatureStore(KEY, tmp_path)


def test_many_small_shards_become_one_and_others_go_on_to_read_them(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(store_module, "MOST_SMALL", 3)
    arrays = {f"c{n}": np.full((2, n + 1, 1), n) for n in range(3)}
    for content in ("c0", "c1"):
        store = FeatureStore(KEY, tmp_path)
        store.add(content, arrays[content])
        store.flush()
    before, joining = FeatureStore(KEY, tmp_path), FeatureStore(KEY, tmp_path)
    joining.add("c2", arrays["c2"])
    joining.flush()
    files = sorted(path.suffix for path in joining.folder.iterdir())
    assert files == [".json", ".npy", ".parquet"]
    for store in (joining, FeatureStore(KEY, tmp_path)):
        for content, states in arrays.items():
            np.testing.assert_array_equal(store.read([content])[0], states)
    for content in ("c0", "c1"):
        np.testing.assert_array_equal(before.read([content])[0], arrays[content])
    assert capsys.readouterr().out == ""


def test_a_kill_between_arrays_and_index_leaves_no_shard(tmp_path):
    store = FeatureStore(KEY, tmp_path)
    store.add("a", np.ones((2, 1, 1)))
    store.flush()
    (store.folder / "torn.npy").write_bytes(b"half an array")
    (store.folder / ".torn.parquet.1.partial").write_bytes(b"half an index")
    reopened = FeatureStore(KEY, tmp_path)
    assert len(reopened) == 1
    np.testing.assert_array_equal(reopened.read(["a"])[0], np.ones((2, 1, 1)))


def test_a_full_disk_is_reported_and_keeps_the_rest(tmp_path, monkeypatch):
    store = FeatureStore(KEY, tmp_path)
    store.add("a", np.ones((2, 1, 1)))
    store.flush()
    before = sorted(store.folder.iterdir())

    def fail(path, frames):
        path.write_bytes(b"some of it")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(store_module, "_save_array", fail)
    store.add("b", np.ones((2, 1, 1)))
    with pytest.raises(StoreFullError, match=r"no room for 0.0 MiB of features under .*free some"):
        store.flush()
    assert sorted(store.folder.iterdir()) == before
    assert "a" in FeatureStore(KEY, tmp_path)


def test_shards_are_cut_by_size_and_read_back(tmp_path, monkeypatch):
    monkeypatch.setattr(store_module, "SHARD_BYTES", 64)
    store = FeatureStore(KEY, tmp_path)
    arrays = {f"c{n}": np.random.default_rng(n).normal(size=(2, n + 1, 3)) for n in range(6)}
    for content, states in arrays.items():
        store.add(content, states)
    store.flush()
    assert len(list(store.folder.glob("*.parquet"))) > 2
    assert json.loads((store.folder / "key.json").read_text())["encoder"] == "fake"
    reopened = FeatureStore(KEY, tmp_path)
    for states, found in zip(arrays.values(), reopened.read(arrays), strict=True):
        np.testing.assert_allclose(np.asarray(found), states, rtol=1e-6)


def test_half_precision_halves_the_file_and_refuses_what_overflows(tmp_path):
    half = FeatureKey(encoder="fake", layers="all", pooling="mean", half_precision=True)
    store = FeatureStore(half, tmp_path)
    store.add("a", np.full((1, 1, 2), 1.5))
    assert store.read(["a"]).arrays[0].dtype == np.float16
    with pytest.raises(ValueError, match="not finite in float16.*try full precision"):
        store.add("b", np.full((1, 1, 2), 1e6))
