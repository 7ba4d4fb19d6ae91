"""Dialogues and transitions, counted by hand."""

import numpy as np
import pandas as pd
import pytest

from conversation_emotion.exploration.classes import Classes
from conversation_emotion.exploration.dialogues import describe_dialogues, find_transitions


def make(*turns: tuple[str, str, int]) -> tuple[pd.DataFrame, Classes]:
    """Makes turns of a dialogue, a speaker and a class, below 0 without."""
    table = pd.DataFrame(turns, columns=["dialogue_id", "speaker", "number"])
    numbers = table["number"].to_numpy(np.int64)
    return table, Classes(target="emotion", labels=("a", "b"), numbers=numbers)


TURNS = (
    ("1", "X", 0),
    ("1", "Y", 1),
    ("1", "Y", 0),
    ("1", "X", 0),
    ("1", "Z", -1),
    ("1", "X", 1),
    ("2", "X", 1),
    ("2", "Y", 1),
    ("3", "X", 0),
)


def test_a_turn_follows_the_own_last_turn_and_that_of_somebody_else():
    own, other = find_transitions(*make(*TURNS))
    # Own: Y 1 to 0; X 0 to 0, then 0 to 1. Dialogues have a beginning each.
    assert (own.whose, own.counts) == ("own", ((1, 1), (1, 0)))
    # Other: Y after X's 0: 1, 0; X after Y's second 0: 0; X after Z: unknown; Y after X's 1: 1.
    assert (other.whose, other.counts) == ("other", ((2, 1), (0, 1)))


def test_what_stays_the_same_is_compared_with_chance():
    own, _ = find_transitions(*make(*TURNS))
    # Rows 2/3 and 1/3, columns 2/3 and 1/3: 4/9 + 1/9 by chance.
    assert (own.same, own.chance) == (pytest.approx(1 / 3), pytest.approx(5 / 9))
    assert own.kappa == pytest.approx((1 / 3 - 5 / 9) / (4 / 9))


def test_dialogues_of_one_turn_are_none():
    found = describe_dialogues(*make(*TURNS))
    assert found is not None
    assert (found.count, found.turns[2], found.speakers[2]) == (2, 4.0, 2.5)
    assert (found.one_class, found.same_speaker) == (0.5, pytest.approx(1 / 6))
    alone = make(("1", "X", 0), ("2", "X", 1))
    assert describe_dialogues(*alone) is None
    assert list(find_transitions(*alone)) == []
