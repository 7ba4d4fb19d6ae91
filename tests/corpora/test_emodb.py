"""EmoDB's adapter: what a recording's name says."""

import pytest

from conversation_emotion.corpora import load_corpus
from tests.layouts import find_data, write_emodb


def test_the_name_of_a_recording_says_all(tmp_path):
    table = load_corpus("emodb", write_emodb(tmp_path, "16b10Td", "03a01Fa"))
    assert table["utterance_id"].tolist() == ["03a01Fa", "16b10Td"]
    assert table["speaker"].tolist() == ["03", "16"]
    assert table["gender"].tolist() == ["male", "female"]
    assert table["emotion"].tolist() == ["happiness", "sadness"]
    assert table["sentence"].tolist() == ["a01", "b10"]
    assert table["age"].tolist() == [31, 31]
    assert table["text"].tolist() == [
        "Der Lappen liegt auf dem Eisschrank.",
        "Die wird auf dem Platz sein, wo wir sie immer hinlegen.",
    ]
    assert table["audio"].tolist() == [
        str(tmp_path / "wav" / f"{name}.wav") for name in ("03a01Fa", "16b10Td")
    ]
    assert set(table["language"]) == {"de"}


def test_every_utterance_is_a_dialogue_of_its_own(tmp_path):
    table = load_corpus("emodb", write_emodb(tmp_path, "03a01Fa", "03a01Nc", "08a01Fa"))
    assert table["dialogue_id"].nunique() == 3
    assert table["order"].tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("letter", "emotion"),
    [
        ("W", "anger"),
        ("L", "boredom"),
        ("E", "disgust"),
        ("A", "fear"),
        ("F", "happiness"),
        ("T", "sadness"),
        ("N", "neutral"),
    ],
)
def test_letters_are_the_german_words(tmp_path, letter, emotion):
    assert load_corpus("emodb", write_emodb(tmp_path, f"11b03{letter}c"))["emotion"].tolist() == [
        emotion
    ]


@pytest.mark.parametrize("name", ["17a01Fa", "03a03Fa", "03a01Xa", "03a01F", "03a01Fa2", "noise"])
def test_a_recording_named_otherwise_is_an_error(tmp_path, name):
    root = write_emodb(tmp_path, "03a01Fa", name)
    with pytest.raises(ValueError, match=f"{tmp_path}/wav/{name}.wav is named '{name}', expected"):
        load_corpus("emodb", root)


def test_a_folder_with_no_recording_but_litter_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=f"no wav/.*wav under {tmp_path}; pass the EmoDB"):
        load_corpus("emodb", write_emodb(tmp_path))


def test_the_folder_of_the_recordings_itself_is_a_wrong_root(tmp_path):
    root = write_emodb(tmp_path, "03a01Fa") / "wav"
    with pytest.raises(FileNotFoundError, match=f"under {root}; .* the one that holds wav"):
        load_corpus("emodb", root)


def test_real_recordings_have_the_published_counts():
    table = load_corpus("emodb", find_data("emodb"))
    assert table["emotion"].value_counts().to_dict() == {
        "anger": 127,
        "boredom": 81,
        "neutral": 79,
        "happiness": 71,
        "fear": 69,
        "sadness": 62,
        "disgust": 46,
    }
    assert table["speaker"].nunique() == 10
    assert table["sentence"].nunique() == 10
