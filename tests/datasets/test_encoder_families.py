"""Encoders that were tuned on people, and the refusal to test them on those."""

import json
from pathlib import Path

import pandas as pd
import pytest

from conversation_emotion.datasets.encoder_families import (
    TuningRecord,
    make_record,
    read_record,
    refuse_known_speakers,
)
from conversation_emotion.splits.folds import LeakageError, Split
from conversation_emotion.splits.protocols import make_split
from tests.conversations import make_dialogues

LABELS = ("angry", "sad")


@pytest.fixture
def people() -> pd.DataFrame:
    """Four people who each talk to themselves, in three dialogues."""
    tables = [make_dialogues(3, 2, 1).assign(speaker=f"p{person}") for person in range(4)]
    for person, table in enumerate(tables):
        table["dialogue_id"] = table["dialogue_id"].astype(str) + f"p{person}"
        table["utterance_id"] = table["utterance_id"].astype(str) + f"p{person}"
    return pd.concat(tables, ignore_index=True)


def tune_on(people: pd.DataFrame, number: int) -> TuningRecord:
    split = make_split("leave-one-speaker-out", people)
    return make_record(people, split.folds[number], split.name, "2-class", LABELS)


def test_a_record_names_the_people_of_train_and_valid(people):
    assert tune_on(people, 1).speakers == ("p0", "p2", "p3")


def test_an_encoder_is_taken_in_its_own_fold_and_refused_in_others(people):
    split = make_split("leave-one-speaker-out", people)
    record = tune_on(people, 1)
    own = Split(name=split.name, folds=(split.folds[1],), validation="")
    refuse_known_speakers(record, "tuned", people, own)
    message = (
        "tuned: was tuned on speaker 'p0' of planted .fold 'p1' of leave-one-speaker-out., whom"
    )
    with pytest.raises(LeakageError, match=message):
        refuse_known_speakers(record, "tuned", people, split)


def test_people_of_another_corpus_are_others(people):
    split = make_split("leave-one-speaker-out", people)
    record = tune_on(people, 1)
    with pytest.raises(LeakageError):
        refuse_known_speakers(record, "tuned", people, split)
    refuse_known_speakers(record, "tuned", people.assign(corpus="another"), split)


def test_a_split_that_shares_people_by_nature_takes_its_own_encoder_alone(people):
    dialogues = people["dialogue_id"].astype(str)
    official = people.assign(
        split=dialogues.str.startswith("d000").map({True: "test", False: "train"})
    )
    split = make_split("official", official)
    record = make_record(official, split.folds[0], "official", "2-class", LABELS)
    refuse_known_speakers(record, "tuned", official, split)
    with pytest.raises(LeakageError, match="whom fold 'p0' of leave-one-speaker-out tests"):
        by_speaker = make_split("leave-one-speaker-out", official)
        refuse_known_speakers(record, "tuned", official, by_speaker)


def write_config(folder: Path, config: dict[str, object]) -> str:
    (folder / "config.json").write_text(json.dumps(config))
    return str(folder)


def test_a_record_survives_a_configuration(people, tmp_path):
    record = tune_on(people, 0)
    config = record.to_config()
    assert config["id2label"] == {0: "angry", 1: "sad"}
    assert config["label2id"] == {"angry": 0, "sad": 1}
    assert read_record(write_config(tmp_path, config)) == record
    assert read_record(write_config(tmp_path, {})) is None
    assert read_record("untuned") is None


def test_a_configuration_that_is_none_is_named(tmp_path):
    (tmp_path / "config.json").write_text("<html>")
    with pytest.raises(ValueError, match=rf"{tmp_path}/config.json: is no configuration of a ch"):
        read_record(str(tmp_path))


@pytest.mark.parametrize(
    ("field", "message"), [("labels", "lacks its label map"), ("fold", "lacks its field 'fold'")]
)
def test_an_incomplete_record_is_an_error(people, tmp_path, field, message):
    config = tune_on(people, 0).to_config()
    del config["tuned_on"][field]  # type: ignore[attr-defined]
    name = write_config(tmp_path, config)
    with pytest.raises(ValueError, match=f"{name}: the record .* {message}; tune it again"):
        read_record(name)
