"""EmoBox's test lists, line by line as distributed, found in the layouts of the corpora."""

import json
from pathlib import Path

import pandas as pd
import pytest

from conversation_emotion.splits.emobox import find_listed
from conversation_emotion.utterances.table import build_utterances


def write_list(path: Path, *entries: tuple[str, str, str]) -> Path:
    keys = ("wav_filename", "label", "speaker")
    lines = [json.dumps(dict(zip(keys, entry, strict=True))) for entry in entries]
    path.write_text("\n".join(lines) + "\n")
    return path


def table(*rows: tuple[str, str | None, str, str | None]) -> pd.DataFrame:
    """Rows of id, audio, class and part."""
    return build_utterances(
        [
            {
                "utterance_id": name,
                "dialogue_id": f"{number:02}",
                "order": 0,
                "speaker": "s",
                "audio": audio,
                "emotion": emotion,
                "split": part,
            }
            for number, (name, audio, emotion, part) in enumerate(rows)
        ],
        "any",
    )


def test_ravdess_and_savee_are_known_by_folder_and_name_or_by_id(tmp_path):
    listed = write_list(
        tmp_path / "list.jsonl",
        ("Actor_15/03-01-03-01-01-02-15.wav", "happy", "15"),
        ("JK/sa09.wav", "sad", "JK"),
        ("KL/sa09.wav", "sad", "KL"),
        ("DC/sa09.wav", "sad", "DC"),
    )
    found = find_listed(
        listed,
        table(
            ("emodb:JE_sa09", "/SAVEE/JE/sa09.wav", "sad", None),
            ("savee:JK_sa09", "/flat/JK_sa09.wav", "sad", None),
            ("savee:KL_sa09", "/SAVEE/KL/sa09.wav", "sad", None),
            ("x:03-01-03-01-01-02-15", "/R/Actor_15/03-01-03-01-01-02-15.wav", "happy", None),
        ),
    )
    assert found.rows.tolist() == [1, 2, 3]
    assert (found.num_listed, found.num_unclear) == (4, 0)


def test_iemocap_is_matched_by_its_id_whoever_speaks_in_the_list(tmp_path):
    listed = write_list(tmp_path / "list.jsonl", ("happy/Ses02F_impro07_M028.wav", "happy", "02F"))
    found = find_listed(
        listed, table(("iemocap:Ses02F_impro07_M028", "/I/Ses02F_impro07_M028.wav", "happy", None))
    )
    assert found.rows.tolist() == [0]


def test_melds_parts_are_separated_by_the_label_then_by_their_order(tmp_path):
    listed = write_list(
        tmp_path / "list.jsonl",
        ("audio/dia5_utt8.wav", "angry", "Rachel"),
        ("audio/dia6_utt1.wav", "sad", "Joey"),
    )
    found = find_listed(
        listed,
        table(
            ("meld:test_dia5_utt8", "/M/output/dia5_utt8.mp4", "angry", "test"),
            ("meld:train_dia5_utt8", "/M/train/dia5_utt8.mp4", "angry", "train"),
            ("meld:train_dia6_utt1", "/M/train/dia6_utt1.mp4", "happy", "train"),
            ("meld:valid_dia6_utt1", "/M/dev/dia6_utt1.mp4", "sad", "valid"),
        ),
    )
    assert found.rows.tolist() == [1, 3]
    assert found.num_unclear == 1


def test_a_list_of_another_corpus_is_refused(tmp_path):
    rows = table(("u", "/R/Actor_01/u.wav", "sad", None))
    wrong = write_list(tmp_path / "wrong.jsonl", ("Actor_01/u.wav", "happy", "01"))
    with pytest.raises(ValueError, match=r"Actor_01/u\.wav is happy, but in the corpus sad"):
        find_listed(wrong, rows)
    absent = write_list(tmp_path / "absent.jsonl", ("JK/sa09.wav", "sad", "JK"))
    with pytest.raises(ValueError, match=r"none of its 1 utterances is in the corpus, first JK/sa"):
        find_listed(absent, rows)
    (tmp_path / "broken.jsonl").write_text("JK/sa09.wav sad\n")
    with pytest.raises(ValueError, match=r"has the line 'JK/sa09\.wav sad', expected wav_filename"):
        find_listed(tmp_path / "broken.jsonl", rows)
