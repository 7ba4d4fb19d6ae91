"""Fusion strategies compared in pairs, over trainings of the same name."""

import numpy as np
import pytest

from conversation_emotion.figures.comparison_page import Pair
from conversation_emotion.figures.comparison_page import compare_pairs as compare
from experiments.sweep.figures import (
    Strategy,
    compare_strategies,
    draw_picture,
    format_significance,
)
from experiments.sweep.study import SweepStudy, check_settings
from experiments.sweep.trials import run_trials
from tests.sweeps import make_spec
from tests.tiny_experiment import TinyConfig


def compare_pairs(strategies: list[Strategy]) -> list[Pair]:
    return compare([(one.name, one.scores) for one in strategies])


def strategy(name: str, *scores: float) -> Strategy:
    return Strategy(name, "study, trial 0", {f"fold{n}": score for n, score in enumerate(scores)})


def test_only_trainings_of_one_name_are_compared():
    better = strategy("a", 0.9, 0.8, 0.7)
    worse = Strategy("b", "study, trial 1", {"fold1": 0.5, "fold2": 0.5, "other": 0.0})
    (pair,) = compare_pairs([better, worse])
    assert (pair.num_trainings, pair.difference) == (2, pytest.approx(0.25))
    assert compare_pairs([better, Strategy("c", "", {"other": 0.1})]) == []


def test_a_line_lists_which_strategies_differ():
    wide = [strategy("a", *[0.9] * 8), strategy("b", *[0.1] * 8)]
    assert format_significance(compare_pairs(wide)) == "a > b (p = 0.008)"
    near = [strategy("a", 0.9, 0.2), strategy("b", 0.1, 0.8)]
    assert "no difference is significant: least corrected p = 1.000" in format_significance(
        compare_pairs(near)
    )


def test_studies_of_other_modalities_are_included(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, modality, folds in (
        ("both", "speech+text", 3),
        ("text", "text", 3),
        ("other", "speech", 4),
    ):
        config = TinyConfig(modality=modality, folds=folds)
        spec = make_spec(name=name, trials=2, config=config)
        study = SweepStudy.open(spec)
        check_settings(study, spec, {"modality": modality, "folds": str(folds)})
        for fusion in ("early", "late"):
            study.study.enqueue_trial({"x": 0.7, "fusion": fusion})
        run_trials(spec, 0)
    found = compare_strategies(SweepStudy.open(make_spec(name="both")))
    assert {one.name for one in found} == {"speech+text, early", "speech+text, late", "text"}
    assert found[0].mean() == pytest.approx(0.99)


def test_strategies_are_drawn_with_their_trainings():
    strategies = [strategy("a, early", 0.5, 0.6), strategy("b", 0.4, 0.5)]
    picture = draw_picture(strategies, "caption", "uar on valid")
    assert picture.axes[0].get_ylabel() == "uar on valid, per fold and seed"
    points = [line for line in picture.axes[0].lines if line.get_marker() == "o"]
    drawn = [list(np.asarray(line.get_ydata())) for line in points]
    assert [0.5, 0.6] in drawn
    assert [0.4, 0.5] in drawn
