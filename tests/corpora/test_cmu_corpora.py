"""CMU-MOSI and CMU-MOSEI: label files of the SDK, standard folds, raw audio and words."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from conversation_emotion.corpora import load_corpus

h5py = pytest.importorskip("h5py")

Segments = dict[str, list[tuple[float, float, list[float]]]]


def write_csd(path: Path, name: str, videos: Segments) -> None:
    """Writes begin, end and labels of each video's segments as the SDK does."""
    with h5py.File(path, "w") as file:
        for video, segments in videos.items():
            group = file.create_group(f"{name}/data/{video}")
            group["intervals"] = np.array([segment[:2] for segment in segments], np.float32)
            group["features"] = np.array([segment[2] for segment in segments], np.float32)
        file.create_group(f"{name}/metadata")


def write_folds(path: Path, train: str, valid: str, test: str) -> None:
    path.write_text(
        f"standard_train_fold=['{train}']\n\nstandard_valid_fold=['{valid}']\n"
        f"standard_test_fold=['{test}', '-_x']\n"
    )


def write_mosi(root: Path) -> Path:
    videos: Segments = {
        "2iD-tVS8NPw": [(0.5, 4.25, [2.4]), (4.25, 6.0, [-0.6])],
        "tmZoasNr4rU": [(1.0, 2.0, [0.0])],
    }
    write_csd(root / "CMU_MOSI_Opinion_Labels.csd", "Opinion Segment Labels", videos)
    write_folds(root / "cmu_mosi_std_folds.py", "2iD-tVS8NPw", "WKA5OygbEKI", "tmZoasNr4rU")
    clips, words = (root / "Raw" / folder for folder in ("Audio/WAV_16000", "Transcript"))
    for folder in (clips, words):
        (folder / "Segmented").mkdir(parents=True)
    (words / "Segmented" / "2iD-tVS8NPw.annotprocessed").write_text("1_DELIM_GOOD\n2_DELIM_BAD\n")
    return root


def write_mosei(root: Path, num_labels: int = 7) -> Path:
    labels = [float(label) for label in range(num_labels)]
    videos: Segments = {"-3g5yACwYnA": [(13.2, 24.0, labels), (-0.1, 13.2, labels)]}
    (root / "labels").mkdir()
    write_csd(root / "labels" / "CMU_MOSEI_Labels.csd", "All Labels", videos)
    (root / "Raw/Audio/Full/WAV_16000").mkdir(parents=True)
    words = root / "Raw/Transcript/Segmented/Combined"
    words.mkdir(parents=True)
    (words / "-3g5yACwYnA.txt").write_text("-3g5yACwYnA___4___13.1998___23.99___key is___part\n")
    return root


def test_mosi_segments_are_turns_of_their_video(tmp_path):
    table = load_corpus("cmu-mosi", write_mosi(tmp_path)).set_index("utterance_id")
    assert table["order"].to_dict() == {
        "2iD-tVS8NPw_1": 0,
        "2iD-tVS8NPw_2": 1,
        "tmZoasNr4rU_1": 0,
    }
    assert table["sentiment"].tolist() == ["2.4", "-0.6", "0"]
    assert table["text"].fillna("").tolist() == ["GOOD", "BAD", ""]
    assert table["split"].tolist() == ["train", "train", "test"]
    clip = tmp_path / "Raw/Audio/WAV_16000/Segmented/2iD-tVS8NPw_1.wav"
    assert table["audio"].tolist()[0] == str(clip)
    assert table["start"].tolist() == [0.5, 4.25, 1.0]
    assert table["end"].tolist() == [4.25, 6.0, 2.0]
    assert table["speaker"].tolist() == ["2iD-tVS8NPw", "2iD-tVS8NPw", "tmZoasNr4rU"]
    assert table["emotion"].isna().all()


def test_mosi_without_the_lists_has_no_split_and_without_audio_no_clips(tmp_path):
    root = write_mosi(tmp_path)
    (root / "cmu_mosi_std_folds.py").unlink()
    (root / "Raw/Audio/WAV_16000/Segmented").rmdir()
    table = load_corpus("cmu-mosi", root)
    assert table["split"].isna().all()
    assert table["audio"].isna().all()


def test_lists_of_folds_are_parsed_but_never_run(tmp_path):
    root = write_mosi(tmp_path)
    folds = root / "cmu_mosi_std_folds.py"
    folds.write_text(f"{folds.read_text()}\nraise SystemExit\n")
    assert load_corpus("cmu-mosi", root)["split"].tolist() == ["train", "train", "test"]
    folds.write_text("standard_train_fold=[]\nvalid=[]\n")
    with pytest.raises(ValueError, match=r"lacks the lists \['standard_valid_fold', 'standard_te"):
        load_corpus("cmu-mosi", root)
    write_folds(folds, "a", "a", "b")
    with pytest.raises(ValueError, match="std_folds.py has 'a' in train and valid"):
        load_corpus("cmu-mosi", root)


def test_mosei_segments_are_slices_of_their_video_in_order(tmp_path):
    table = load_corpus("cmu-mosei", write_mosei(tmp_path))
    assert table["utterance_id"].tolist() == ["-3g5yACwYnA_0", "-3g5yACwYnA_1"]
    assert table["start"].tolist() == [-0.1, 13.2]
    assert table["offset"].tolist() == [0.0, 13.2]
    assert table["duration"].tolist() == pytest.approx([13.2, 10.8])
    assert table["text"].fillna("").tolist() == ["", "key is___part"]
    assert set(table["audio"]) == {str(tmp_path / "Raw/Audio/Full/WAV_16000/-3g5yACwYnA.wav")}
    strengths = ["happiness", "sadness", "anger", "surprise", "disgust", "fear"]
    assert table[["sentiment", *strengths]].iloc[0].tolist() == ["0", 1, 2, 3, 4, 5, 6]


def test_mosei_with_other_labels_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="segment 0 of '-3g5yACwYnA' has 5 labels, expected the"):
        load_corpus("cmu-mosei", write_mosei(tmp_path, num_labels=5))


def test_mosei_transcript_of_another_shape_is_an_error(tmp_path):
    root = write_mosei(tmp_path)
    words = root / "Raw/Transcript/Segmented/Combined/-3g5yACwYnA.txt"
    words.write_text("-3g5yACwYnA___4___key\n")
    with pytest.raises(ValueError, match=r"the line '-3g5yACwYnA___4___key', expected video___cl"):
        load_corpus("cmu-mosei", root)


def test_a_label_file_that_is_none_is_an_error(tmp_path):
    (tmp_path / "CMU_MOSI_Opinion_Labels.csd").write_text("not found")
    with pytest.raises(ValueError, match="CMU_MOSI_Opinion_Labels.csd is no .csd file"):
        load_corpus("cmu-mosi", tmp_path)
    write_csd(tmp_path / "CMU_MOSI_Opinion_Labels.csd", "Other", {"a": [(0.0, 1.0, [1.0])]})
    with pytest.raises(ValueError, match="expected Opinion Segment Labels/data/VIDEO"):
        load_corpus("cmu-mosi", tmp_path)


def test_without_h5py_the_remedy_is_named(tmp_path):
    script = (
        "import sys; sys.modules['h5py'] = None\n"
        "from conversation_emotion.corpora import load_corpus\n"
        "load_corpus('cmu-mosi', sys.argv[1])\n"
    )
    failed = subprocess.run(
        [sys.executable, "-c", script, str(write_mosi(tmp_path))],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert "needs the package h5py: pip install 'conversation-emotion[csd]'" in failed.stderr
