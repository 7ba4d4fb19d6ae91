"""The adapter of Hugging Face datasets: audio folders and Parquet shards."""

import json
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from conversation_emotion.corpora import load_corpus

FEATURES = {
    "emotion": {"names": ["joy", "fear"], "_type": "ClassLabel"},
    "audio": {"_type": "Audio"},
    "speaker": {"dtype": "int64", "_type": "Value"},
}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CONVERSATION_EMOTION_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "huggingface"


def write_shard(path: Path, rows: list[dict[str, object]]) -> None:
    """Writes a shard with the description of its features that datasets puts there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pyarrow.Table.from_pylist(rows)
    described = json.dumps({"info": {"features": FEATURES}})
    parquet.write_table(table.replace_schema_metadata({"huggingface": described}), path)


def recording(name: str, content: bytes = b"RIFF") -> dict[str, object]:
    return {"audio": {"bytes": content, "path": name}, "emotion": 1, "speaker": 7}


def test_an_audio_folder_is_read_by_its_metadata(tmp_path):
    for split, emotion in (("train", "joy"), ("validation", ""), ("test", "fear")):
        (tmp_path / split).mkdir()
        (tmp_path / split / "metadata.csv").write_text(
            "file_name,label,speaker_id,gender,transcription,lang\n"
            f'a/1.mp3,{emotion},s1,Female,"Oh, well",en\n'
        )
    table = load_corpus("huggingface", tmp_path).set_index("utterance_id")
    assert table["split"].to_dict() == {
        "test/a/1": "test",
        "train/a/1": "train",
        "validation/a/1": "valid",
    }
    assert table["emotion"].fillna("").tolist() == ["fear", "joy", ""]
    assert table["audio"].tolist()[0] == str(tmp_path / "test" / "a" / "1.mp3")
    for column, cell in {
        "speaker": "s1",
        "gender": "female",
        "text": "Oh, well",
        "language": "en",
    }.items():
        assert set(table[column]) == {cell}


def test_metadata_in_the_root_may_be_lines_of_json(tmp_path):
    rows = [{"file_name": "dev/b.wav", "emotion": "joy"}, {"file_name": "c.wav", "emotion": None}]
    (tmp_path / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    table = load_corpus("huggingface", tmp_path)
    assert table["utterance_id"].tolist() == ["c", "dev/b"]
    assert table["split"].fillna("").tolist() == ["", "valid"]
    assert table["speaker"].tolist() == ["c", "dev/b"]
    assert table["emotion"].fillna("").tolist() == ["", "joy"]


@pytest.mark.parametrize("name", ["../a.wav", "/etc/a.wav"])
def test_a_recording_outside_the_folder_is_an_error(tmp_path, name):
    (tmp_path / "metadata.csv").write_text(f"file_name,label\n{name},joy\n")
    with pytest.raises(ValueError, match=f"row 1 has file_name '{name}', expected a path that st"):
        load_corpus("huggingface", tmp_path)


def test_shards_are_unpacked_once_and_classes_named(tmp_path, cache):
    rows = [recording("x.mp3", b"one"), {**recording("", b"two"), "emotion": -1}]
    write_shard(tmp_path / "data/train-00000-of-00001.parquet", rows)
    write_shard(tmp_path / "data/test-00000-of-00001.parquet", [recording("y.wav", b"three")])
    table = load_corpus("huggingface", tmp_path)
    assert table["emotion"].fillna("").tolist() == ["fear", "fear", ""]
    assert table["split"].tolist() == ["test", "train", "train"]
    assert set(table["speaker"]) == {"7"}
    files = [Path(audio) for audio in table["audio"]]
    assert [file.read_bytes() for file in files] == [b"three", b"one", b"two"]
    assert [file.suffix for file in files] == [".wav", ".mp3", ".wav"]
    times = [file.stat().st_mtime_ns for file in files]
    assert load_corpus("huggingface", tmp_path)["audio"].tolist() == table["audio"].tolist()
    assert [file.stat().st_mtime_ns for file in files] == times
    assert len(list(cache.rglob("*.*"))) == 3


def test_a_shard_that_has_changed_is_unpacked_again(tmp_path):
    shard = tmp_path / "train-00000-of-00001.parquet"
    for content in (b"one", b"two"):
        write_shard(shard, [recording("x.wav", content)])
        audio = load_corpus("huggingface", tmp_path)["audio"].tolist()
        assert Path(audio[0]).read_bytes() == content


@pytest.mark.parametrize("held", [[0.0, 0.5], {"bytes": None, "path": "x.wav"}])
def test_recordings_held_in_another_way_are_an_error(tmp_path, held):
    write_shard(tmp_path / "test.parquet", [{"speech": held, "emotion": 0}])
    with pytest.raises(ValueError, match="holds no recording as a file, in a column audio .*manif"):
        load_corpus("huggingface", tmp_path)


def test_a_row_without_a_recording_or_a_class_lacks_that_alone_and_is_named(tmp_path, capsys):
    shard = tmp_path / "data" / "train-0.parquet"
    rows = [recording("x.wav"), {**recording("y.wav"), "audio": None}]
    write_shard(shard, [*rows, {**recording("z.wav"), "emotion": 9}])
    table = load_corpus("huggingface", tmp_path)
    assert table["audio"].isna().tolist() == [False, True, False]
    assert table["emotion"].fillna("").tolist() == ["fear", "fear", ""]
    printed = capsys.readouterr().out
    assert f"1 rows hold no recording as a file: {shard} row 1\n" in printed
    assert (
        f"1 rows have a label in emotion that is none of its 2 classes: {shard} row 2 (9)"
        in printed
    )


def test_metadata_may_have_empty_rows_and_rows_without_a_file(tmp_path, capsys):
    (tmp_path / "metadata.csv").write_text("file_name;label\na.wav;joy\n;\n ;joy\n")
    assert load_corpus("huggingface", tmp_path)["utterance_id"].tolist() == ["a"]
    place = f"{tmp_path / 'metadata.csv'} row 2"
    assert f"1 rows name no file, and are left out: {place}\n" in capsys.readouterr().out


def test_recordings_that_differ_in_their_suffix_alone_are_two(tmp_path):
    table = pyarrow.Table.from_pylist(
        [{"file_name": name, "emotion": "joy"} for name in ("a.wav", "a.mp3", "b.wav")]
    )
    parquet.write_table(table, tmp_path / "metadata.parquet")
    assert load_corpus("huggingface", tmp_path)["utterance_id"].tolist() == ["a.mp3", "a.wav", "b"]


def test_shards_lie_in_the_folders_of_one_configuration(tmp_path):
    for part in ("train", "test"):
        write_shard(tmp_path / "en" / part / "0000.parquet", [recording("x.wav")])
    table = load_corpus("huggingface", tmp_path)
    assert table["split"].tolist() == ["test", "train"]
    assert table["utterance_id"].tolist() == ["test/0000-0", "train/0000-0"]
    write_shard(tmp_path / "de" / "train-0.parquet", [recording("x.wav")])
    with pytest.raises(ValueError, match="holds the configurations de, en; pass the folder of one"):
        load_corpus("huggingface", tmp_path)


def test_a_shard_that_breaks_off_is_named(tmp_path):
    shard = tmp_path / "train.parquet"
    write_shard(shard, [recording("x.wav", bytes(range(256)) * 400)])
    content = bytearray(shard.read_bytes())
    content[4:3000] = bytes(2996)
    shard.write_bytes(content)
    with pytest.raises(ValueError, match="train.parquet is no whole Parquet file: "):
        load_corpus("huggingface", tmp_path)


def test_a_line_that_is_no_object_is_an_error(tmp_path):
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "a.wav"}\n["b.wav"]\n')
    with pytest.raises(ValueError, match=r"metadata.jsonl .*: \['b.wav'\] is no object in braces"):
        load_corpus("huggingface", tmp_path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("metadata.jsonl", "metadata.jsonl is no JSONL in UTF-8"),
        ("metadata.csv", "metadata.csv is no CSV in UTF-8"),
        ("train.parquet", "train.parquet is no whole Parquet file"),
    ],
)
def test_a_file_that_is_not_what_its_name_says_is_an_error(tmp_path, name, message):
    (tmp_path / name).write_bytes(b"\xff{")
    with pytest.raises(ValueError, match=message):
        load_corpus("huggingface", tmp_path)
