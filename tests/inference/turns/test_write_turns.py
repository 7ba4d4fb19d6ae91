import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import webvtt
from lhotse import SupervisionSet
from praatio import textgrid
from pympi import Eaf

from conversation_emotion.inference.turns.read import read_turns
from conversation_emotion.inference.turns.turn import Turn, TurnError, tabulate_turns
from conversation_emotion.inference.turns.write import write_turns


@pytest.fixture
def table(tmp_path) -> pd.DataFrame:
    """Four turns with predictions: Ann overlaps herself, one speaker is unknown, one has no end."""
    recording = str(tmp_path / "talk.wav")
    soundfile.write(recording, np.zeros(6 * 8_000), 8_000)
    turns = [
        Turn(recording=recording, start=0.5, end=2.0, speaker="Ann", text='He said "<hi> & bye"'),
        Turn(recording=recording, start=1.75, end=4.125, speaker="Ann", text="two\nlines -->"),
        Turn(recording=recording, start=2.0, end=3.0, text="who? \N{GRINNING FACE}", channel=1),
        Turn(recording=recording, start=5.0, speaker="Ben", text="Fine.", problem="not predicted"),
    ]
    return tabulate_turns(turns).assign(
        emotion=pd.Series(["angry", "happy", "sad", None]),
        p_angry=[0.75, 0.125, 0.25, np.nan],
        p_happy=[0.25, 0.875, 0.25, np.nan],
        possible=pd.Series([["angry"], ["angry", "happy"], ["sad"], []]),
    )


def test_a_table_holds_every_column_and_is_read_back_equal(tmp_path, table):
    for suffix in (".csv", ".jsonl", ".parquet"):
        write_turns(table, tmp_path / "out" / f"turns{suffix}")
    frame = pd.read_parquet(tmp_path / "out" / "turns.parquet")
    frame["possible"] = frame["possible"].map(list)
    pd.testing.assert_frame_equal(frame, table, check_dtype=False)
    lines = (tmp_path / "out" / "turns.jsonl").read_text("utf-8").splitlines()
    rows = table.astype(object).where(table.notna(), None).to_dict("records")
    assert [json.loads(line) for line in lines] == rows
    frame = pd.read_csv(tmp_path / "out" / "turns.csv", keep_default_na=False, na_values=[""])
    joined = table.assign(possible=["angry", "angry|happy", "sad", ""]).replace("", None)
    missing = frame.isna().to_numpy()
    np.testing.assert_array_equal(missing, joined.isna())
    assert (missing | (frame.to_numpy() == joined.to_numpy())).all()


def test_rttm_has_speakers_emotions_and_confidences(tmp_path, table):
    write_turns(table, tmp_path / "turns.rttm")
    found = [
        (one["recording_id"], one["start"], one["duration"], one["speaker"])
        for one in SupervisionSet.from_rttm(tmp_path / "turns.rttm").to_dicts()
    ]
    expected = [
        ("talk", 0.5, 1.5, "Ann"),
        ("talk", 1.75, 2.375, "Ann"),
        ("talk", 2.0, 1.0, "<NA>"),
        ("talk", 5.0, 1.0, "Ben"),
    ]
    assert sorted(found) == expected
    lines = (tmp_path / "turns.rttm").read_text().splitlines()
    assert lines[0] == "SPEAKER talk 1 0.500 1.500 <NA> angry Ann 0.750 <NA>"
    assert lines[3] == "SPEAKER talk 1 5.000 1.000 <NA> <NA> Ben <NA> <NA>"


INTERVALS = {
    "Ann": [(0.5, 2.0, 'He said "<hi> & bye"')],
    "Ann (emotion)": [(0.5, 2.0, "angry 0.750")],
    "Ann 2": [(1.75, 4.125, "two lines -->")],
    "Ann 2 (emotion)": [(1.75, 4.125, "happy 0.875")],
    "speaker unknown": [(2.0, 3.0, "who? \N{GRINNING FACE}")],
    "speaker unknown (emotion)": [(2.0, 3.0, "sad 0.250")],
    "Ben": [(5.0, 6.0, "Fine.")],
    "Ben (emotion)": [(5.0, 6.0, "?")],
}


def test_a_textgrid_has_tiers_of_words_and_emotions(tmp_path, table):
    write_turns(table, tmp_path / "turns.TextGrid")
    grid = textgrid.openTextgrid(str(tmp_path / "turns.TextGrid"), includeEmptyIntervals=False)
    assert {tier.name: [tuple(one) for one in tier.entries] for tier in grid.tiers} == INTERVALS
    assert (grid.minTimestamp, grid.maxTimestamp) == (0, 6)


def test_elan_has_the_same_tiers_with_their_participants_and_the_recording(tmp_path, table):
    write_turns(table, tmp_path / "turns.eaf")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        eaf = Eaf(tmp_path / "turns.eaf")
    found = {
        name: [(start / 1000, end / 1000, label) for start, end, label, *_ in data]
        for name in eaf.get_tier_names()
        for data in [eaf.get_annotation_data_for_tier(name)]
    }
    assert found == INTERVALS
    assert eaf.get_parameters_for_tier("Ann 2")["PARTICIPANT"] == "Ann"
    (media,) = eaf.get_linked_files()
    assert media["MEDIA_URL"] == (tmp_path / "talk.wav").as_uri()
    assert media["RELATIVE_MEDIA_URL"] == "./talk.wav"


def test_webvtt_has_voices_and_emotions(tmp_path, table):
    write_turns(table, tmp_path / "turns.vtt")
    captions = webvtt.read(str(tmp_path / "turns.vtt")).captions
    assert [(one.start, one.end, one.voice) for one in captions] == [
        ("00:00:00.500", "00:00:02.000", "Ann"),
        ("00:00:01.750", "00:00:04.125", "Ann"),
        ("00:00:02.000", "00:00:03.000", None),
        ("00:00:05.000", "00:00:06.000", "Ben"),
    ]
    assert captions[0].text == '[angry 75%] He said "&lt;hi&gt; &amp; bye"'


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet", ".eaf", ".vtt", ".TextGrid"])
def test_what_was_written_is_read_as_turns(tmp_path, table, suffix, capsys):
    columns = ["audio", "text", "speaker", "start", "end", "channel"]
    given = table[columns] if suffix in (".csv", ".jsonl", ".parquet") else table
    write_turns(given, tmp_path / f"talk{suffix}")
    turns = sorted(read_turns(tmp_path / f"talk{suffix}"), key=lambda turn: turn.start or 0)
    assert [(turn.start, turn.recording) for turn in turns] == [
        (start, str(tmp_path / "talk.wav")) for start in (0.5, 1.75, 2.0, 5.0)
    ]
    texts = [" ".join(text.split()) for text in table["text"]]
    assert [" ".join((turn.text or "").split()) for turn in turns] == texts
    speakers = ["Ann", "Ann 2" if suffix == ".TextGrid" else "Ann", None, "Ben"]
    assert [turn.speaker for turn in turns] == speakers


def test_turns_without_words_are_tiers_of_emotions_that_are_read_as_turns(tmp_path, table):
    write_turns(table.assign(text=None), tmp_path / "talk.TextGrid")
    turns = read_turns(tmp_path / "talk.TextGrid")
    assert [(turn.start, turn.speaker, turn.text) for turn in turns] == [
        (0.5, "Ann", None), (1.75, "Ann 2", None), (2.0, None, None), (5.0, "Ben", None),
    ]  # fmt: skip


@pytest.mark.parametrize("suffix", [".csv", ".rttm", ".TextGrid", ".eaf", ".vtt"])
def test_no_turns_are_a_file_without_any(tmp_path, table, suffix):
    write_turns(table.iloc[:0], tmp_path / f"turns{suffix}")
    with pytest.raises(TurnError, match=r"turns\.\w+: (holds no (turns|rows)|is no whole)"):
        read_turns(tmp_path / f"turns{suffix}")


def test_turns_without_a_place_in_time_are_left_out_of_annotation_and_counted(
    tmp_path, table, capsys
):
    words = Turn(text="no sound")
    backwards = Turn(recording=table["recording"].iloc[0], start=3.0, end=2.0, text="x")
    mixed = pd.concat([table, tabulate_turns([words, backwards])], ignore_index=True)
    write_turns(mixed, tmp_path / "turns.rttm")
    assert len((tmp_path / "turns.rttm").read_text().splitlines()) == 4
    assert capsys.readouterr().out == (
        f"{tmp_path / 'turns.rttm'}: 2 turns have no place in time, and are left out\n"
    )


@pytest.mark.parametrize(
    ("name", "changes", "problem"),
    [
        ("a.docx", {}, r"a\.docx: ends in '\.docx', expected \.csv, \.jsonl"),
        ("a.eaf", {"recording": ["b.wav", "c.wav", "c.wav", "c.wav"]},
         r"a\.eaf: a file of this kind is of one recording, the turns are of 2"),
        ("a.rttm", {"speaker": ["Ann B", "Ann_B", "C", "D"]},
         "RTTM has no spaces in names: 'Ann B' would be 'Ann_B', as another is"),
        ("talk.wav/a.csv", {}, r"talk\.wav/a\.csv: cannot be written \("),
    ],
)  # fmt: skip
def test_what_cannot_be_written_is_a_sentence_and_leaves_the_file(
    tmp_path, table, name, changes, problem
):
    if "/" not in name:
        (tmp_path / name).write_text("before")
    with pytest.raises(TurnError, match=problem):
        write_turns(table.assign(end=table["end"].fillna(6.0), **changes), tmp_path / name)
    if "/" not in name:
        assert (tmp_path / name).read_text() == "before"
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, "talk.wav"])


def test_an_error_while_writing_leaves_what_was_there(tmp_path: Path, table, monkeypatch):
    (tmp_path / "a.parquet").write_text("before")

    def write_half(self, path, index):
        Path(path).write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_parquet", write_half)
    with pytest.raises(TurnError, match=r"a\.parquet: cannot be written \(No space left"):
        write_turns(table, tmp_path / "a.parquet")
    assert (tmp_path / "a.parquet").read_text() == "before"
    assert not list(tmp_path.glob(".*"))


def test_characters_that_a_format_does_not_have_are_replaced(tmp_path, table):
    recording = table["recording"].iloc[0]
    turn = Turn(recording=recording, start=1.0, end=2.0, text="a\x07b\udc80", speaker='"A" <x>')
    given = tabulate_turns([turn]).assign(emotion="sad")
    for suffix in (".csv", ".jsonl", ".parquet", ".eaf", ".TextGrid", ".vtt", ".rttm"):
        write_turns(given, tmp_path / f"talk{suffix}")
    (turn,) = read_turns(tmp_path / "talk.eaf")
    assert (turn.speaker, turn.text) == ('"A" <x>', "a\N{REPLACEMENT CHARACTER}b\\udc80")
    (turn,) = read_turns(tmp_path / "talk.TextGrid")
    assert turn.speaker == '"A" <x>'
    (turn,) = read_turns(tmp_path / "talk.vtt")
    assert turn.speaker == '"A" <x>'
