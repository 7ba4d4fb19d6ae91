"""Published splits of single utterances: theirs to the row where their files or rules say so."""

import json
from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch

from conversation_emotion.splits.protocols import SplitOptions, make_split
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
            "audio": f"{session}/s{session}d{dialogue}u{order}.wav",
            "emotion": "angry" if order < 2 else "sad",
        }
        for session, dialogue, order in product(range(4), range(6), range(4))
    ]
    return build_utterances(rows, "dyads")


def write_superb_folds(folder, dyads: pd.DataFrame) -> None:
    for session in range(4):
        is_test = dyads["session"] == f"s{session}"
        place = folder / f"Session{session + 1}"
        place.mkdir(parents=True)
        for part, rows in (("test", dyads[is_test]), ("train", dyads[~is_test])):
            entries = [
                {"path": f"Session/sentences/wav/x/{name}.wav", "label": "neu", "speaker": "x"}
                for name in rows["utterance_id"]
            ]
            text = json.dumps({"labels": {"neu": 0}, "meta_data": entries})
            (place / f"{part}_meta_data.json").write_text(text)


def test_superb_validates_on_the_utterances_that_s3prl_draws(dyads, tmp_path):
    write_superb_folds(tmp_path, dyads)
    split = make_split("superb", dyads, SplitOptions(superb_folds=tmp_path))
    listed = list(range(24, 96))  # the train list of the first fold, in its own order
    torch.manual_seed(0)
    train, valid = torch.utils.data.random_split(listed, [57, 15])  # type: ignore[arg-type]
    assert split.folds[0].name == "Session1"
    assert split.folds[0].train.tolist() == [listed[place] for place in train.indices]
    assert split.folds[0].valid.tolist() == [listed[place] for place in valid.indices]
    assert split.folds[0].test.tolist() == list(range(24))
    assert split.notes == ("train and valid share dialogues, as published",)


def test_superb_without_its_files_names_where_it_looked(dyads, tmp_path):
    with pytest.raises(FileNotFoundError, match=f"no Session.* under {tmp_path}"):
        make_split("superb", dyads, SplitOptions(superb_folds=tmp_path))


def test_superb_names_an_utterance_that_the_corpus_lacks(dyads, tmp_path):
    write_superb_folds(tmp_path, dyads)
    with pytest.raises(ValueError, match="lists 1 utterances that the corpus lacks.*'s0d0u0'"):
        make_split("superb", dyads.iloc[1:], SplitOptions(superb_folds=tmp_path))


def test_emotion2vec_draws_a_fifth_of_the_labelled_utterances_of_the_other_sessions(dyads):
    labelled = np.arange(0, 96, 2)
    split = make_split("emotion2vec-session", dyads, SplitOptions(target_rows=labelled))
    first = split.folds[0]
    assert first.test.tolist() == list(range(0, 24, 2))
    assert (len(first.train), len(first.valid)) == (28, 8)  # 80 % of 36, cut
    assert sorted([*first.train, *first.valid]) == list(range(24, 96, 2))
    assert split.notes == ("train and valid share dialogues, as published",)


def test_emotion2vec_trains_on_all_speakers_but_the_tested_one_and_their_partner(dyads):
    split = make_split("emotion2vec-speaker", dyads)
    first = split.folds[0]
    speakers = [set(dyads["speaker"].iloc[part]) for part in (first.train, first.valid, first.test)]
    assert speakers == [{f"s{n}{who}" for n in (1, 2, 3) for who in "FM"}, {"s0M"}, {"s0F"}]
    assert len(split.folds) == 8
    assert split.notes == ("valid and test share dialogues, as published",)


@pytest.mark.parametrize("session", [None, "s0"])
def test_emotion2vec_refuses_speakers_where_some_sessions_are_missing(dyads, session):
    sessions = dyads["session"].where(dyads.index != 50, session)
    with pytest.raises(ValueError, match="emotion2vec-speaker: needs two sessions or more of two"):
        make_split("emotion2vec-speaker", dyads.assign(session=sessions))


def test_emobox_trains_on_what_the_official_split_does_not_test(dyads):
    table = dyads.assign(split=["train"] * 60 + ["test"] * 36)
    (fold,) = make_split("emobox", table).folds
    assert fold.test.tolist() == list(range(60, 96))
    assert sorted([*fold.train, *fold.valid]) == list(range(60))


def test_emobox_leaves_out_each_of_few_even_speakers(dyads):
    few = dyads[dyads["session"].isin(["s0", "s1"])].assign(session=None).reset_index(drop=True)
    few = few.assign(emotion=["angry", "angry", "sad", "sad"] * 12)
    split = make_split("emobox", few)
    assert [fold.name for fold in split.folds] == ["s0F", "s0M", "s1F", "s1M"]
    assert all((few["speaker"].iloc[fold.test] == fold.name).all() for fold in split.folds)
    assert split.validation.endswith("speakers left out")


def test_emobox_puts_many_even_speakers_into_groups_of_four(dyads):
    split = make_split("emobox", dyads.assign(session=None))
    assert [dyads["speaker"].iloc[fold.test].nunique() for fold in split.folds] == [4, 4]


def test_emobox_tests_a_quarter_of_each_emotion_where_speakers_are_uneven_and_notes_it(dyads):
    uneven = dyads.assign(session=None, emotion=["angry"] * 41 + ["sad"] * 55)
    split = make_split("emobox", uneven)
    tested = uneven["emotion"].iloc[split.folds[0].test].value_counts()
    assert tested.to_dict() == {"angry": 10, "sad": 13}
    assert any("8 of 8 test speakers also speak in train" in note for note in split.notes)


def test_emobox_reads_its_own_lists_by_recording(dyads, tmp_path):
    place = tmp_path / "fold_1"
    place.mkdir()
    for part, rows in (("train", dyads[24:]), ("test", dyads[:24])):
        lines = [json.dumps({"wav": f"downloads/{path}"}) for path in rows["audio"]]
        (place / f"dyads_{part}_fold_1.jsonl").write_text("\n".join(lines) + "\n")
    split = make_split("emobox", dyads, SplitOptions(emobox_folds=tmp_path))
    assert split.folds[0].test.tolist() == list(range(24))
    assert len(split.folds[0].train) == 57
    with pytest.raises(ValueError, match="lists 1 utterances that the corpus lacks.*'s0d0u0'"):
        make_split("emobox", dyads.iloc[1:], SplitOptions(emobox_folds=tmp_path))
    with pytest.raises(FileNotFoundError, match="pass a corpus' folder of EmoBox's data"):
        make_split("emobox", dyads, SplitOptions(emobox_folds=place))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("emotion2vec-session", "two sessions or more, got 0 and 96 utterances without"),
        ("emotion2vec-speaker", "two sessions or more of two speakers each, got 0 sessions"),
        ("superb", "pass s3prl's meta_data folder with --superb-folds"),
    ],
)
def test_a_published_split_names_what_the_corpus_lacks(dyads, name, message):
    with pytest.raises(ValueError, match=message):
        make_split(name, dyads.assign(session=None))
