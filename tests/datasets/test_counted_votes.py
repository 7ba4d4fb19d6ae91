"""Votes of raters counted by the classes of a label map."""

import json

import numpy as np
import pandas as pd
import pytest

from conversation_emotion.datasets.votes import count_votes
from conversation_emotion.utterances.labels import LabelMap

ANGER_NEUTRAL = LabelMap(
    corpus="mine",
    label_set="all",
    labels=("angry", "neutral"),
    classes={"anger": "angry", "rage": "angry", "calm": "neutral"},
    dropped=("fear",),
)


def make_table(*cells: object) -> pd.DataFrame:
    votes = [cell if isinstance(cell, str | None) else json.dumps(cell) for cell in cells]
    return pd.DataFrame({"utterance_id": [*"abcdefgh"][: len(cells)], "votes": votes})


def by(rater: str, *emotions: str, **more: float) -> dict[str, object]:
    return {"rater": rater, "emotions": emotions, **more}


def test_a_rater_who_votes_twice_is_an_error_that_names_the_utterance():
    table = make_table(None, [by("ann", "anger"), by("ann", "calm")])
    with pytest.raises(ValueError, match="utterance 'b': votes name the rater 'ann' more than on"):
        count_votes(table, ANGER_NEUTRAL)


def test_shares_are_of_the_votes_for_classes_and_weights_count():
    votes = count_votes(
        make_table(
            [by("ann", "anger"), by("bob", "rage", "calm"), by("cem", "fear")],
            [by("ann", "anger", weight=3), by("bob", "calm")],
            [by("ann", "fear")],
            None,
        ),
        ANGER_NEUTRAL,
    )
    np.testing.assert_allclose(
        votes.shares, [[0.75, 0.25], [0.75, 0.25], [np.nan] * 2, [np.nan] * 2]
    )
    # Of three votes one and a half are for anger; then three of four; then all are for fear.
    np.testing.assert_allclose(votes.agreement, [0.5, 0.75, 1.0, np.nan])
    assert votes.rows.tolist() == [0, 0, 1, 1]
    assert votes.ballots.tolist() == [[1, 0], [0.5, 0.5], [3, 0], [0, 1]]


def test_a_majority_is_the_one_class_with_most_votes():
    votes = count_votes(
        make_table({"anger": 2, "calm": 1}, {"anger": 1, "calm": 1}, {"fear": 2}), ANGER_NEUTRAL
    )
    assert votes.majority().tolist() == [0, -1, -1]


def test_what_is_odd_about_votes_is_counted():
    rows = [[by("ann", "anger"), by("bob", "bored" if n else "calm")] for n in range(9)]
    table = make_table(*rows[:7], [by("ann", "anger")])
    table = pd.concat([table, make_table([by("ann", "anger")], [by("ann", "anger")])])
    uneven = [{"rater": "bob", "emotions": {"anger": 0.6, "calm": 0.6}}]
    votes = count_votes(pd.concat([table, make_table(uneven)]), ANGER_NEUTRAL)
    assert votes.notes == (
        "votes: 18 on 11 utterances",
        "votes for what no class takes, left out: bored (6)",
        "4 utterances have one vote alone, with nobody to agree with",
        "1 votes have shares that do not add up to 1, and are scaled",
        "raters who named one emotion alone: ann (anger, 10)",
    )


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ([None, None], r"mine: no utterance has votes of raters \(column votes\)"),
        ([{"fear": 3}], r"mine: no vote is for one of angry, neutral; raters named fear \(3\)"),
    ],
)
def test_a_table_without_votes_for_the_classes_is_refused(cells, message):
    with pytest.raises(ValueError, match=message):
        count_votes(make_table(*cells), ANGER_NEUTRAL)
