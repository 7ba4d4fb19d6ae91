"""Votes of raters in the utterance table: how a cell is read and written."""

import pytest

from conversation_emotion.utterances.votes import Ballot, read_votes, write_votes


def test_a_vote_for_several_emotions_is_divided_among_them():
    assert read_votes('[{"rater": "ann", "emotions": ["anger", "calm", "anger"]}]') == [
        Ballot("ann", {"anger": 0.5, "calm": 0.5})
    ]


def test_counts_are_raters_that_are_not_told_apart_and_shares_are_one():
    assert [one.shares for one in read_votes('{"anger": 2, "calm": 1, "fear": 0}')] == [
        {"anger": 1},
        {"anger": 1},
        {"calm": 1},
    ]
    assert read_votes('{"anger": 0.75, "calm": 0.25}') == [
        Ballot("#1", {"anger": 0.75, "calm": 0.25})
    ]


def test_what_is_written_is_read_and_who_named_nothing_has_no_vote():
    cell = write_votes({"ann": ["calm"], "bob": []}.items())
    assert cell is not None
    assert read_votes(cell) == [Ballot("ann", {"calm": 1.0})]
    assert write_votes({"bob": []}.items()) is None


@pytest.mark.parametrize(
    "cell",
    [
        "anger",
        "3",
        '["anger"]',
        '[{"rater": "ann"}]',
        '[{"rater": "ann", "emotions": "anger"}]',
        '{"anger": -1}',
        '{"anger": NaN}',
        '{"anger": true}',
        pytest.param('{"anger": ' * 100_000, id="deep"),
        '[{"rater": "ann", "emotions": ["x"], "weight": "2"}]',
    ],
)
def test_a_cell_that_is_no_votes_is_shown_with_what_is_expected(cell):
    with pytest.raises(
        ValueError, match=r"votes are .*expected JSON such as \[\{\"rater\""
    ) as error:
        read_votes(cell)
    assert repr(cell[:80]) in str(error.value)
