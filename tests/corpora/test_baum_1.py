"""The adapter of BAUM-1, in the layout that its users describe."""

import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from conversation_emotion.corpora import load_corpus
from conversation_emotion.corpora.baum_1 import EMOTIONS
from conversation_emotion.settings.corpus import find_corpus
from conversation_emotion.utterances.labels import IGNORED, find_label_map, map_labels
from tests.layouts import write_recordings

pytest.importorskip("openpyxl")

Row = list[object]
HEADINGS = ["No", "Subject", "Clip No", "Clip Name", "Emotion", "Emotion Code", "Gender"]
ACTED: list[Row] = [
    [1, 1, 1, "S001_001", "Anger", 1, "Female"],
    [None] * 7,
    [2, 2, 1, "s002_003", "Interest", 6, "M"],
    [3, 2, 2, "S002_004.mp4", "unsure ", 9, "m"],
]
SPONTANEOUS: list[Row] = [
    [1, 1, 6, "S001_006", "Concentrating", 4, "Female"],
    [2, 1, 7, "S001_007", "Contempt", 5, "Female"],
    [3, 15, 7, "S015_007", "Happiness", 9, None],
    [4, 31, 1, "S031_010", None, None, "Male"],
    [5, 31, 2, "S031_011", "Neutral", 9, "Male"],
]


def write_table(root: Path, part: str, rows: list[Row], headings: list[str] = HEADINGS) -> Path:
    table = root / f"Annotations_BAUM1{part}.xlsx"
    pd.DataFrame(rows, columns=pd.Index(headings)).to_excel(table, index=False)
    return root


def write_acted(root: Path, rows: list[Row] = ACTED, headings: list[str] = HEADINGS) -> Path:
    """Two clips that the table lists, one in another letter case, and one that it does not."""
    folder = "BAUM1a_MP4_all"
    paths = ("s001/S001_001.mp4", "s002/S002_003.MP4", "s002/S002_009.mp4", "s002/S002_009.srt")
    write_recordings(root, *(f"{folder}/{path}" for path in paths))
    return write_table(root, "a", rows, headings)


def write_spontaneous(root: Path) -> Path:
    paths = ("s001/S001_006.mp4", "s001/S001_007.mp4", "s015/S015_007.mp4", "s031/S031_011.mp4")
    write_recordings(root, *(f"BAUM1s_MP4 - All/{path}" for path in paths))
    return write_table(root, "s", SPONTANEOUS)


def told(table: pd.DataFrame, column: str) -> dict[str, str]:
    """What a column says of each utterance, '' where it says nothing."""
    return dict(zip(table["utterance_id"], table[column].fillna(""), strict=True))


def test_both_parts_are_read_by_their_own_codes(tmp_path):
    table = load_corpus("baum-1", write_spontaneous(write_acted(tmp_path)))
    assert told(table, "emotion") == {
        "acted_S001_001": "anger",
        "acted_S002_003": "interest",
        "acted_S002_004": "unsure",
        "acted_S002_009": "",
        "spontaneous_S001_006": "concentrating",
        "spontaneous_S001_007": "contempt",
        "spontaneous_S015_007": "",
        "spontaneous_S031_010": "",
        "spontaneous_S031_011": "neutral",
    }
    assert " ".join(table["speaker"]) == "S001 S002 S002 S002 S001 S001 S015 S031 S031"
    assert table["style"].value_counts().to_dict() == {"spontaneous": 5, "acted": 4}
    assert table["dialogue_id"].tolist() == table["utterance_id"].tolist()
    assert set(table["language"]) == {"tr"}


def test_clips_are_found_in_any_case_and_a_missing_one_is_named(tmp_path):
    table = load_corpus("baum-1", write_acted(tmp_path))
    folder = tmp_path / "BAUM1a_MP4_all"
    assert told(table, "audio") == {
        "acted_S001_001": str(folder / "s001/S001_001.mp4"),
        "acted_S002_003": str(folder / "s002/S002_003.MP4"),
        "acted_S002_004": str(folder / "s002/S002_004.mp4"),
        "acted_S002_009": str(folder / "s002/S002_009.mp4"),
    }
    assert [*told(table, "gender").values()] == ["female", "male", "male", ""]


@pytest.mark.parametrize(
    ("write", "style"), [(write_acted, "acted"), (write_spontaneous, "spontaneous")]
)
def test_one_part_alone_is_a_corpus_though_the_other_has_its_table(tmp_path, write, style):
    write_table(write_table(tmp_path, "a", ACTED), "s", SPONTANEOUS)
    assert set(load_corpus("baum-1", write(tmp_path))["style"]) == {style}


def test_headings_are_known_by_what_they_contain(tmp_path):
    rows: list[Row] = [[1, "Anger", "S001_001"]]
    table = load_corpus("baum-1", write_acted(tmp_path, rows, ["EMOTIONCODE", "emotion ", "File"]))
    assert told(table, "emotion")["acted_S001_001"] == "anger"
    assert table["gender"].isna().all()


@pytest.mark.parametrize(
    ("column", "cell", "message"),
    [
        ("Emotion", "Sadness", "has the emotion 'Sadness' with the code '1', expected 1 anger, 2"),
        ("Emotion Code", 10, "has the emotion 'Anger' with the code '10', expected 1 anger, 2"),
        ("Emotion Code", None, "has the emotion 'Anger' with the code '', expected 1 anger, 2"),
        ("Clip Name", "noise", "names the clip 'noise', expected a speaker and a number, such as"),
        ("Gender", "x", "has the gender 'x', expected female or male"),
    ],
)
def test_a_row_that_is_none_is_named(tmp_path, column, cell, message):
    row = list(ACTED[0])
    row[HEADINGS.index(column)] = cell
    place = tmp_path / "Annotations_BAUM1a.xlsx"
    with pytest.raises(ValueError, match=re.escape(f"baum-1: {place} row 3 {message}")):
        load_corpus("baum-1", write_acted(tmp_path, [ACTED[2], row]))


def test_contempt_is_not_taken_for_concentrating(tmp_path):
    write_spontaneous(tmp_path)
    write_table(tmp_path, "s", [[1, 1, 6, "S001_006", "Contempt", 4, None]])
    with pytest.raises(ValueError, match="'Contempt' with the code '4', .* 4 concentrating, 5 con"):
        load_corpus("baum-1", tmp_path)


def test_what_is_not_the_release_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"neither BAUM1a_MP4_all nor BAUM1s_MP4 - All in"):
        load_corpus("baum-1", tmp_path)
    write_acted(tmp_path, [["S001_001", "Anger"]], ["Clip", "Emotion"])
    with pytest.raises(ValueError, match=r"columns \['Clip', 'Emotion'\], .* one with 'code'; re"):
        load_corpus("baum-1", tmp_path)
    (tmp_path / "Annotations_BAUM1a.xlsx").write_text("Clip Name\tEmotion\n")
    with pytest.raises(ValueError, match="Annotations_BAUM1a.xlsx is no Excel workbook"):
        load_corpus("baum-1", tmp_path)
    (tmp_path / "Annotations_BAUM1a.xlsx").unlink()
    with pytest.raises(FileNotFoundError, match="BAUM1a_MP4_all has no Annotations_BAUM1a.xlsx ne"):
        load_corpus("baum-1", tmp_path)


def test_a_recording_that_is_named_otherwise_is_an_error(tmp_path):
    write_recordings(tmp_path, "BAUM1a_MP4_all/s001/noise.mp4")
    with pytest.raises(
        ValueError, match="s001/noise.mp4 names the clip .*; correct it, or move aw"
    ):
        load_corpus("baum-1", write_acted(tmp_path))


def test_four_classes_keep_anger_happiness_neutral_and_sadness_and_know_all_others(tmp_path):
    table = load_corpus("baum-1", write_spontaneous(write_acted(tmp_path)))
    maps = find_corpus("baum-1").label_maps
    label_map = find_label_map("baum-1", "4-class", table["emotion"], maps)
    targets = map_labels(table["emotion"], label_map)
    kept = table.loc[targets.classes != IGNORED, "utterance_id"].tolist()
    assert kept == ["acted_S001_001", "spontaneous_S031_011"]
    assert targets.num_dropped == {"concentrating": 1, "contempt": 1, "interest": 1, "unsure": 1}
    assert targets.num_unlabelled == 3
    known = {*label_map.classes, *label_map.dropped}
    assert known == {*EMOTIONS["acted"], *EMOTIONS["spontaneous"]}


def test_without_openpyxl_the_remedy_is_named(tmp_path):
    script = (
        "import sys; sys.modules['openpyxl'] = None\n"
        "from conversation_emotion.corpora import load_corpus\n"
        "load_corpus('baum-1', sys.argv[1])\n"
    )
    failed = subprocess.run(
        [sys.executable, "-c", script, str(write_acted(tmp_path))],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert "needs the package openpyxl: pip install 'conversation-emotion[baum]'" in failed.stderr
