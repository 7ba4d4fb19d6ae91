"""Runs in memory and in MLflow behave alike."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from conversation_emotion.tracker import Memory, MemoryTracker, ParentTracker
from experiments.tracking.runs import open_run


@dataclass(frozen=True)
class Nothing:
    """A command without settings."""


@contextmanager
def in_memory():
    yield MemoryTracker()


@pytest.fixture(scope="module", params=["memory", "mlflow"])
def parent(request, tmp_path_factory) -> Iterator[ParentTracker]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("runs"))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        opened = in_memory() if request.param == "memory" else open_run("any", Nothing(), "data")
        with opened as parent:
            yield parent


TABLE = pd.DataFrame({"a": [1, 2]}, index=[7, 8])


def test_what_a_finished_child_recorded_is_read_back(parent, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "b.txt").write_text("b")
    with parent.open_child("done", {"seed": 0}) as child:
        child.log_step(0, {"valid/uar": 0.25})
        child.log_step(1, {"valid/uar": 0.5})
        child.flush()
        child.log_metrics({"test/uar": 0.75})
        child.log_table(TABLE, "predictions.parquet")
        child.log_text("a", "a.txt")
        child.log_figure(plt.figure(), "a.png")
        child.log_folder(tmp_path / "in", "folder")
        assert parent.read_finished("done", "predictions.parquet") is None
    found = parent.read_finished("done", "predictions.parquet")
    pd.testing.assert_frame_equal(found, TABLE.reset_index(drop=True))


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_a_child_that_did_not_finish_is_not_read_back(parent, error):
    with pytest.raises(error), parent.open_child(error.__name__, {}) as child:
        child.log_table(TABLE, "predictions.parquet")
        raise error
    assert parent.read_finished(error.__name__, "predictions.parquet") is None
    with parent.open_child(error.__name__, {}) as again:
        again.log_table(TABLE[:1], "predictions.parquet")
    assert len(parent.read_finished(error.__name__, "predictions.parquet")) == 1


def test_memory_shows_curves_scores_settings_and_files(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "b.txt").write_text("b")
    parent = MemoryTracker()
    with parent.open_child("one", {"seed": 0}) as child:
        child.log_step(0, {"valid/uar": 0.25})
        child.log_step(1, {"valid/uar": 0.5})
        child.log_metrics({"test/uar": 1})
        child.log_folder(tmp_path, "folder")
    assert parent.children["one"] is child
    assert child.points == {"valid/uar": [0.25, 0.5]}
    assert (child.params, child.metrics) == ({"seed": 0}, {"test/uar": 1.0})
    assert child.artifacts == {"folder/deep/b.txt": b"b"}


def test_only_the_last_results_are_remembered():
    memory, made = Memory(most=2), []

    def make(name: str) -> str:
        return memory.recall(name, lambda: made.append(name) or name)

    assert [make(name) for name in ("a", "b", "a", "c", "a", "b")] == ["a", "b", "a", "c", "a", "b"]
    assert made == ["a", "b", "c", "b"]
