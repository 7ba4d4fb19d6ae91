"""Windows: the visible context of each target utterance, and the roles of who speaks."""

import numpy as np
import pandas as pd
import pytest

from conversation_emotion.datasets.windows import (
    INTERLOCUTOR,
    PADDING,
    SPEAKER,
    SPECTATOR,
    assign_roles,
    build_training_windows,
    build_windows,
    find_unfinished,
    single_utterances,
)
from conversation_emotion.utterances.labels import IGNORED
from conversation_emotion.utterances.table import build_utterances


def talk(speakers: str, dialogue: str = "d") -> pd.DataFrame:
    rows = [
        {
            "utterance_id": f"{dialogue}{order}",
            "dialogue_id": dialogue,
            "order": order,
            "speaker": speaker,
        }
        for order, speaker in enumerate(speakers)
    ]
    return build_utterances(rows, "toy")


def contexts(windows) -> dict[int, list[int]]:
    return {
        int(target): [int(row) for row in rows if row != PADDING]
        for target, rows in zip(windows.target_rows, windows.rows, strict=True)
    }


def test_prediction_takes_the_first_utterance_of_each_turn_from_the_turns_before():
    # Turns: A = 0, B = 1 2, A = 3 4, B = 5.
    windows = build_windows(talk("ABBAAB"), np.zeros(6, int))
    assert contexts(windows) == {1: [0], 3: [0, 1, 2], 5: [0, 1, 2, 3, 4]}


def test_history_counts_turns_and_not_utterances():
    windows = build_windows(talk("ABBAAB"), np.zeros(6, int), history=2)
    assert contexts(windows)[5] == [1, 2, 3, 4]
    assert windows.turns_back[-1].tolist() == [2, 2, 1, 1]


def test_a_wider_horizon_leaves_out_the_turns_between():
    windows = build_windows(talk("ABBAAB"), np.zeros(6, int), horizon=2)
    assert contexts(windows) == {3: [0], 5: [0, 1, 2]}
    assert windows.turns_back[1].tolist() == [3, 2, 2]


def test_the_context_of_recognition_ends_with_the_target_itself():
    windows = build_windows(talk("ABBA"), np.zeros(4, int), horizon=0)
    assert contexts(windows) == {0: [0], 1: [0, 1], 2: [0, 1, 2], 3: [0, 1, 2, 3]}
    assert windows.turns_back[2].tolist() == [1, 0, 0, PADDING]


def test_unlabelled_turns_are_context_but_no_targets():
    classes = np.array([IGNORED, IGNORED, 2])
    windows = build_windows(talk("ABA"), classes)
    assert contexts(windows) == {2: [0, 1]}
    assert windows.targets.tolist() == [2]


def test_windows_stay_inside_their_dialogue():
    table = build_utterances(
        pd.concat([talk("AB", "d"), talk("AB", "e")]).to_dict("records"),  # type: ignore[arg-type]
        "toy",
    )
    assert contexts(build_windows(table, np.zeros(4, int))) == {1: [0], 3: [2]}


def test_later_utterances_of_a_turn_have_its_earlier_ones_as_context_in_training():
    windows = build_windows(talk("ABBA"), np.zeros(4, int), every_utterance=True)
    assert contexts(windows) == {1: [0], 2: [0, 1], 3: [0, 1, 2]}
    assert windows.turns_back[1].tolist() == [1, 0, PADDING]


def test_a_wider_horizon_has_the_same_context_for_a_whole_turn():
    windows = build_windows(talk("ABAA"), np.zeros(4, int), horizon=2, every_utterance=True)
    assert contexts(windows) == {2: [0], 3: [0]}


def test_training_windows_are_more_than_the_targets_but_without_a_class():
    table, classes = talk("ABAB"), np.array([0, IGNORED, 1, 0])
    emotions = np.array([4, 5, 6, 4])
    windows = build_training_windows(table, classes, emotions, history=6, horizon=1)
    assert windows.target_rows.tolist() == [1, 2, 3]
    assert windows.targets.tolist() == [IGNORED, 1, 0]


def test_selection_keeps_the_windows_of_a_part():
    windows = build_windows(talk("ABAB"), np.array([0, 1, 0, 1]))
    chosen = windows.select(np.array([1, 2]))
    assert chosen.target_rows.tolist() == [1, 2]
    assert chosen.rows.tolist() == [[0, PADDING], [0, 1]]
    assert chosen.roles.shape == chosen.turns_back.shape == (2, 2)
    assert windows.select(np.array([], int)).rows.shape == (0, 1)


def test_the_partner_is_who_spoke_most_and_the_latest_of_equals():
    assert assign_roles(list("BCBA"), "A") == [INTERLOCUTOR, SPECTATOR, INTERLOCUTOR, SPEAKER]
    assert assign_roles(list("BC"), "A") == [SPECTATOR, INTERLOCUTOR]
    assert assign_roles(list("AA"), "A") == [SPEAKER, SPEAKER]


def test_a_single_utterance_is_its_own_context_and_only_if_it_has_a_class():
    windows = single_utterances(np.array([1, IGNORED, 0, 1]))
    assert windows.rows.tolist() == [[0], [2], [3]]
    assert windows.target_rows.tolist() == [0, 2, 3]
    assert windows.targets.tolist() == [1, 0, 1]
    assert windows.roles.tolist() == [[SPEAKER]] * 3
    assert windows.turns_back.tolist() == [[0]] * 3


def test_utterances_none_of_which_is_a_class_say_so():
    with pytest.raises(ValueError, match="none of 2 utterances has an emotion that is a class"):
        single_utterances(np.array([IGNORED, IGNORED]))


TIMES = {"start": [0.0, 2.0, 4.0, 5.0], "end": [2.0, 4.5, 4.8, 6.0]}
"""The second utterance ends half a second after the third began."""


def test_prediction_masks_what_ends_after_the_target_began_and_keeps_the_rest():
    table = talk("ABAB").assign(**TIMES)
    windows = build_windows(table, np.zeros(4, int))
    assert contexts(windows) == {1: [0], 2: [0, 1], 3: [0, 1, 2]}
    assert windows.masked.tolist() == [[False] * 3, [False, True, False], [False] * 3]
    assert windows.select(np.array([2])).masked.tolist() == [[False, True]]
    more = build_training_windows(table, np.zeros(4, int), np.zeros(4, int), history=6, horizon=1)
    assert more.masked.tolist() == windows.masked.tolist()
    assert not build_windows(table, np.zeros(4, int), overlap="keep").masked.any()
    assert not build_windows(table, np.zeros(4, int), horizon=0).masked.any()


@pytest.mark.parametrize(
    ("changes", "unfinished", "known"),
    [
        ({"audio": "a.wav"}, [True, True], [True, True]),  # all three are the whole recording
        ({"audio": "a.wav", "offset": [0.0, 2.0, 4.0]}, [True, True], [True, True]),
        (
            {"audio": "a.wav", "offset": [0.0, 2.0, 4.0], "duration": [2.0, 2.5, 1.0]},
            [False, True],
            [True, True],
        ),
        ({"audio": ["a.wav", "b.wav", "b.wav"]}, [False, True], [False, True]),
        ({"audio": ["a.wav", "b.wav", "c.wav"]}, [False, False], [False, False]),
        ({"start": [0.0, 4.0, 4.0], "end": [4.0005, 6.0, 6.0]}, [False, True], [True, True]),
        ({"start": [0.0, 2.0, None], "end": [9.0, 9.0, None]}, [False, False], [False, False]),
    ],
)
def test_two_clocks_tell_what_is_finished_that_of_the_dialogue_and_that_of_a_recording(
    changes, unfinished, known
):
    windows = build_windows(talk("ABA").assign(**changes), np.array([IGNORED, IGNORED, 0]))
    found = find_unfinished(talk("ABA").assign(**changes), windows)
    assert [one[0].tolist() for one in found] == [unfinished, known]


def test_a_table_without_conversation_is_refused():
    with pytest.raises(ValueError, match="no labelled utterance has a turn 1 before it"):
        build_windows(talk("AAA"), np.zeros(3, int))
