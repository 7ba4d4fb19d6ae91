"""Adapters of corpora with label files, in the layouts of the real ones."""

import csv
import json
from pathlib import Path

import pytest

from conversation_emotion.corpora import load_corpus

PODCAST_COLUMNS = [
    "FileName",
    "EmoClass",
    "EmoAct",
    "EmoVal",
    "EmoDom",
    "SpkrID",
    "Gender",
    "Split_Set",
]
PODCAST_ROWS = [
    ["MSP-PODCAST_0001_0008.wav", "N", "4.8", "4.2", "5.0", "Unknown", "Unknown", "Train"],
    ["MSP-PODCAST_0001_0019.wav", "X", "", "3.2", "4.6", "127", "Male", "Development"],
    ["MSP-PODCAST_0002_0033.wav", "A", "6", "1.5", "6.5", "128", "Female", "Test1"],
    ["MSP-PODCAST_0003_0001.wav", "O", "4", "4", "4", "128", "Female", "Test2"],
]
IMPROV_LINES = """\
UTD-IMPROV-S01A-F01-P-FM01.avi; N; A:3.000000; V:3.500000; D:2.500000; N:4.250000;
A; A:3; V:2; D:3; N:4;

UTD-IMPROV-S20H-M06-T-MM02.avi; X; A:3.0; V:2.1; D:NaN; N:4.2
"""


def write_msp_podcast(
    root: Path, rows: list[list[str]], labels: str = "Labels/labels_consensus.csv"
) -> Path:
    for folder in ("Labels", "Audios", "Transcripts"):
        (root / folder).mkdir(exist_ok=True)
    with (root / labels).open("w", newline="") as file:
        csv.writer(file).writerows([PODCAST_COLUMNS, *rows])
    (root / "Transcripts" / "MSP-PODCAST_0001_0019.txt").write_text("Oh well.\n")
    return root


def write_msp_improv(root: Path, lines: str = IMPROV_LINES, name: str = "Evalution.txt") -> Path:
    (root / "Audio").mkdir(exist_ok=True)
    (root / name).write_text(lines)
    return root


def write_m3ed(root: Path, **changes: object) -> Path:
    """One dialogue of three utterances, the ninth and the twelfth of them with a gap between."""
    utterance = {
        "StartTime": "00:01:02:05",
        "EndTime": "00:01:03:05",
        "Text": "你好",
        "Speaker": "A",
        "EmoAnnotation": {"EmoAnnotator1": "Happy", "final_main_emo": "Happy"},
    } | changes
    other = utterance | {"Speaker": "B"}
    dialog = {"show_1_12": other, "show_1_9": utterance, "show_1_10": utterance}
    people = {"A": {"Name": "Li Lei", "Gender": "Male"}, "B": {"Name": "Han Mei"}}
    annotation = {"show": {"show_1": {"SpeakerInfo": people, "Dialog": dialog}}}
    (root / "annotation.json").write_text(json.dumps(annotation, ensure_ascii=False))
    (root / "splitInfo").mkdir(exist_ok=True)
    for part, series in {"train": "other\nothers\n", "val": "show\n", "test": "third"}.items():
        (root / "splitInfo" / f"movie_list_{part}.txt").write_text(series)
    return root


def write_resd(root: Path, row: str = "a,x_1/32_happiness_enthusiasm_h_120.wav,happiness") -> Path:
    (root / "train.csv").write_text(f"name,path,emotion\n{row}\n")
    (root / "test.csv").write_text(
        "name,path,emotion,text\nb,03_d/03_disgust_neutral n_050.wav,neutral,Да\n"
    )
    return root


def test_msp_podcast_reads_the_consensus(tmp_path):
    table = load_corpus("msp-podcast", write_msp_podcast(tmp_path, PODCAST_ROWS))
    assert table["emotion"].fillna("").tolist() == ["neutral", "", "anger", "other"]
    assert table["split"].fillna("").tolist() == ["train", "valid", "test", ""]
    assert table["part"].tolist() == ["Train", "Development", "Test1", "Test2"]
    assert table["gender"].fillna("").tolist() == ["", "male", "female", "female"]
    assert table["text"].fillna("").tolist() == ["", "Oh well.", "", ""]
    assert table["arousal"].fillna(-1).tolist() == [4.8, -1, 6, 4]
    assert table[["valence", "dominance"]].iloc[2].tolist() == [1.5, 6.5]
    assert table["podcast"].tolist() == ["0001", "0001", "0002", "0003"]
    assert table["audio"][2] == str(tmp_path / "Audios" / "MSP-PODCAST_0002_0033.wav")


def test_msp_podcast_takes_an_unknown_speaker_for_a_person_of_their_own(tmp_path):
    rows = [[f"MSP-PODCAST_0001_000{n}.wav", *PODCAST_ROWS[0][1:]] for n in (1, 2)]
    table = load_corpus("msp-podcast", write_msp_podcast(tmp_path, [*rows, PODCAST_ROWS[2]]))
    assert table["speaker"].nunique() == 3
    assert table["speaker"][2] == "128"


def test_transcripts_that_are_not_utf8_are_read_and_named_and_broken_ones_named(tmp_path, capsys):
    root = write_msp_podcast(tmp_path, PODCAST_ROWS)
    other, folder, lost = (
        root / "Transcripts" / f"MSP-PODCAST_{name}.txt" for name in ("0001_0008", "0002", "lost")
    )
    other.write_bytes(b"It\x92s caf\xe9")
    folder.mkdir()
    lost.symlink_to("nowhere")
    table = load_corpus("msp-podcast", root)
    assert table["text"].fillna("").tolist() == ["It’s café", "Oh well.", "", ""]  # noqa: RUF001
    printed = capsys.readouterr().out
    assert (
        f"msp-podcast: 1 texts are not in UTF-8, and were read as Windows-1252: {other}" in printed
    )
    assert "msp-podcast: 2 texts cannot be read, and are missing: " in printed
    assert f"{folder} (Is a directory), {lost} (No such file or directory)" in printed


def test_msp_podcast_knows_the_names_of_earlier_releases(tmp_path):
    rows = [[*PODCAST_ROWS[2][:-1], "Validation"]]
    write_msp_podcast(tmp_path, rows, "Labels/labels_concensus.csv")
    (tmp_path / "Audios").rename(tmp_path / "Audio")
    table = load_corpus("msp-podcast", tmp_path)
    assert table["split"].tolist() == ["valid"]
    assert table["audio"].tolist() == [str(tmp_path / "Audio" / "MSP-PODCAST_0002_0033.wav")]


@pytest.mark.parametrize(
    ("column", "cell", "message"),
    [
        ("EmoClass", "Z", "row 1 has EmoClass 'Z', expected A, C, D"),
        ("Split_Set", "Eval", "row 1 has Split_Set 'Eval', expected Train, Dev"),
        ("EmoVal", "high", "row 1 has EmoVal 'high', expected a number"),
        ("FileName", "a.wav", "row 1 has FileName 'a.wav', expected one such as"),
    ],
)
def test_msp_podcast_row_that_is_none_is_named(tmp_path, column, cell, message):
    row = list(PODCAST_ROWS[0])
    row[PODCAST_COLUMNS.index(column)] = cell
    with pytest.raises(ValueError, match=f"msp-podcast: .*labels_consensus.csv {message}"):
        load_corpus("msp-podcast", write_msp_podcast(tmp_path, [row]))


def test_msp_podcast_labels_without_a_column_are_an_error(tmp_path):
    write_msp_podcast(tmp_path, [])
    (tmp_path / "Labels/labels_consensus.csv").write_text("FileName,EmoClass\n")
    with pytest.raises(ValueError, match=r"lacks the columns \['EmoAct', .*\['FileName', 'EmoCl"):
        load_corpus("msp-podcast", tmp_path)


@pytest.mark.parametrize("name", ["Evalution.txt", "Evaluation.txt"])
def test_msp_improv_takes_the_perceived_emotion_of_the_consensus(tmp_path, name):
    table = load_corpus("msp-improv", write_msp_improv(tmp_path, name=name))
    assert table["emotion"].fillna("").tolist() == ["neutral", ""]
    assert table["target"].tolist() == ["anger", "happiness"]
    assert table["speaker"].tolist() == ["F01", "M06"]
    assert table["gender"].tolist() == ["female", "male"]
    assert table["session"].tolist() == ["session1", "session6"]
    assert table["condition"].tolist() == ["P", "T"]
    assert table["scene"].tolist() == ["S01", "S20"]
    ratings = table[["arousal", "valence", "dominance", "naturalness"]].fillna(-1)
    assert ratings.to_numpy().tolist() == [[3.0, 3.5, 2.5, 4.25], [3.0, 2.1, -1, 4.2]]
    clip = tmp_path / "Audio/session1/S01A/P/MSP-IMPROV-S01A-F01-P-FM01.wav"
    assert table["audio"][0] == str(clip)


def test_msp_improv_is_read_without_the_folder_audio(tmp_path):
    write_msp_improv(tmp_path)
    (tmp_path / "Audio").rmdir()
    clip = tmp_path / "session1/S01A/P/MSP-IMPROV-S01A-F01-P-FM01.wav"
    assert load_corpus("msp-improv", tmp_path)["audio"][0] == str(clip)


@pytest.mark.parametrize("change", [("; N; ", "; Z; "), ("-F01-", "-X01-")])
def test_msp_improv_line_that_is_none_is_named(tmp_path, change):
    write_msp_improv(tmp_path, IMPROV_LINES.replace(*change))
    with pytest.raises(ValueError, match="Evalution.txt line 1 is 'UTD-.*expected one such as"):
        load_corpus("msp-improv", tmp_path)


def test_m3ed_orders_by_number_and_names_people_by_series(tmp_path):
    (tmp_path / "modality_speech").mkdir()
    table = load_corpus("m3ed", write_m3ed(tmp_path))
    assert table["utterance_id"].tolist() == ["show_1_9", "show_1_10", "show_1_12"]
    assert table["order"].tolist() == [0, 1, 2]
    assert table["speaker"].tolist() == ["show_Li Lei", "show_Li Lei", "show_Han Mei"]
    assert table["gender"].fillna("").tolist() == ["male", "male", ""]
    assert table["audio"][2] == str(tmp_path / "modality_speech" / "B_show_1_12.wav")
    for column, value in {"split": "valid", "emotion": "happiness", "text": "你好"}.items():
        assert set(table[column]) == {value}


def test_m3ed_annotation_alone_is_a_corpus_without_audio(tmp_path):
    assert load_corpus("m3ed", write_m3ed(tmp_path))["audio"].isna().all()


def test_m3ed_says_what_its_annotation_lacks(tmp_path):
    write_m3ed(tmp_path, EmoAnnotation={"final_main_emo": "Joy"})
    with pytest.raises(ValueError, match="'show_1_9' has final_main_emo 'Joy', expected Anger"):
        load_corpus("m3ed", tmp_path)
    write_m3ed(tmp_path, EmoAnnotation={})
    with pytest.raises(ValueError, match="dialogue 'show_1' lacks the field 'final_main_emo'"):
        load_corpus("m3ed", tmp_path)
    (write_m3ed(tmp_path) / "splitInfo/movie_list_val.txt").write_text("")
    with pytest.raises(ValueError, match="series 'show' is in no list of splitInfo, known are oth"):
        load_corpus("m3ed", tmp_path)
    (tmp_path / "splitInfo/movie_list_val.txt").unlink()
    with pytest.raises(
        FileNotFoundError, match=f"no splitInfo/movie_list_val.txt under {tmp_path}"
    ):
        load_corpus("m3ed", tmp_path)
    (tmp_path / "annotation.json").write_text("{")
    with pytest.raises(ValueError, match="annotation.json is no JSON"):
        load_corpus("m3ed", tmp_path)


def test_resd_speaker_is_one_side_of_a_dialogue(tmp_path):
    table = load_corpus("resd", write_resd(tmp_path)).set_index("split")
    assert table["speaker"].to_dict() == {"train": "32_h", "test": "03_n"}
    assert table["scene"].to_dict() == {"train": "32", "test": "03"}
    assert table["emotion"].to_dict() == {"train": "happiness", "test": "neutral"}
    assert table["text"].fillna("").to_dict() == {"train": "", "test": "Да"}
    clip = tmp_path / "test" / "03_d" / "03_disgust_neutral n_050.wav"
    assert table["audio"]["test"] == str(clip)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a,x/noise.wav,fear", "row 1 has path 'x/noise.wav', expected a name such as"),
        ("a,x/32_joy_fear_j_120.wav,joy", "row 1 has emotion 'joy', expected anger"),
    ],
)
def test_resd_row_that_is_none_is_named(tmp_path, row, message):
    with pytest.raises(ValueError, match=f"resd: {tmp_path}/train.csv {message}"):
        load_corpus("resd", write_resd(tmp_path, row))


def test_resd_table_without_its_columns_is_an_error(tmp_path):
    (write_resd(tmp_path) / "test.csv").write_text("file,label\n")
    with pytest.raises(ValueError, match=r"\['path', 'emotion'\], it has \['file', 'label'\]"):
        load_corpus("resd", tmp_path)
