"""The page that compares systems: what it chooses, orders and draws."""

import re

import pytest

from conversation_emotion.figures.comparison_page import (
    Candidate,
    Comparison,
    compare_pairs,
    find_cheapest,
    render_comparison,
)


def candidate(name: str, *scores: float, **more) -> Candidate:
    given = {"strategy": "all", "varied": {}, "parameters": 10.0, **more}
    return Candidate(name=name, scores={f"fold{n}": x for n, x in enumerate(scores)}, **given)


def page_of(*candidates: Candidate, **more) -> str:
    given = {"title": "Sweep", "metric": "uar", "part": "valid", "importances": {}, **more}
    return render_comparison(Comparison(candidates=candidates, **given))


def test_the_cheapest_is_level_with_the_best_over_the_trainings_that_both_had():
    best = candidate("best", 0.9, 0.5, 0.7, parameters=900.0)
    near = candidate("near", 0.88, 0.52, 0.69, parameters=100.0)  # differs by 0.003 ± 0.012
    far = candidate("far", 0.8, 0.4, 0.6, parameters=1.0)  # always 0.1 below
    single = Candidate(name="one", strategy="", varied={}, scores={"fold0": 0.1}, parameters=0.0)
    assert find_cheapest([far, near, best, single]).name == "near"


def test_only_trainings_of_one_name_are_paired():
    (pair,) = compare_pairs([("a", {"x": 0.9, "y": 0.8}), ("b", {"x": 0.5, "y": 0.6, "z": 1.0})])
    assert (pair.num_trainings, pair.difference) == (2, pytest.approx(0.3))


def test_each_strategy_has_a_row_with_its_best_filled_and_its_folds():
    page = page_of(
        candidate("trial 0", 0.5, 0.6, strategy="early"),
        candidate("trial 1", 0.7, 0.8, strategy="late"),
        candidate("trial 2", 0.6, 0.6, strategy="late"),
    )
    places = re.findall(r'<circle class="(best)?" cx="([\d.]+)"', page)
    assert places == [("", "25.0"), ("best", "100.0"), ("best", "0.0")]  # 60 of 55 to 75
    assert '<tr><th scope="row">late</th><td class="number">2</td><td>trial 1</td>' in page
    assert '75.0 ± 7.1</td><td class="number">70.0</td><td class="number">80.0</td>' in page


def test_the_best_line_is_drawn_last_and_darkest():
    page = page_of(
        candidate("good", 0.8, varied={"rate": 0.1, "fusion": "late"}),
        candidate("poor", 0.6, varied={"rate": 0.001, "fusion": "early"}),
        importances={"rate": 0.9, "fusion": 0.1},
    )
    lines = re.findall(r'<polyline points="([^"]+)" stroke-opacity="([^"]+)"', page)
    # rate, which is logarithmic and matters most, comes first; then fusion, then the score
    assert lines == [("60,100.0 180,100.0 300,100.0", "0.12"), ("60,0.0 180,0.0 300,0.0", "1.0")]


def test_names_are_shown_as_they_are_and_nothing_is_loaded():
    page = page_of(candidate("<script>alert(1)</script>", 0.5), candidate("b", 0.4))
    assert "<script>alert(1)</script>" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "default-src &#39;none&#39;" in page
    assert not re.search(r'(src|href)="(?!#|data:)', page)


def test_ranks_on_test_are_compared_where_three_were_tested():
    tested = [candidate(str(n), 0.5 + n / 10, tested=0.9 - n / 10) for n in range(3)]
    assert "agree by -1.00 (Spearman)" in page_of(*tested)
    assert "Spearman" not in page_of(*tested[:2])
