from pathlib import Path

import pytest

from conversation_emotion.corpora.meld import load_meld
from tests.layouts import find_data, meld_row, write_meld, write_meld_annotation, write_meld_clips


def missing(values):
    return [bool(value) for value in values.isna()]


def dialogue(table, dialogue_id="train_dia0"):
    return table[table["dialogue_id"] == dialogue_id].reset_index(drop=True)


def test_ids_carry_the_split_and_dev_is_valid(tmp_path):
    table = load_meld(write_meld(tmp_path, train=[meld_row(12, 3)], test=[meld_row(0, 7)]))
    assert table["utterance_id"].tolist() == [
        "test_dia0_utt7",
        "train_dia12_utt3",
        "valid_dia0_utt0",
    ]
    assert table["dialogue_id"].tolist() == ["test_dia0", "train_dia12", "valid_dia0"]
    assert table["split"].tolist() == ["test", "train", "valid"]


def test_order_is_the_rank_of_ids_that_have_gaps(tmp_path):
    rows = [meld_row(0, 10), meld_row(1, 0), meld_row(0, 2), meld_row(0, 7)]
    table = dialogue(load_meld(write_meld(tmp_path, train=rows)))
    assert table["utterance_id"].str[-2:].tolist() == ["t2", "t7", "10"]
    assert table["order"].tolist() == [0, 1, 2]


def test_cells_become_columns_and_empty_ones_are_missing(tmp_path):
    cells = {"Emotion": "anger", "Sentiment": "negative", "Utterance": "Push!"}
    rows = [meld_row(0, 0, "Ross", **cells), meld_row(0, 1, Emotion="", Sentiment=" ")]
    table = dialogue(load_meld(write_meld(tmp_path, train=rows)))
    first = table.iloc[0]
    assert (first["text"], first["speaker"]) == ("Push!", "Ross")
    assert (first["emotion"], first["sentiment"]) == ("anger", "negative")
    assert (first["season"], first["episode"], first["language"]) == ("8", "21", "en")
    assert missing(table["emotion"]) == [False, True]
    assert missing(table["sentiment"]) == [False, True]


def test_times_count_from_the_first_utterance(tmp_path):
    rows = [meld_row(0, 3), meld_row(0, 4, StartTime="0:10:08,250")]
    table = dialogue(load_meld(write_meld(tmp_path, train=rows)))
    assert table["start"].tolist() == [0.0, 2.25]
    assert table["end"].tolist() == [1.0, 3.0]


@pytest.mark.parametrize("end", ["00:10:03,82", "00:10:01,999", "", "12:00"])
def test_row_with_a_broken_or_backward_time_has_no_times(tmp_path, end):
    rows = [meld_row(0, 0), meld_row(0, 1, EndTime=end), meld_row(0, 2)]
    table = dialogue(load_meld(write_meld(tmp_path, train=rows)))
    assert missing(table["start"]) == missing(table["end"]) == [False, True, False]
    assert table["start"].dropna().tolist() == [0.0, 4.0]


def test_dialogue_whose_turns_begin_out_of_order_has_no_times(tmp_path):
    rows = [meld_row(0, 0), meld_row(0, 1, StartTime="00:09:00,000"), meld_row(1, 0)]
    table = load_meld(write_meld(tmp_path, train=rows))
    assert missing(dialogue(table)["start"]) == [True, True]
    assert dialogue(table, "train_dia1")["start"].tolist() == [0.0]


def test_dialogue_whose_beginning_is_unknown_has_no_times(tmp_path):
    rows = [meld_row(0, 0, StartTime="?"), meld_row(0, 1)]
    table = dialogue(load_meld(write_meld(tmp_path, train=rows)))
    assert missing(table["start"]) == missing(table["end"]) == [True, True]


def test_spellings_of_a_speaker_become_the_most_frequent_one(tmp_path):
    train = [meld_row(0, 0, "PHOEBE SR."), meld_row(0, 1, "Phoebe Sr"), meld_row(0, 2, "joey ")]
    test = [meld_row(0, 0, "phoebe  sr"), meld_row(0, 1, "Phoebe Sr"), meld_row(0, 2, "Joey")]
    table = load_meld(write_meld(tmp_path, train=train, test=test))
    assert dialogue(table)["speaker"].tolist() == ["Phoebe Sr", "Phoebe Sr", "Joey"]
    assert dialogue(table, "test_dia0")["speaker"].tolist() == ["Phoebe Sr", "Phoebe Sr", "Joey"]


def test_speakers_who_are_only_alike_stay_apart(tmp_path):
    names = ["Phoebe", "Phoebe Sr", "Phoebe/Waitress", "Joey and Ross"]
    rows = [meld_row(0, turn, name) for turn, name in enumerate(names)]
    assert dialogue(load_meld(write_meld(tmp_path, train=rows)))["speaker"].tolist() == names


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1"])
def test_control_characters_become_the_quotes_they_were(tmp_path, encoding):
    write_meld(tmp_path)
    rows = [meld_row(0, 0, Utterance="It\x92s \x93fine\x94 \x97 caf\xe9\x85 \x81")]
    write_meld_annotation(tmp_path / "train_sent_emo.csv", rows, encoding)
    text = dialogue(load_meld(tmp_path))["text"][0]
    assert text == "It\u2019s \u201cfine\u201d \u2014 caf\xe9\u2026 \x81"


def test_windows_file_is_read_as_such(tmp_path):
    write_meld(tmp_path)
    rows = [meld_row(0, 0, Utterance="It\u2019s caf\xe9")]
    write_meld_annotation(tmp_path / "train_sent_emo.csv", rows, "cp1252")
    assert dialogue(load_meld(tmp_path))["text"].tolist() == ["It\u2019s caf\xe9"]


def test_line_break_inside_quotes_is_no_new_row(tmp_path):
    rows = [meld_row(0, 0, Utterance="One,\ntwo")]
    table = load_meld(write_meld(tmp_path, train=rows))
    assert dialogue(table)["text"].tolist() == ["One,\ntwo"]


def test_annotation_alone_is_a_corpus_without_audio(tmp_path):
    assert load_meld(write_meld(tmp_path))["audio"].isna().all()


def test_split_with_clips_names_every_clip_even_a_missing_one(tmp_path):
    write_meld(tmp_path, train=[meld_row(0, 0), meld_row(0, 1)])
    write_meld_clips(tmp_path / "train_splits", "dia0_utt0.mp4")
    table = load_meld(tmp_path)
    clips = tmp_path / "train_splits"
    assert dialogue(table)["audio"].tolist() == [
        str(clips / "dia0_utt0.mp4"),
        str(clips / "dia0_utt1.mp4"),
    ]
    assert missing(dialogue(table, "valid_dia0")["audio"]) == [True]
    assert len(table) == 4


def test_archives_unpacked_into_their_own_folders_are_found(tmp_path):
    write_meld(tmp_path)
    (tmp_path / "train").mkdir()
    (tmp_path / "train_sent_emo.csv").rename(tmp_path / "train" / "train_sent_emo.csv")
    clips = {"train": "train_splits", "dev": "dev_splits_complete"}
    clips["test"] = "output_repeated_splits_test"
    for folder, name in clips.items():
        write_meld_clips(tmp_path / folder / name, "dia0_utt0.mp4")
    audio = load_meld(tmp_path).set_index("split")["audio"]
    assert audio["train"] == str(tmp_path / "train/train_splits/dia0_utt0.mp4")
    assert audio["valid"] == str(tmp_path / "dev/dev_splits_complete/dia0_utt0.mp4")
    assert audio["test"] == str(tmp_path / "test/output_repeated_splits_test/dia0_utt0.mp4")


def test_missing_annotation_names_the_file_and_both_places(tmp_path):
    write_meld(tmp_path)
    (tmp_path / "dev_sent_emo.csv").unlink()
    with pytest.raises(
        FileNotFoundError, match=f"no dev_sent_emo.csv or dev/dev_sent_emo.csv under {tmp_path}"
    ):
        load_meld(tmp_path)


def test_missing_column_is_named_with_those_that_are_there(tmp_path):
    write_meld(tmp_path)
    (tmp_path / "test_sent_emo.csv").write_text("Utterance,Speaker\nHi,Joey\n")
    with pytest.raises(ValueError, match=r"\['Emotion', .*it has \['Utterance', 'Speaker'\]"):
        load_meld(tmp_path)


def test_repeated_utterance_is_named(tmp_path):
    write_meld(tmp_path, train=[meld_row(4, 0), meld_row(4, 1), meld_row(4, 1)])
    with pytest.raises(ValueError, match="1 utterances, first Dialogue_ID 4 with Utterance_ID 1"):
        load_meld(tmp_path)


def test_id_that_is_no_number_is_named_with_its_row(tmp_path):
    write_meld(tmp_path, train=[meld_row(0, 0), meld_row(0, 1, Utterance_ID="1.5")])
    with pytest.raises(ValueError, match=r"row 2 has Utterance_ID '1.5', expected a whole number"):
        load_meld(tmp_path)


def test_row_without_a_speaker_breaks_the_contract(tmp_path):
    write_meld(tmp_path, train=[meld_row(0, 0, " ")])
    with pytest.raises(ValueError, match="meld: 1 rows have no speaker"):
        load_meld(tmp_path)


def test_real_annotation_has_the_published_counts():
    # Poria et al. (2019), table of the released README: train / dev / test.
    table = load_meld(find_data("meld"))
    counts = table.groupby(["emotion", "split"]).size().unstack()[["train", "valid", "test"]]
    assert len(table) == 13_708
    assert table["dialogue_id"].nunique() == 1_432
    assert {emotion: row.tolist() for emotion, row in counts.iterrows()} == {
        "anger": [1109, 153, 345],
        "disgust": [271, 22, 68],
        "fear": [268, 40, 50],
        "joy": [1743, 163, 402],
        "neutral": [4710, 470, 1256],
        "sadness": [683, 111, 208],
        "surprise": [1205, 150, 281],
    }


def test_real_clips_are_found_but_for_the_one_that_is_missing():
    table = load_meld(find_data("meld_composite"))
    gone = table.loc[[not Path(clip).is_file() for clip in table["audio"]], "split"]
    assert len(table) == 1_302
    assert table["split"].value_counts().to_dict() == {"train": 794, "test": 279, "valid": 229}
    assert gone.tolist() == ["valid"]
