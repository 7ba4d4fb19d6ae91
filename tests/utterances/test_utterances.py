"""The contract of the utterance table."""

import re

import pytest

from conversation_emotion.utterances.table import COLUMNS, build_utterances, has_text


def row(utterance_id: str, order: int, **more: object) -> dict[str, object]:
    return {
        "utterance_id": utterance_id,
        "dialogue_id": "d",
        "order": order,
        "speaker": "ann",
        **more,
    }


def test_absent_columns_are_filled_and_rows_put_in_order():
    table = build_utterances([row("b", 1), row("a", 0, text="hello", mood="good")], "toy")
    assert table["utterance_id"].tolist() == ["a", "b"]
    assert table.columns.tolist() == [*COLUMNS, "mood"]
    assert table["text"].isna().tolist() == [False, True]
    assert table["start"].isna().all()


def test_without_dialogues_each_utterance_is_its_own():
    table = build_utterances([{"utterance_id": name, "speaker": "ann"} for name in "ba"], "toy")
    assert table["dialogue_id"].tolist() == ["a", "b"]
    assert table["order"].tolist() == [0, 0]


def test_white_space_is_no_text():
    table = build_utterances([row("a", 0, text="  "), row("b", 1, text="no"), row("c", 2)], "toy")
    assert has_text(table).tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "toy: no utterances found"),
        ([row("a", 0), row("a", 1)], "toy: 1 utterance ids repeat, first 'a'"),
        ([row("a", 0), row("b", 2)], "dialogue 'd' has orders [0, 2], expected 0 to 1 without"),
        ([row("a", 0, split="dev")], "unknown split, first 'dev'; allowed are train, valid, test"),
        ([row("a", 0, gender="x")], "unknown gender, first 'x'; allowed are female, male, other"),
        ([row("a", 0, start=3.0, end=2.0)], "utterance 'a' ends at 2.0 s, before it starts at 3.0"),
        ([row("a", 0, speaker=None)], "1 rows have no speaker, first row 0"),
    ],
)
def test_broken_contract_is_named(rows, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        build_utterances(rows, "toy")


def test_an_order_without_the_dialogue_that_it_is_of_is_an_error():
    rows = [{"utterance_id": f"u{number}", "order": number, "speaker": "A"} for number in range(2)]
    with pytest.raises(ValueError, match="toy: 2 rows have no dialogue_id"):
        build_utterances(rows, "toy")
