"""Agreement of raters, by the example that Krippendorff published."""

import json

import numpy as np
import pandas as pd
import pytest

from conversation_emotion.corpora.iemocap import load_iemocap
from conversation_emotion.exploration.classes import Classes, find_classes
from conversation_emotion.exploration.raters import measure_agreement
from tests.layouts import write_iemocap_dialogue

PUBLISHED = {
    "A": [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
    "B": [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
    "C": [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
    "D": [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
}
"""Krippendorff (2011): four observers, twelve units; alpha is 0.743 nominal, 0.849 interval."""


def make_classes(count: int) -> Classes:
    return Classes(target="emotion", labels=("all",), numbers=np.zeros(count, np.int64))


def test_alpha_is_that_of_the_published_example():
    table = pd.DataFrame(PUBLISHED)
    found = measure_agreement(table, make_classes(12), tuple("ABCD"))
    assert found is not None
    assert found.alpha == pytest.approx(0.743, abs=5e-4)
    assert (found.num_raters, found.num_rated) == (4, 11)


def test_entropy_and_ceiling_of_votes_are_those_of_a_hand_count():
    table = pd.DataFrame({"A": [*"xxx"], "B": [*"xyx"], "C": [*"xzy"], "D": [None, None, "y"]})
    found = measure_agreement(table, make_classes(3), tuple("ABCD"))
    assert found is not None
    assert found.entropy == pytest.approx((0 + np.log2(3) + 1) / 3)
    # All three name what the others name; of three that differ the others tie; of 2 : 2 each has
    # 1 : 2 against it.
    assert found.ceiling == pytest.approx((3 + 0) / (3 + 4))


def test_alpha_of_ratings_is_that_of_the_published_example():
    cells = [
        json.dumps([{"evaluator": rater, "valence": PUBLISHED[rater][row]} for rater in PUBLISHED])
        for row in range(12)
    ]
    found = measure_agreement(pd.DataFrame({"evaluators": cells}), make_classes(12))
    assert found is not None
    assert found.scales == {"valence": pytest.approx(0.849, abs=5e-4)}
    assert found.alpha is None


def test_pairs_that_agree_are_counted_by_class_and_by_rater(tmp_path):
    table = load_iemocap(write_iemocap_dialogue(tmp_path))
    found = measure_agreement(table, find_classes(table, "emotion"))
    assert found is not None
    # One utterance has two votes: neutral, half neutral and half anger; the actor's is apart.
    assert (found.num_rated, found.num_raters) == (1, 2)
    assert found.pairs == 0.5
    assert {one.name: one.agreement for one in found.raters} == {"C-E2": 0.5, "C-E4": 0.5}
    assert found.by_class == (None, 0.5)
    assert set(found.scales) == {"valence", "dominance"}


def test_no_votes_are_no_agreement_and_broken_ones_are_named():
    table = pd.DataFrame({"utterance_id": ["a", "b"], "evaluators": [None, '[{"x": 1}]']})
    with pytest.raises(ValueError, match=r"utterance 'b' has evaluators '\[\{\"x\": 1\}\]', exp"):
        measure_agreement(table, make_classes(2))
    with pytest.raises(ValueError, match="--raters ann: the table has no such column"):
        measure_agreement(table, make_classes(2), ("ann",))
    assert measure_agreement(table[["utterance_id"]], make_classes(2)) is None
    assert measure_agreement(table.assign(evaluators=None), make_classes(2)) is None
