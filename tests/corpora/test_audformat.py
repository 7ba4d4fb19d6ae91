"""The adapter of audformat's databases."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from conversation_emotion.corpora import load_corpus
from conversation_emotion.corpora.emodb import GENDERS, SENTENCES
from conversation_emotion.utterances.table import COLUMNS
from tests.layouts import write_emodb

audformat = pytest.importorskip("audformat")

# audformat 1.4 on pandas 3.1; both work.
pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword in DataFrame")

FILES = ["wav/a.wav", "wav/b.wav"]


@pytest.fixture
def database():
    """Two recordings of two speakers, whose gender is a property of theirs."""
    database = audformat.Database("mine", languages=["deu"])
    people = {"3": {"gender": "male"}, "8": {"gender": "female"}}
    database.schemes["speaker"] = audformat.Scheme(labels=people)
    database.schemes["emotion"] = audformat.Scheme(labels=["anger", "joy"])
    add(database, "files", FILES, speaker=["3", "8"], transcription=["Ja.", None])
    return database


def add(database, name: str, places: list, split_id: str | None = None, **columns: list) -> None:
    """Adds a table of recordings, or of segments if places are triples."""
    index = (
        audformat.segmented_index(*map(list, zip(*places, strict=True)))
        if isinstance(places[0], tuple)
        else audformat.filewise_index(places)
    )
    table = database[name] = audformat.Table(index, split_id=split_id)
    for column, values in columns.items():
        scheme = column if column in database.schemes else None
        table[column] = audformat.Column(scheme_id=scheme)
        table[column].set(values)


def read(database, folder: Path):
    database.save(str(folder))
    return load_corpus("audformat", folder)


def test_what_other_tables_say_stands_beside_the_label(database, tmp_path):
    add(database, "emotion", FILES, emotion=["joy", None], valence=[0.5, 0.25])
    table = read(database, tmp_path)
    assert table["utterance_id"].tolist() == ["a", "b"]
    assert table["emotion"].fillna("").tolist() == ["joy", ""]
    assert table["speaker"].tolist() == ["3", "8"]
    assert table["gender"].tolist() == ["male", "female"]
    assert table["text"].fillna("").tolist() == ["Ja.", ""]
    assert table["valence"].tolist() == [0.5, 0.25]
    assert table["language"].tolist() == ["de", "de"]
    assert table["audio"].tolist() == [str(tmp_path / file) for file in FILES]
    assert table[["offset", "duration", "split"]].isna().all(axis=None)


def test_segments_are_slices_and_know_their_files_speaker(database, tmp_path):
    places = [(FILES[0], "0s", "1.5s"), (FILES[1], "2s", None), (FILES[1], "1s", "2s")]
    add(database, "emotion", places, emotion=["joy", "anger", "joy"])
    table = read(database, tmp_path).set_index("utterance_id")
    assert table["speaker"].to_dict() == {"a_0_1.5": "3", "b_1_2": "8", "b_2_": "8"}
    assert table["offset"].fillna(0).tolist() == [0, 1, 2]
    assert table["duration"].fillna(-1).tolist() == [1.5, 1, -1]


@pytest.mark.parametrize("named", ["by split", "by name"])
def test_parts_of_a_split_are_read_and_no_others(database, tmp_path, named):
    add(database, "emotion", FILES, emotion=["joy", "joy"])
    for part, file in (("dev", FILES[0]), ("test", FILES[1])):
        database.splits[part] = audformat.Split(part)
        split_id, name = (part, f"{part}_part") if named == "by split" else (None, f"gold.{part}")
        add(database, name, [file], split_id, emotion=["anger"])
    table = read(database, tmp_path)
    assert table["split"].tolist() == ["valid", "test"]
    assert table["emotion"].tolist() == ["anger", "anger"]


def test_a_recording_whose_speaker_is_unknown_has_one_of_its_own(tmp_path):
    database = audformat.Database("mine", languages=["eng", "deu"])
    add(database, "emotion", FILES, emotion=["joy", "anger"])
    table = read(database, tmp_path)
    assert table["speaker"].tolist() == ["a", "b"]
    assert table["language"].isna().all()


def test_codes_are_read_as_what_they_stand_for(tmp_path):
    database = audformat.Database("mine")
    database.schemes["sentence"] = audformat.Scheme(labels={"a01": "Ja.", "a02": "Nein."})
    database.schemes["emotion"] = audformat.Scheme(labels={"W": "anger", "F": "joy"})
    people = audformat.MiscTable(pd.Index([3, 12], dtype="Int64", name="speaker"))
    people["sex"] = audformat.Column()
    people["sex"].set(["male", "female"])
    database["people"] = people
    database.schemes["speaker"] = audformat.Scheme("int", labels="people")
    add(database, "files", FILES, speaker=[3, 12], emotion=["F", "W"])
    database["files"]["text"] = audformat.Column(scheme_id="sentence")
    database["files"]["text"].set(["a02", "a01"])
    table = read(database, tmp_path)
    assert table["text"].tolist() == ["Nein.", "Ja."]
    assert table["emotion"].tolist() == ["joy", "anger"]
    assert table["speaker"].tolist() == ["03", "12"]  # which sort as the numbers do
    assert table["gender"].tolist() == ["male", "female"]


def test_the_same_recordings_give_the_table_of_their_own_adapter(tmp_path):
    names = [f"{speaker}{sentence}Fa" for speaker in GENDERS for sentence in SENTENCES]
    root = write_emodb(tmp_path, *names)
    database = audformat.Database("emodb", languages=["deu"])
    people = {int(speaker): {"gender": gender} for speaker, gender in GENDERS.items()}
    database.schemes["speaker"] = audformat.Scheme("int", labels=people)
    database.schemes["transcription"] = audformat.Scheme(labels=SENTENCES)
    files = [f"wav/{name}.wav" for name in names]
    add(database, "emotion", files, emotion=["happiness"] * len(files))
    codes = {"speaker": [int(x[:2]) for x in names], "transcription": [x[2:5] for x in names]}
    add(database, "files", files, **codes)
    found, own = read(database, root), load_corpus("emodb", root)
    columns = [column for column in COLUMNS if column != "corpus"]
    pd.testing.assert_frame_equal(found[columns], own[columns], check_dtype=False)


def test_tables_that_contradict_each_other_are_an_error(database, tmp_path):
    add(database, "one", FILES, emotion=["joy", "joy"])
    add(database, "two", FILES, emotion=["joy", "anger"])
    with pytest.raises(ValueError, match="wav/b.wav.*'joy'.*in one table and .*'anger'.*'two'"):
        read(database, tmp_path)


def test_a_database_without_emotions_says_what_it_has(database, tmp_path):
    with pytest.raises(
        ValueError, match=r"'mine' has a column emotion, they have \{'files': \['sp"
    ):
        read(database, tmp_path)


def test_without_the_package_the_remedy_is_named(database, tmp_path):
    database.save(str(tmp_path))
    script = (
        "import sys; sys.modules['audformat'] = None\n"
        "from conversation_emotion.corpora import load_corpus\n"
        "load_corpus('audformat', sys.argv[1])\n"
    )
    failed = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert "needs the package audformat: pip install 'conversation-emotion[audformat]'" in (
        failed.stderr
    )
