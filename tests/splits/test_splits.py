"""Splits by name and the audit that every fold passes."""

from itertools import product

import numpy as np
import pandas as pd
import pytest

from conversation_emotion.splits.protocols import (
    SPLITS,
    Fold,
    LeakageError,
    SplitOptions,
    audit_fold,
    make_split,
)
from conversation_emotion.utterances.table import build_utterances


@pytest.fixture
def dyads() -> pd.DataFrame:
    """Four sessions of two people, six dialogues each, two utterances by each speaker."""
    rows = [
        {
            "utterance_id": f"s{session}d{dialogue}u{order}",
            "dialogue_id": f"s{session}d{dialogue}",
            "order": order,
            "speaker": f"s{session}{'FM'[order % 2]}",
            "session": f"s{session}",
            "split": "train" if session < 3 else "test",
        }
        for session, dialogue, order in product(range(4), range(6), range(4))
    ]
    return build_utterances(rows, "dyads")


def values(table: pd.DataFrame, rows, column: str) -> set[str]:
    return set(table[column].iloc[rows])


def fold(train, valid, test) -> Fold:
    return Fold(name="f", **{k: np.array(v) for k, v in locals().items() if k != "name"})


@pytest.mark.parametrize("name", ["leave-one-session-out", "leave-one-speaker-out", "official"])
def test_parts_share_neither_dialogue_nor_test_speaker(dyads, name):
    for one in make_split(name, dyads).folds:
        for a, b in (("train", "test"), ("valid", "test"), ("train", "valid")):
            left, right = getattr(one, a), getattr(one, b)
            assert not values(dyads, left, "dialogue_id") & values(dyads, right, "dialogue_id")
        learning = np.concatenate([one.train, one.valid])
        assert not values(dyads, learning, "speaker") & values(dyads, one.test, "speaker")


def test_leaving_a_session_out_tests_each_utterance_once(dyads):
    tested = np.concatenate([one.test for one in make_split("leave-one-session-out", dyads).folds])
    assert sorted(tested) == list(range(len(dyads)))


def test_leaving_a_speaker_out_also_leaves_the_partner_out_of_train(dyads):
    first = make_split("leave-one-speaker-out", dyads).folds[0]
    assert first.name == "s0F"
    assert values(dyads, first.test, "speaker") == {"s0F"}
    assert "s0M" not in values(dyads, np.concatenate([first.train, first.valid]), "speaker")


def test_a_fifth_of_the_train_dialogues_validates(dyads):
    one = make_split("leave-one-session-out", dyads).folds[0]
    # 18 dialogues of 4 utterances are left; a fifth of 72 utterances is 14.4: four dialogues.
    assert len(one.valid) == 16
    assert len(one.train) == 56


@pytest.mark.parametrize(("tested", "validates"), [("p0", "p1"), ("p2", "p3"), ("p3", "p0")])
def test_the_next_speaker_validates_with_all_that_they_say(tested, validates):
    rows = [
        {"utterance_id": f"p{u % 4}-{u}", "dialogue_id": f"{u}", "order": 0, "speaker": f"p{u % 4}"}
        for u in range(20)
    ]
    table = build_utterances(rows, "monologues")
    split = make_split("leave-one-speaker-out", table, SplitOptions(valid="speaker"))
    [one] = [one for one in split.folds if one.name == tested]
    assert values(table, one.test, "speaker") == {tested}
    assert values(table, one.valid, "speaker") == {validates}
    assert len(one.valid) == 5
    assert values(table, one.train, "speaker") == {"p0", "p1", "p2", "p3"} - {tested, validates}
    assert split.validation == "the dialogues of one train speaker, the next after the tested"


def test_one_further_fold_validates_and_is_not_trained_on():
    rows = [
        {"utterance_id": f"{u}", "dialogue_id": f"{u}", "order": 0, "speaker": f"p{u % 10}"}
        for u in range(40)
    ]
    table = build_utterances(rows, "songs")
    split = make_split("speaker-k-fold", table, SplitOptions(valid="fold"))
    tested = [values(table, one.test, "speaker") for one in split.folds]
    for number, one in enumerate(split.folds):
        assert values(table, one.valid, "speaker") == tested[(number + 1) % 5]
        rest = [tested[(number + step) % 5] for step in (2, 3, 4)]
        assert values(table, one.train, "speaker") == set().union(*rest)
        assert len(one.train) + len(one.valid) + len(one.test) == 40
    assert split.validation == "one further fold, the next after the tested"


def test_a_further_fold_needs_three(dyads):
    with pytest.raises(ValueError, match="a further one to validate leave none of 2 to train on"):
        make_split("speaker-k-fold", dyads, SplitOptions(num_folds=2, valid="fold"))


def test_speaker_folds_keep_partners_together(dyads):
    split = make_split("speaker-k-fold", dyads, SplitOptions(num_folds=4))
    groups = [values(dyads, one.test, "session") for one in split.folds]
    assert sorted(map(len, groups)) == [1, 1, 1, 1]
    assert set().union(*groups) == {"s0", "s1", "s2", "s3"}


def test_speaker_folds_part_partners_only_where_there_are_too_few_circles(dyads):
    split = make_split("speaker-k-fold", dyads, SplitOptions(num_folds=8))
    assert sorted(len(values(dyads, one.test, "speaker")) for one in split.folds) == [1] * 8


def test_a_dialogue_on_both_sides_raises(dyads):
    with pytest.raises(LeakageError, match="dialogue 's0d0' is both in train and in test"):
        audit_fold(dyads, fold([0, 4], [8], [1, 60]), "mine")


def test_a_dialogue_that_selects_and_tests_raises(dyads):
    with pytest.raises(LeakageError, match="dialogue 's3d0' is both in valid and in test"):
        audit_fold(dyads, fold([0], [72], [73]), "official")


def test_a_speaker_on_both_sides_raises(dyads):
    with pytest.raises(LeakageError, match=r"speaker 's0F' is both in train and in test of fold"):
        audit_fold(dyads, fold([0], [24], [4]), "mine")


def test_an_official_split_that_shares_speakers_notes_it(dyads):
    notes = audit_fold(dyads, fold([0], [24], [4, 48]), "official")
    assert notes == [
        "1 of 2 test speakers also speak in train (the corpus' own split): not speaker-independent"
    ]


def test_an_empty_part_raises(dyads):
    with pytest.raises(LeakageError, match="mine: the valid part of fold 'f' is empty"):
        audit_fold(dyads, fold([0], [], [60]), "mine")


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("random", {}, "unknown split 'random'; choose from official"),
        ("official", {"split": None}, "no utterance has the split 'train'"),
        ("leave-one-session-out", {"session": "only"}, "got 1 and 0 utterances without"),
        ("leave-one-speaker-out", {"speaker": "me"}, "needs two speakers or more, got 1"),
        ("superb", {}, "pass s3prl's meta_data folder with --superb-folds"),
    ],
)
def test_a_split_that_cannot_be_made_names_what_it_lacks(dyads, name, change, message):
    with pytest.raises(ValueError, match=message):
        make_split(name, dyads.assign(**change))


def test_more_folds_than_speakers_is_an_error(dyads):
    with pytest.raises(ValueError, match="9 folds need as many speakers, got 8; lower --num-folds"):
        make_split("speaker-k-fold", dyads, SplitOptions(num_folds=9))


def test_shuffled_folds_test_each_dialogue_once_share_speakers_and_say_so(dyads):
    split = make_split("shuffled-k-fold", dyads, SplitOptions(num_folds=4))
    tested = np.concatenate([fold.test for fold in split.folds])
    assert sorted(tested) == list(range(len(dyads)))
    for fold in split.folds:
        parts = [
            set(dyads["dialogue_id"].iloc[rows]) for rows in (fold.train, fold.valid, fold.test)
        ]
        assert sum(map(len, parts)) == len(set.union(*parts))
    assert any("folds are shuffled over them" in note for note in split.notes)
    with pytest.raises(ValueError, match="999 folds need as many dialogues, got"):
        make_split("shuffled-k-fold", dyads, SplitOptions(num_folds=999))


@pytest.mark.parametrize("seed", [0, 3])
def test_folds_are_dealt_as_scikit_learn_shuffles_groups(dyads, seed):
    from sklearn.model_selection import GroupKFold

    dealt = GroupKFold(5, shuffle=True, random_state=seed).split(dyads, groups=dyads["dialogue_id"])
    split = make_split("shuffled-k-fold", dyads, SplitOptions(num_folds=5, seed=seed))
    for fold, (_, test) in zip(split.folds, dealt, strict=True):
        assert fold.test.tolist() == test.tolist()


def test_a_speaker_who_is_everywhere_cannot_be_left_out(dyads):
    everywhere = dyads.assign(speaker=["me" if n % 2 else f"s{n}" for n in range(len(dyads))])
    with pytest.raises(ValueError, match="fold 'me': every dialogue has a speaker of the test"):
        make_split("leave-one-speaker-out", everywhere)


def test_every_split_is_reachable_by_name():
    assert set(SPLITS) == {
        "official",
        "leave-one-session-out",
        "leave-one-speaker-out",
        "shuffled-k-fold",
        "speaker-k-fold",
        "superb",
        "emotion2vec-session",
        "emotion2vec-speaker",
        "emobox",
        "recording-prefix",
    }


@pytest.fixture
def recorded() -> pd.DataFrame:
    """Two sessions as IEMOCAP names them: each actor wears the markers in four dialogues."""
    rows = [
        {
            "utterance_id": f"Ses0{session}{marked}_impro0{dialogue}_{speaker}000",
            "dialogue_id": f"Ses0{session}{marked}_impro0{dialogue}",
            "order": order,
            "speaker": f"Ses0{session}_{speaker}",
            "session": f"Ses0{session}",
        }
        for session, marked, dialogue in product((1, 2), "FM", range(4))
        for order, speaker in enumerate("FM")
    ]
    return build_utterances(rows, "iemocap")


def test_recording_prefixes_share_people_and_say_so(recorded):
    split = make_split("recording-prefix", recorded)
    assert [one.name for one in split.folds] == ["01F", "01M", "02F", "02M"]
    for one in split.folds:
        assert {name[3:6] for name in values(recorded, one.test, "dialogue_id")} == {one.name}
        assert len(values(recorded, one.test, "speaker")) == 2
        everyone = np.concatenate([one.train, one.valid, one.test])
        assert sorted(everyone) == list(range(len(recorded)))
    assert any("2 of 2 test speakers also speak in train" in note for note in split.notes)


def test_recording_prefixes_may_share_people_but_no_dialogue(recorded):
    with pytest.raises(LeakageError, match="recording-prefix: dialogue 'Ses01F_impro00' is both"):
        audit_fold(recorded, fold([0, 8], [10], [1, 2]), "recording-prefix")


def test_recording_prefixes_need_ids_of_iemocap(dyads):
    with pytest.raises(ValueError, match=r"recording-prefix: needs dialogues named.*'s0d0'"):
        make_split("recording-prefix", dyads)
