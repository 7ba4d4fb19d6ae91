import json
import time
import warnings
from dataclasses import astuple
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import srt
import webvtt
from praatio import textgrid
from praatio.utilities.constants import Interval, Point
from pympi import Eaf

from conversation_emotion.inference.turns.read import read_turns
from conversation_emotion.inference.turns.turn import TurnError

TURNS = [(0.5, 2.0, "anna", "Hello, there."), (1.75, 4.125, "ben", 'R&D "<now>"?')]
"""Start, end, speaker, words."""

RTTM = """;; a comment
SPKR-INFO talk 1 <NA> <NA> <NA> unknown anna <NA> <NA>
SPEAKER talk 1 0.5 1.5 <NA> <NA> anna 0.9 <NA>
SPEAKER talk 1 1.75 2.375 <NA> <NA> ben <NA> <NA>
"""

WHISPERX = {
    "segments": [
        {"start": start, "end": end, "text": f" {text}", "speaker": speaker, "words": []}
        for start, end, speaker, text in TURNS
    ],
    "word_segments": [],
    "language": "en",
}

FUNASR = [
    {
        "key": "talk",
        "text": "Hello, there.",
        "timestamp": [[500, 900]],
        "sentence_info": [
            {"text": text, "start": round(1000 * start), "end": round(1000 * end), "spk": number}
            for number, (start, end, _, text) in enumerate(TURNS)
        ],
    }
]


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder with a recording of five seconds."""
    soundfile.write(tmp_path / "talk.wav", np.zeros(5 * 8_000), 8_000)
    return tmp_path


def write_textgrid(path: Path) -> None:
    grid = textgrid.Textgrid(0, 5)
    for start, end, speaker, text in TURNS:
        grid.addTier(textgrid.IntervalTier(speaker, [Interval(start, end, text)], 0, 5))
    grid.addTier(textgrid.PointTier("beeps", [Point(1.0, "beep")], 0, 5))
    grid.addTier(textgrid.IntervalTier("anna - words", [Interval(0.5, 1.0, "Hello")], 0, 5))
    grid.save(str(path), "long_textgrid", includeBlankSpaces=True)


def write_elan(path: Path) -> None:
    eaf = Eaf()
    eaf.remove_tier("default")
    eaf.add_linked_file("file:///C:/my%20data/talk.wav", mimetype="audio/x-wav")
    for number, (start, end, speaker, text) in enumerate(TURNS):
        eaf.add_tier(f"tier {number}", part=speaker)
        eaf.add_annotation(f"tier {number}", round(1000 * start), round(1000 * end), text)
    eaf.to_file(path)


def write_webvtt(path: Path) -> None:
    document = webvtt.WebVTT()
    for start, end, speaker, text in TURNS:
        marked = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        times = (f"00:00:{start:06.3f}", f"00:00:{end:06.3f}")
        document.captions.append(webvtt.Caption(*times, f"<v.loud {speaker}><i>{marked}</i></v>"))
    document.save(str(path))


def write_srt(path: Path) -> None:
    cues = [
        srt.Subtitle(n, timedelta(seconds=start), timedelta(seconds=end), f"[{speaker}]: {text}")
        for n, (start, end, speaker, text) in enumerate(TURNS, start=1)
    ]
    path.write_text(srt.compose(cues), "utf-16")


def write_csv(path: Path) -> None:
    table = pd.DataFrame(TURNS, columns=["start", "end", "speaker", "text"])
    table.assign(audio="talk.wav", note="x").to_csv(path, index=False)


WRITERS = {
    "talk.rttm": lambda path: path.write_text(RTTM),
    "talk.en.srt": write_srt,
    "talk.vtt": write_webvtt,
    "talk.TextGrid": write_textgrid,
    "other.eaf": write_elan,
    "talk.json": lambda path: path.write_text(json.dumps(WHISPERX)),
    "other.json": lambda path: path.write_text(json.dumps(FUNASR)),
    "list.json": lambda path: path.write_text(json.dumps(WHISPERX["segments"])),
    "table.csv": write_csv,
}


@pytest.mark.parametrize("name", WRITERS)
def test_turns_of_other_tools_are_read(folder, name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        WRITERS[name](folder / name)
    audio = folder / "talk.wav" if name == "list.json" else None
    turns = read_turns(folder / name, audio)
    assert [turn.problem for turn in turns] == ["", ""]
    assert {turn.recording for turn in turns} == {str(folder / "talk.wav")}
    found = [(turn.start, turn.end, turn.speaker, turn.text) for turn in turns]
    speakers = ["0", "1"] if name == "other.json" else ["anna", "ben"]
    texts = [None, None] if name == "talk.rttm" else [text for *_, text in TURNS]
    assert found == [
        (start, end, speaker, text)
        for (start, end, _, _), speaker, text in zip(TURNS, speakers, texts, strict=True)
    ]
    assert {turn.language for turn in turns} == {"en" if name == "talk.json" else None}


def test_chunks_of_transformers_and_words_of_funasr_have_times(folder):
    chunks = {"text": "a b", "chunks": [{"text": "a b", "timestamp": [0.5, None]}]}
    (folder / "talk.json").write_text(json.dumps(chunks))
    (turn,) = read_turns(folder / "talk.json")
    assert (turn.start, turn.end, turn.text) == (0.5, None, "a b")
    words = [{"key": "talk", "text": "a b", "timestamp": [[500, 700], [800, 1250]]}]
    (folder / "x.json").write_text(json.dumps(words))
    (turn,) = read_turns(folder / "x.json")
    assert (turn.start, turn.end, turn.text) == (0.5, 1.25, "a b")


def test_channels_of_rttm_count_where_there_are_several(folder):
    line = "SPEAKER talk {} 0.5 1.0 <NA> <NA> anna <NA> <NA>\n"
    (folder / "talk.rttm").write_text(line.format(1) * 2)
    assert [turn.channel for turn in read_turns(folder / "talk.rttm")] == [None, None]
    (folder / "talk.rttm").write_text(line.format(1) + line.format(2))
    assert [turn.channel for turn in read_turns(folder / "talk.rttm")] == [0, 1]


def test_a_cue_of_two_voices_is_two_turns_and_emotions_are_no_words(folder):
    (folder / "talk.vtt").write_text(
        "WEBVTT\n\nSTYLE\n::cue { color: red }\n\nNOTE\nx --> y\n\nfirst\n"
        "00:01.000 --> 00:02.500 align:start\n<v Anna><c.emotion>[angry 83%]</c> Oh\n<v Ben>No"
    )
    turns = read_turns(folder / "talk.vtt")
    assert [(turn.speaker, turn.text) for turn in turns] == [("Anna", "Oh"), ("Ben", "No")]
    assert {(turn.start, turn.end) for turn in turns} == {(1.0, 2.5)}


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.rttm", "SPEAKER talk 1 0.5 -0.25 <NA> <NA> a <NA> <NA>",
         "line 1: ends at 0.25 s, before it starts at 0.5 s"),
        ("a.rttm", "SPEAKER talk 1 9 1 <NA> <NA> a <NA> <NA>",
         "line 1: starts at 9 s, outside of {folder}/talk.wav, which has 5 s"),
        ("a.rttm", "\nSPEAKER talk 1 0,5 1 <NA> <NA> a <NA> <NA>",
         "line 2: starts at '0,5', expected seconds"),
        ("a.rttm", "SPEAKER talk 1 nan 1 <NA> <NA> a <NA> <NA>",
         "line 1: starts at 'nan', expected seconds"),
        ("a.rttm", "SPEAKER talk 1 1 0.01 <NA> <NA> a <NA> <NA>",
         "line 1: lasts 10 ms, expected 25 ms or more"),
        ("a.rttm", "SPEAKER talk 1 1 1 <NA> <NA> a", "line 1: has 8 fields, expected 10"),
        ("a.rttm", RTTM.replace("SPEAKER talk", "SPEAKER walk", 1),
         "line 3: no recording 'walk' in {folder}; name it with --audio"),
        ("talk.srt", "1\n00:00:01 -> 00:00:02\nHello",
         "line 1: expected times such as 00:00:01,000 --> 00:00:02,000, got '1'"),
        ("a.json", '[{"start": -1, "end": 2, "text": "x"}]',
         "segments 1: starts at -1 s, expected 0 s or more"),
        ("a.json", '{"segments": ["x"]}', "segments 1: is 'x', expected an object"),
        ("a.csv", "audio,channel\ntalk.wav,0.5", "line 2: has channel 0.5, expected 0, 1, 2, ..."),
        ("a.csv", "audio,text\nwalk.wav,",
         "line 2: no recording 'walk.wav' in {folder}; name it with --audio"),
        ("a.csv", "text,speaker\n,anna", "line 2: has neither audio nor text"),
    ],
)  # fmt: skip
def test_a_turn_that_cannot_be_used_stays_with_its_problem(folder, name, content, problem):
    (folder / name).write_text(content)
    turn = read_turns(folder / name)[0]
    assert turn.problem == f"{folder / name} {problem.format(folder=folder)}"


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.srt", "1\nCaf\u00e9".encode("latin-1"),
         r"a\.srt line 2: byte 0xe9 is not UTF-8; save the file as UTF-8"),
        ("a.rttm", b"SPEAKER a\n\0\0", r"a\.rttm line 2: holds a zero byte"),
        ("a.rttm", b"RIFF this is no table", r"a\.rttm line 1: begins with 'RIFF', expected SPEAK"),
        ("a.rttm", b"", r"a\.rttm: holds no turns"),
        ("a.json", b'{"segments": [\n}', r"a\.json line 2: is no JSON"),
        ("a.json", b"{}", r"a\.json: has nothing, expected segments"),
        ("a.json", b"3", r"a\.json: holds a int, expected segments"),
        ("a.json", b"[" * 100_000, r"a\.json.*: is no JSON"),
        ("a.json", b'{"segments": [{"start": ' + b"9" * 5_000 + b"}]}", r"a\.json.*: is no JSON"),
        ("a.TextGrid", b"no grid", r"a\.TextGrid: is no whole TextGrid"),
        ("a.TextGrid", b"ooBinaryFile\x08TextGrid", r"a\.TextGrid: is a binary TextGrid"),
        ("a.eaf", b"<ANNOTATION_DOCUMENT>\n<TIER>", r"a\.eaf line 2: is no XML of ELAN"),
        ("a.eaf", b"<html/>", r"a\.eaf: begins with html, expected ANNOTATION_DOCUMENT"),
        ("a.csv", b"audio,Speakr\nx,y", r"a\.csv: has the column 'Speakr'; rename it to 'speaker'"),
        ("a.csv", b"start,end\n0,1", r"a\.csv: has the columns start, end, expected audio or text"),
        ("a.csv", b"audio,start\nx.wav,soon", r"a\.csv line 2 has start 'soon', expected a number"),
        ("a.csv", b"audio,start\n", r"a\.csv: holds no rows"),
        ("a.parquet", b"PAR1", r"a\.parquet is no whole Parquet file"),
        ("a.txt", b"", r"a\.txt: ends in '\.txt', expected \.rttm, \.srt"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_read_is_a_sentence(folder, name, content, problem):
    (folder / name).write_bytes(content)
    with pytest.raises(TurnError, match=problem) as caught:
        read_turns(folder / name)
    assert "\n" not in str(caught.value)


def test_a_missing_file_or_recording_is_named(folder):
    with pytest.raises(TurnError, match=r"b\.rttm: there is no such file"):
        read_turns(folder / "b.rttm")
    (folder / "a.rttm").write_text(RTTM)
    with pytest.raises(TurnError, match=r"a\.rttm: its recording .*walk\.wav does not exist"):
        read_turns(folder / "a.rttm", folder / "walk.wav")


@pytest.mark.parametrize(
    ("suffix", "mark"), [("vtt", "<v "), ("vtt", "<c.emotion>"), ("vtt", "</i "), ("srt", "{\\")]
)
def test_marks_that_never_end_are_read_at_once(folder, suffix, mark):
    file = folder / f"talk.{suffix}"
    file.write_text(f"WEBVTT\n\n00:00:01,000 --> 00:00:02,000\n{mark * 20_000}\n")
    began = time.process_time()
    read_turns(file)
    assert time.process_time() - began < 1.0  # each read to the end, they take ten times as long


def test_words_without_sound_are_turns_of_words(folder, capsys):
    (folder / "a.csv").write_text("text,speaker\nHello,anna\n")
    assert [astuple(turn)[3:5] for turn in read_turns(folder / "a.csv")] == [("anna", "Hello")]
    (folder / "walk.srt").write_text("1\n00:00:01,000 --> 00:00:02,000\nHello\n")
    (turn,) = read_turns(folder / "walk.srt")
    assert (turn.recording, turn.text, turn.problem) == (None, "Hello", "")
    assert "walk.srt: 1 turns have words but no recording, and are kept" in capsys.readouterr().out


def test_overlapping_turns_and_those_that_end_too_late_are_kept_and_reported(folder, capsys):
    starts = {"anna": (0.5, 1.0), "ben": (1.0, 4.5)}
    lines = [
        f"SPEAKER talk 1 {start} 1.0 <NA> <NA> {speaker} <NA> <NA>\n"
        for speaker, times in starts.items()
        for start in times
    ]
    (folder / "talk.rttm").write_text("".join(lines))
    turns = read_turns(folder / "talk.rttm")
    assert [turn.end for turn in turns] == [1.5, 2.0, 2.0, 5.0]
    assert {turn.problem for turn in turns} == {""}
    path = folder / "talk.rttm"
    assert capsys.readouterr().out.splitlines() == [
        f"talk.rttm: 1 turns end after their recording, and are shortened: {path} line 4",
        f"talk.rttm: 1 turns overlap another of their speaker, and are kept: {path} line 2",
    ]


def test_a_recording_that_does_not_decode_is_the_problem_of_its_turns(folder):
    (folder / "talk.wav").write_bytes(b"")
    (folder / "talk.rttm").write_text(RTTM)
    problems = [turn.problem for turn in read_turns(folder / "talk.rttm")]
    assert len(problems) == 2
    assert "talk.rttm line 3: " in problems[0]
    assert "talk.wav: does not decode" in problems[0]


def test_tiers_of_words_alone_are_no_turns(folder):
    grid = textgrid.Textgrid(0, 5)
    grid.addTier(textgrid.IntervalTier("anna - words", [Interval(0.5, 1.0, "Hello")], 0, 5))
    grid.save(str(folder / "talk.TextGrid"), "short_textgrid", includeBlankSpaces=True)
    with pytest.raises(TurnError, match=r"talk\.TextGrid: has only the tiers anna - words"):
        read_turns(folder / "talk.TextGrid")
