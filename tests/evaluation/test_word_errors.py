"""Transcripts against spellings, readings and word errors worked out by hand."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from conversation_emotion.evaluation.word_errors import (
    CHARACTERS,
    count_word_errors,
    decode,
    normalise,
    score_word_errors,
    spell,
)


def test_there_are_32_characters_and_the_first_is_the_blank():
    assert len(CHARACTERS) == len(set(CHARACTERS)) == 32
    assert CHARACTERS[0] == "<pad>"
    assert set("ABCDEFGHIJKLMNOPQRSTUVWXYZ'|") < set(CHARACTERS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It's  fine, really!", "IT'S FINE REALLY"),
        ("well-known caf\u00e9", "WELL KNOWN CAFE"),
        ("Don\u2019t [LAUGHTER] go", "DON'T GO"),
        ("[BREATHING]", ""),
        ("at 10 o'clock", "AT 10 O'CLOCK"),
        ("- ' -", ""),
    ],
)
def test_transcripts_are_written_in_capitals_and_single_spaces(text, expected):
    assert normalise(text) == expected


def table(**texts) -> pd.DataFrame:
    return pd.DataFrame({"utterance_id": list(texts), "text": list(texts.values())})


def test_characters_without_an_index_are_unknown_and_counted():
    spellings = spell(table(a="at 10", b=None, c="  "))
    assert [CHARACTERS[index] for index in spellings.indices[0]] == [
        "A",
        "T",
        "|",
        "<unk>",
        "<unk>",
    ]
    assert [len(indices) for indices in spellings.indices] == [5, 0, 0]
    assert spellings.texts == ["AT 10", "", ""]
    assert (spellings.num_unknown, spellings.num_characters) == (2, 4)


def test_a_transcript_of_unknown_characters_alone_is_an_error():
    with pytest.raises(ValueError, match="transcript of 'b', '\u4f60\u597d 42', has none of the"):
        spell(table(a="hello", b="\u4f60\u597d 42"))


def frames(signs: str) -> np.ndarray:
    """Indices of characters, ``_`` for the blank and ``?`` for an unknown one."""
    names = {"_": "<pad>", "?": "<unk>"}
    return np.array([CHARACTERS.index(names.get(sign, sign)) for sign in signs])


@pytest.mark.parametrize(
    ("signs", "text"),
    [("HH_E_LL_L__O", "HELLO"), ("_|_A||_B|", "A B"), ("A?A", "AA"), ("___", ""), ("", "")],
)
def test_repeats_are_one_character_and_blanks_none(signs, text):
    assert decode(frames(signs)) == text


def test_word_errors_are_replaced_missing_and_additional_words():
    counts = count_word_errors(["A B C", "A B", "A"], ["A X C", "A", "A B C"])
    assert counts.tolist() == [[1, 3], [1, 2], [2, 1]]


def test_the_word_error_rate_is_that_of_all_words_of_a_fold_and_the_mean_of_folds():
    rows = [("1", 1, 4), ("1", 1, 1), ("2", 0, 3)]  # 2 of 5 words; 0 of 3
    spelt = pd.DataFrame(rows, columns=["fold", "errors", "words"])
    spelt = spelt.assign(seed=0, dialogue_id=["a", "b", "c"], utterance_id=[1, 2, 3])
    interval = score_word_errors(spelt)
    assert interval.score == pytest.approx((0.4 + 0.0) / 2)
    assert interval.n == 3
    # Without a or b the first fold has 1 or 1/4, 0.375 from their mean; the second is one dialogue,
    # 0.2 from the mean of both folds. Each counts half, with n - 1 over n and n over n - 1.
    error = math.sqrt(2 * 0.375**2 * (1 / 2) + 0.2**2 * 2) / 2
    factor = math.exp(stats.t.ppf(0.975, 3 - 1) * error / 0.2)
    assert interval.low == pytest.approx(0.2 / factor, rel=1e-4)
    assert interval.high == pytest.approx(0.2 * factor, rel=1e-4)
