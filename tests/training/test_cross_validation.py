"""Cross-validation: each fold by itself, finished trainings read back, valid scored alone."""

import dataclasses

import pandas as pd
import pytest

from conversation_emotion.settings.training import FineTuningSettings
from conversation_emotion.tasks.emotion import MAJORITY
from conversation_emotion.tasks.fine_tuning import FineTuning
from conversation_emotion.tasks.task import MODEL
from conversation_emotion.tracker import MemoryTracker
from conversation_emotion.training import cross_validation as training
from conversation_emotion.training.cross_validation import (
    SINGLE,
    cross_validate,
    evaluate,
    validate,
)
from tests.small_tasks import make_clips, make_fine_tuning

SETTINGS = FineTuningSettings(epochs=3, batch_size=4, learning_rate=0.02, average_best=2)
NAMES = ["tuned-only-seed0", "tuned-swapped-seed0"]


@pytest.fixture
def task() -> FineTuning:
    return make_fine_tuning(make_clips(), SETTINGS, num_folds=2)


def test_each_training_has_a_run_and_its_predictions_on_valid_and_test(task, tmp_path):
    tracker = MemoryTracker()
    found = cross_validate(task, tracker, folder=tmp_path)
    sizes = found.groupby(["fold", "seed", "part"], sort=False).size().to_dict()
    # Row 38 has no usable clip and still a prediction; row 39 has no class.
    assert sizes == {
        ("only", 0, "valid"): 15,
        ("only", 0, "test"): 15,
        ("swapped", 0, "valid"): 24,
        ("swapped", 0, "test"): 24,
    }
    assert list(tracker.children) == NAMES
    for child in tracker.children.values():
        assert child.status == "FINISHED"
        assert len(child.points["valid/loss"]) == 3
        assert "test/uar" in child.metrics
    assert {"predicted", SINGLE, MAJORITY, "p_no", "p_yes"} <= set(found)
    assert not list(tmp_path.rglob("*.pt")), "the state of a finished training is deleted"


def test_what_was_finished_is_read_back(task, tmp_path):
    tracker, trained = MemoryTracker(), []
    first = cross_validate(task, tracker)
    tracker.children[NAMES[1]].status = "KILLED"
    again = cross_validate(task, tracker, on_trained=lambda result, run: trained.append(run.run_id))
    assert trained == [f"memory/{NAMES[1]}"]
    pd.testing.assert_frame_equal(again, first)


def test_the_score_of_a_training_is_that_of_its_predictions_on_valid(task):
    scores = {}
    cross_validate(
        task,
        MemoryTracker(),
        on_trained=lambda result, run: scores.update({run.run_id: (result.score, result)}),
    )
    for score, result in scores.values():
        valid = result.predictions.query("part == 'valid' and p_no.notna()")
        assert score == pytest.approx((valid["predicted"] == valid["target"]).mean())


def test_validation_trains_every_fold_whether_or_not_a_folder_keeps_its_state(task, tmp_path):
    stored, anew = (list(validate(task, folder=folder)) for folder in (tmp_path, None))
    assert [found.name for found in stored] == ["only-seed0", "swapped-seed0"]
    assert [len(found.curves["train/loss"]) for found in stored] == [3, 3]
    for found in (*stored, *anew):
        del found.curves["seconds"]
    assert stored == anew


def test_validation_names_the_metric_that_selects(task):
    task.training = dataclasses.replace(SETTINGS, select_by="macro_f1", epochs=1)
    assert {found.metric for found in validate(task)} == {"macro_f1"}


def test_model_and_baselines_are_scored_and_kept_with_the_run(task):
    tracker = MemoryTracker()
    predictions = cross_validate(task, tracker)
    scores = evaluate(task, predictions, tracker)
    assert list(scores) == [MODEL, SINGLE, MAJORITY]
    assert scores[MAJORITY]["uar"].score == pytest.approx(0.5)
    assert tracker.metrics["test/uar"] == pytest.approx(scores[MODEL]["uar"].score)
    assert tracker.metrics["baseline_majority/uar"] == pytest.approx(0.5)
    kept = tracker.artifacts["utterances.parquet"]
    assert isinstance(kept, pd.DataFrame)
    assert set(kept["utterance_id"]) == set(predictions["utterance_id"])
    assert {"predictions.parquet", "label_map.json", "confusions.png", "failed_clips.json"} <= set(
        tracker.artifacts
    )


def test_the_picture_shows_the_test_predictions_of_all_trainings(task, monkeypatch):
    drawn = []
    monkeypatch.setattr(training, "draw_confusions", lambda *given: drawn.append(given))
    tracker = MemoryTracker()
    predictions = cross_validate(task, tracker)
    evaluate(task, predictions, tracker)
    test = predictions.query("part == 'test'")
    ((confusions, labels, title),) = drawn
    assert (labels, title) == (task.labels, "test, all folds")
    assert confusions.tolist() == [
        [int(((test["target"] == row) & (test["predicted"] == column)).sum()) for column in (0, 1)]
        for row in (0, 1)
    ]
