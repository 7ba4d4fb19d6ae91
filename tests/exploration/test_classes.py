"""Classes by speaker, part and dialogue, and how far these tell them."""

import numpy as np
import pandas as pd
import pytest

from conversation_emotion.exploration.classes import (
    MOST_CLASSES,
    MOST_GROUPS,
    count_by,
    find_classes,
    group_classes,
    measure_association,
)
from conversation_emotion.utterances.table import build_utterances


def make_table(**columns: list) -> pd.DataFrame:
    count = len(next(iter(columns.values())))
    table = pd.DataFrame({"utterance_id": [f"u{n:03}" for n in range(count)], "speaker": "A"})
    return build_utterances(table.assign(**columns).to_dict("records"), "made")  # type: ignore[arg-type]


def test_classes_are_counted_by_group_and_the_unlabelled_apart():
    table = make_table(
        emotion=["sad", "angry", None, "sad"],
        speaker=["B", "A", "B", "B"],
        split=["test", "train", "train", "valid"],
    )
    split, speaker = group_classes(table, find_classes(table, "emotion"))
    assert [(one.name, one.counts, one.num_unlabelled) for one in speaker.groups] == [
        ("A", (1, 0), 0),
        ("B", (0, 2), 1),
    ]
    assert [one.name for one in split.groups] == ["train", "valid", "test"]


def test_many_classes_and_groups_are_bounded_and_the_rest_is_counted():
    count = MOST_CLASSES + 2
    emotions = [f"e{n:02}" for n in range(count) for _ in range(2)] + [f"e{count - 1}"]
    speakers = [str(n) for n in range(len(emotions))]
    table = make_table(emotion=emotions, speaker=speakers)
    classes = find_classes(table, "emotion")
    assert classes.labels[-2:] == (f"e{count - 1}", "2 rarer ones")
    assert classes.counts[-1] == 4
    found = count_by(table, classes, "speaker")
    assert (len(found.groups), found.num_groups) == (MOST_GROUPS, len(speakers))


def test_sentiments_that_are_numbers_have_the_class_of_their_sign():
    classes = find_classes(make_table(sentiment=["-2.5", "0", "1", None]), "sentiment")
    assert classes.labels == ("negative", "neutral", "positive")
    assert classes.numbers.tolist() == [0, 1, 2, -1]


def test_a_target_that_is_no_column_of_names_is_refused():
    table = make_table(arousal=list(np.linspace(1, 5, 30)))
    with pytest.raises(
        ValueError, match="--target mood: the table has no such column, it has corp"
    ):
        find_classes(table, "mood")
    with pytest.raises(ValueError, match="--target arousal: 30 different numbers, expected names"):
        find_classes(table, "arousal")


def test_a_group_that_tells_the_class_is_associated_and_chance_is_not():
    assert measure_association(np.diag([50, 50])) == pytest.approx(1.0, abs=1e-6)
    assert measure_association(np.full((2, 3), 20)) == 0.0
    assert measure_association(np.array([[4, 0], [3, 0]])) is None
    # Of 20 speakers with 5 utterances each by chance, the uncorrected number is 0.44.
    counts = np.random.default_rng(0).multinomial(5, [1 / 4] * 4, size=20)
    assert (measure_association(counts) or 0) < 0.15
