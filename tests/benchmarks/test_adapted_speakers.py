"""The benchmark of adaptation: halves that stay apart, draws that grow, and its table."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import torch

from benchmarks.adaptation import Result, Speaker, draw, halve, write_table
from conversation_emotion.evaluation.calibration import Calibration
from conversation_emotion.evaluation.metrics import Interval
from conversation_emotion.splits.folds import Fold

CLASSES = np.array([0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2])


def make_task() -> Any:
    table = pd.DataFrame({"text": ["a", "b", "c", "d"] * 3})
    return SimpleNamespace(dataset=SimpleNamespace(classes=lambda: CLASSES, utterances=table))


def test_halves_share_nothing_and_have_each_class_or_no_text_in_common():
    rows = np.arange(12)
    pool, test = halve(make_task(), rows)
    assert sorted([*pool, *test]) == rows.tolist()
    assert np.bincount(CLASSES[pool]).tolist() == np.bincount(CLASSES[test]).tolist() == [2, 2, 2]
    pool, test = halve(make_task(), rows, by_text=True)
    texts = make_task().dataset.utterances["text"]
    assert (set(texts[pool]), set(texts[test])) == ({"a", "c"}, {"b", "d"})


def test_more_turns_of_a_draw_hold_the_fewer_ones_and_draws_differ():
    calibration = Calibration(
        temperature=1, threshold=0.5, coverage=0.9, num_targets=9, num_speakers=3
    )
    none = np.array([], dtype=np.int64)
    fold = Fold(name="a", train=none, valid=none, test=none)
    speaker = Speaker(fold, torch.nn.Module(), calibration, np.arange(20, 40), none)
    assert draw(speaker, 2, 1).tolist() == draw(speaker, 8, 1)[:2].tolist()
    assert draw(speaker, 8, 1).tolist() != draw(speaker, 8, 2).tolist()
    assert set(draw(speaker, 99, 1)) == set(range(20, 40))


def test_the_table_compares_all_but_the_model_as_it_is():
    uar, nothing = Interval(0.75, 0.7, 0.8, 0.01, 9), Interval(0.0, 0.0, 0.0, 0.0, 9)
    better = Interval(0.05, 0.01, 0.09, 0.01, 9)
    *_, first, second = write_table(
        [
            Result("lora", 0, uar, nothing, 1.0, 0.1, 0.8),
            Result("lora", 4, uar, better, 0.01, 0.1, 0.85),
        ]
    )
    assert first == "| lora | 0 | 75.0 [70.0, 80.0] | | | 10.0 | 80.0 |"
    assert second == "| lora | 4 | 75.0 [70.0, 80.0] | +5.0 [+1.0, +9.0] | 0.010 | 10.0 | 85.0 |"
