import json
import unicodedata

import pandas as pd
import pytest

from conversation_emotion.corpora.manifest import load_manifest
from conversation_emotion.utterances.table import COLUMNS


@pytest.fixture
def write(tmp_path):
    """Writes a manifest of the given lines and returns its path."""

    def write_lines(name, *lines):
        path = tmp_path / name
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    return write_lines


def missing(values):
    return [bool(value) for value in values.isna()]


def test_ids_and_text_are_enough(write):
    table = load_manifest(write("a.csv", "utterance_id,text", "007,Hello", "010,Bye"))
    assert table["utterance_id"].tolist() == ["007", "010"]
    assert table["dialogue_id"].tolist() == ["007", "010"]
    assert table["speaker"].tolist() == ["007", "010"]
    assert table["order"].tolist() == [0, 0]
    assert table["corpus"].tolist() == ["manifest", "manifest"]
    assert table["audio"].isna().all()


def test_order_is_the_order_of_rows_inside_a_dialogue(write):
    path = write("a.csv", "utterance_id,dialogue_id,text", "z,d1,1", "x,d2,2", "a,d1,3")
    table = load_manifest(path).set_index("utterance_id")
    assert table["order"].to_dict() == {"z": 0, "a": 1, "x": 0}
    assert table["speaker"].to_dict() == {"z": "d1", "a": "d1", "x": "d2"}


def test_order_that_is_given_wins_over_the_rows(write):
    path = write("a.csv", "utterance_id,dialogue_id,order,text", "late,d,1,b", "early,d,0,a")
    assert load_manifest(path)["utterance_id"].tolist() == ["early", "late"]


def test_words_that_look_missing_stay_words(write):
    path = write("a.csv", "utterance_id,text,emotion", "1,NA,None", "2,nan, ", "3,  ,happy ")
    table = load_manifest(path)
    assert table["text"].tolist()[:2] == ["NA", "nan"]
    assert missing(table["text"]) == [False, False, True]
    assert table["emotion"].dropna().tolist() == ["None", "happy"]
    assert missing(table["emotion"]) == [False, True, False]


def test_audio_is_found_from_the_folder_of_the_manifest(write, tmp_path):
    inside = tmp_path / "b.wav"
    path = write("a.csv", "utterance_id,audio", "1,wav/a.wav", f"2,{inside}", "3,")
    audio = load_manifest(path)["audio"]
    assert audio.tolist()[:2] == [str(tmp_path / "wav" / "a.wav"), str(inside)]
    assert missing(audio) == [False, False, True]


@pytest.mark.parametrize("audio", ["../secret.wav", "/etc/passwd", "wav/../../secret.wav"])
def test_audio_outside_the_folder_is_refused(write, audio):
    path = write("a.csv", "utterance_id,audio", "1,a.wav", f"2,{audio}")
    with pytest.raises(ValueError, match=f"a.csv line 3 has audio '{audio}', which leaves"):
        load_manifest(path)


def test_link_that_leaves_the_folder_is_refused(tmp_path):
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    (tmp_path / "secret.wav").touch()
    (corpus / "link.wav").symlink_to(tmp_path / "secret.wav")
    (corpus / "a.csv").write_text("utterance_id,audio\n1,link.wav\n")
    with pytest.raises(ValueError, match=r"line 2 has audio 'link.wav', which leaves"):
        load_manifest(corpus / "a.csv")


def test_numbers_are_read_and_extra_columns_kept(write):
    path = write("a.csv", "utterance_id,text,start,valence,topic", "1,a,0.5,,pets", "2,b,,3,")
    table = load_manifest(path)
    assert table["start"].dropna().tolist() == [0.5]
    assert table["valence"].dropna().tolist() == [3.0]
    assert table.columns[-1] == "topic"
    assert table["topic"].dropna().tolist() == ["pets"]


@pytest.mark.parametrize("value", ["soon", "nan", "1e999"])
def test_number_that_cannot_be_read_is_named(write, value):
    path = write("a.csv", "utterance_id,text,start", "1,a,0", f"2,b,{value}")
    with pytest.raises(ValueError, match=f"a.csv line 3 has start '{value}', expected a number"):
        load_manifest(path)


@pytest.mark.parametrize(("value", "shown"), [("1.5", "1.5"), ("", "None")])
def test_order_needs_a_whole_number_in_every_row(write, value, shown):
    path = write("a.csv", "utterance_id,text,order", "1,a,0", f"2,b,{value}")
    with pytest.raises(ValueError, match=f"line 3 has order {shown}, expected 0, 1, 2"):
        load_manifest(path)


def test_split_takes_the_names_of_other_corpora(write):
    lines = ["1,a,train", "2,b,dev", "3,c,validation", "4,d,val", "5,e,test", "6,f,"]
    table = load_manifest(write("a.csv", "utterance_id,text,split", *lines))
    assert table["split"].tolist()[:5] == ["train", "valid", "valid", "valid", "test"]
    assert missing(table["split"]) == [False] * 5 + [True]


def test_corpus_may_carry_its_own_name(write):
    table = load_manifest(write("a.csv", "corpus,utterance_id,text", "pets,1,a", "pets,2,b"))
    assert table["corpus"].tolist() == ["pets", "pets"]


def test_two_corpora_in_one_manifest_are_refused(write):
    path = write("a.csv", "corpus,utterance_id,text", "pets,1,a", "cars,2,b")
    with pytest.raises(ValueError, match=r"names the corpora \['cars', 'pets'\], expected one"):
        load_manifest(path)


def test_csv_from_a_spreadsheet_is_read_with_its_byte_order_mark(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes('\ufeffutterance_id, text\r\n1,"Well, yes"\r\n\r\n2,No\r\n'.encode())
    assert load_manifest(path)["text"].tolist() == ["Well, yes", "No"]


@pytest.mark.parametrize(
    "lines",
    [
        ["utterance_id;text;valence", "1;Well, yes;0,5", "2;No;"],
        ["sep=;", "utterance_id;text;valence", "1;Well, yes;0,5", "2;No;"],
        ["sep=,\r", "utterance_id,text,valence\r", '1,"Well, yes",0.5\r', "2,No,\r"],
        ["sep=\t", "utterance_id\ttext\tvalence", "1\tWell, yes\t0,5", "2\tNo\t"],
        ["utterance_id,text,valence,,", '1,"Well, yes",0.5,,', "2,No,,, ,", ",,,,", ",,"],
        [",,,", "utterance_id,,text,valence", '1,,"Well, yes",0.5', ",,,", "2,,No,"],
    ],
    ids=["semicolons", "sep and semicolons", "sep", "tabs", "columns behind", "rows above"],
)
def test_what_spreadsheets_write_is_the_same_table(write, lines):
    table = load_manifest(write("a.CSV", *lines))
    assert table["text"].tolist() == ["Well, yes", "No"]
    assert table["utterance_id"].tolist() == ["1", "2"]
    assert table["valence"].dropna().tolist() == [0.5]
    assert table.columns.tolist() == list(COLUMNS)


def test_lines_are_counted_from_the_top_of_the_file(write):
    path = write("a.csv", "sep=;", "", "utterance_id;text", ";", "1;a", "2;b;c")
    with pytest.raises(ValueError, match=r"a.csv line 6 has 3 cells, the header has 2"):
        load_manifest(path)


@pytest.mark.parametrize("written", ["NFC", "NFD"])
@pytest.mark.parametrize("named", ["NFC", "NFD"])
def test_paths_of_other_systems_find_the_recording(write, tmp_path, written, named):
    file = tmp_path / "wav" / unicodedata.normalize(written, "Käse.wav")
    file.parent.mkdir()
    file.touch()
    name = unicodedata.normalize(named, "Käse.wav")
    audio = load_manifest(write("a.csv", "utterance_id,audio", f"1,wav\\{name}"))["audio"]
    assert audio.tolist() == [str(file)]


def test_a_path_on_windows_is_refused_with_the_remedy(write):
    path = write("a.csv", "utterance_id,audio", "1,C:\\data\\a.wav")
    with pytest.raises(ValueError, match=r"line 2 has audio 'C:.*on Windows; write it from the"):
        load_manifest(path)


def test_rows_without_any_value_are_no_utterances(write, tmp_path):
    frame = pd.DataFrame({"utterance_id": ["1", None], "text": ["a", " "]})
    frame.to_parquet(tmp_path / "a.parquet")
    assert load_manifest(tmp_path / "a.parquet")["utterance_id"].tolist() == ["1"]


def test_jsonl_keeps_ids_as_text_and_null_as_missing(write):
    rows = [{"utterance_id": 7, "text": "NA", "start": 1}, {"utterance_id": "08", "text": None}]
    table = load_manifest(write("a.jsonl", json.dumps(rows[0]), "", json.dumps(rows[1])))
    assert table["utterance_id"].tolist() == ["08", "7"]
    assert missing(table["text"]) == [True, False]
    assert table["start"].dropna().tolist() == [1.0]


def test_parquet_says_the_same_as_csv(write, tmp_path):
    csv = write("a.csv", "utterance_id,audio,emotion,order", "1,a.wav,sad,0", "2,b.wav,,0")
    frame = pd.DataFrame(
        {
            "utterance_id": [1, 2],
            "audio": ["a.wav", "b.wav"],
            "emotion": ["sad", None],
            "order": [0, 0],
        }
    )
    frame.to_parquet(tmp_path / "a.parquet")
    pd.testing.assert_frame_equal(load_manifest(tmp_path / "a.parquet"), load_manifest(csv))


def test_folder_is_read_by_its_one_manifest(write, tmp_path):
    write("manifest.csv", "utterance_id,text", "1,a")
    write("other.csv", "broken")
    assert load_manifest(tmp_path)["utterance_id"].tolist() == ["1"]


def test_the_manifest_of_a_folder_may_be_in_capitals(write, tmp_path):
    write("Manifest.CSV", "utterance_id,text", "1,a")
    assert load_manifest(tmp_path)["utterance_id"].tolist() == ["1"]


def test_folder_with_two_manifests_is_refused(write, tmp_path):
    write("manifest.csv", "utterance_id,text", "1,a")
    write("manifest.jsonl", "{}")
    with pytest.raises(ValueError, match=r"holds manifest.csv and manifest.jsonl; pass the one"):
        load_manifest(tmp_path)


def test_folder_without_a_manifest_names_what_was_looked_for(tmp_path):
    with pytest.raises(
        FileNotFoundError,
        match=f"none of manifest.csv, manifest.jsonl, manifest.parquet in {tmp_path}",
    ):
        load_manifest(tmp_path)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=f"no file {tmp_path}/a.csv"):
        load_manifest(tmp_path / "a.csv")


def test_other_file_types_are_refused(write):
    with pytest.raises(ValueError, match=r"a.xlsx ends in '.xlsx', expected .csv, .jsonl"):
        load_manifest(write("a.xlsx", "utterance_id,text"))


@pytest.mark.parametrize("lines", [[""], ["utterance_id,text"]], ids=["empty", "header alone"])
def test_manifest_without_rows_is_an_error(write, lines):
    with pytest.raises(ValueError, match=r"a.csv holds no utterances"):
        load_manifest(write("a.csv", *lines))


def test_missing_id_column_is_named_with_those_that_are_there(write):
    with pytest.raises(ValueError, match=r"lacks the column utterance_id, it has \['id', 'text'"):
        load_manifest(write("a.csv", "id,text", "1,a"))


def test_text_or_audio_is_needed(write):
    with pytest.raises(ValueError, match=r"text or audio, it has \['utterance_id', 'emotion'\]"):
        load_manifest(write("a.csv", "utterance_id,emotion", "1,sad"))


def test_row_without_an_id_is_named(write):
    with pytest.raises(ValueError, match=r"a.csv line 3 has no utterance_id"):
        load_manifest(write("a.csv", "utterance_id,text", "1,a", " ,b"))


def test_repeated_id_is_named(write):
    with pytest.raises(ValueError, match="1 utterance ids repeat, first '1'"):
        load_manifest(write("a.csv", "utterance_id,text", "1,a", "1,b"))


def test_repeated_column_is_named(write):
    with pytest.raises(ValueError, match=r"repeats the columns \['text'\]"):
        load_manifest(write("a.csv", "utterance_id,text,text", "1,a,b"))


def test_comma_outside_quotes_is_named_with_its_line(write):
    with pytest.raises(ValueError, match=r"a.csv line 2 has 3 cells, the header has 2"):
        load_manifest(write("a.csv", "utterance_id,text", "1,Well, yes"))


def test_quote_that_never_ends_is_named(write):
    with pytest.raises(ValueError, match=r"a.csv line 2: unexpected end of data"):
        load_manifest(write("a.csv", "utterance_id,text", '1,"Well'))


def test_broken_json_is_named_with_its_line(write):
    good = '{"utterance_id": "1", "text": "a"}'
    with pytest.raises(ValueError, match=r"a.jsonl line 2 is no JSON: Expecting"):
        load_manifest(write("a.jsonl", good, '{"utterance_id": }'))


@pytest.mark.parametrize(
    "broken", ["[" * 100_000, '{"text": ' + "9" * 5_000 + "}"], ids=["deep", "digits"]
)
def test_json_that_is_too_deep_or_has_too_long_a_number_is_named(write, broken):
    with pytest.raises(ValueError, match=r"a.jsonl line 1 is no JSON: "):
        load_manifest(write("a.jsonl", broken))


def test_json_that_is_no_object_is_named_with_its_line(write):
    with pytest.raises(ValueError, match=r"a.jsonl line 1 is a list, expected an object"):
        load_manifest(write("a.jsonl", '["1", "a"]'))


def test_text_that_is_no_text_is_named(write):
    with pytest.raises(ValueError, match=r"line 1 has text \['a'\], expected text"):
        load_manifest(write("a.jsonl", '{"utterance_id": "1", "text": ["a"]}'))


def test_broken_parquet_is_named(write):
    with pytest.raises(ValueError, match=r"a.parquet is no whole Parquet file"):
        load_manifest(write("a.parquet", "utterance_id,text"))


def test_other_encodings_are_refused_by_name(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes("utterance_id,text\n1,café\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"a.csv is not UTF-8 .*byte 0xe9.*save it as UTF-8"):
        load_manifest(path)
