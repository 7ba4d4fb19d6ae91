"""The exploration of a corpus, from the command to its page and data."""

import html
import json
import re
import sys
from pathlib import Path

import pandas as pd
import pytest
import soundfile

from conversation_emotion.corpora.iemocap import IemocapOptions
from conversation_emotion.exploration import spaces
from conversation_emotion.settings.corpus import OneCorpusSettings
from conversation_emotion.settings.exploration import ExploreSettings
from experiments.explore import run
from experiments.framework.commandline import parse
from tests.chromium import find_violations, needs_chromium, open_chromium
from tests.command_line import usage_error
from tests.hums import write_hum

EVIL = "</script><img src=x onerror=alert(1)>"
NO_ENCODERS = {"speech_encoder": (), "text_encoder": ()}


def write_manifest(folder: Path) -> Path:
    """Writes two dialogues of eight turns, votes of two raters, and three clips that are odd.

    Clip 15 is that of turn 1, clip 14 is broken, and clip 5 is shorter than the others.
    """
    rows = []
    for number in range(16):
        name = f"{number}.wav"
        write_hum(folder / name, number % 2, number // 2)
        rows.append(
            {
                "utterance_id": f"u{number:02}",
                "dialogue_id": f"d{number // 8}",
                "speaker": EVIL if number % 4 > 1 else "Ann",
                "emotion": ("sad", "angry")[number % 2],
                "text": f"Line {number} {EVIL}",
                "audio": name,
                "split": "train" if number < 8 else "test",
                "bob": ("sad", "angry")[number % 2],
                "cem": "sad",
            }
        )
    rows[15]["audio"] = "1.wav"
    samples, rate = soundfile.read(folder / "5.wav")
    soundfile.write(folder / "5.wav", samples[:2000], rate)
    (folder / "14.wav").write_bytes(b"no audio")
    pd.DataFrame(rows).to_csv(folder / "manifest.csv", index=False)
    return folder / "manifest.csv"


def explore(root: Path, output: Path, **others) -> tuple[str, dict]:
    data = OneCorpusSettings(corpus="manifest", root=root)
    run(ExploreSettings(data=data, output=output, **others))
    return output.read_text("utf-8"), json.loads(output.with_suffix(".json").read_text("utf-8"))


def read_text(page: str) -> str:
    text = re.sub(r"<(script|style)\b.*?</\1>|<[^>]+>", " ", page, flags=re.S)
    return " ".join(html.unescape(text).split())


@pytest.fixture(scope="module")
def explored(tmp_path_factory):
    """The page, its data and its place; points are laid out without t-SNE."""
    folder = tmp_path_factory.mktemp("explored")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONVERSATION_EMOTION_CACHE", str(folder / "cache"))
        patch.setattr(spaces, "project", lambda values: (50 + values[:, :2].clip(-9, 9)).round(1))
        page, data = explore(
            write_manifest(folder),
            folder / "page.html",
            speech_encoder=("fbank",),
            text_encoder=(),
            raters=("bob", "cem"),
        )
    return page, data, folder


def test_the_page_has_what_the_corpus_holds(explored):
    text = read_text(explored[0])
    assert "16 utterances of 2 speakers in 2 dialogues" in text
    assert "15 can be read" in text
    assert "Recordings that cannot be read: 1" in text
    assert "● angry 8 50 % ■ sad 8 50 %" in text
    # Of eight turns in twos the speaker changes three times.
    assert "The speaker stays the same from a turn to the next in 57 %." in text
    assert "shortest: 1, beyond 3.5 robust deviations of the median" in text
    # Bob and Cem agree on the eight that are sad.
    assert "16 utterances with two votes or more; 50 % of the pairs of votes agree" in text
    assert "u01, u15 split, speaker" in text


def test_the_data_say_the_same_as_the_page(explored):
    _, data, _ = explored
    assert data["classes"] == {"target": "emotion", "labels": ["angry", "sad"], "counts": [8, 8]}
    assert data["sound"]["num_failed"] == 1
    own, other = data["transitions"]
    assert sum(map(sum, own["counts"])) == 12
    # Turns 0 and 1 of a dialogue have nobody else's before them.
    assert sum(map(sum, other["counts"])) == 12
    assert [one["encoder"] for one in data["spaces"]] == ["egemaps", "fbank"]
    assert data["acoustics"]["num_utterances"] == 15
    features = {one["name"] for one in data["acoustics"]["effects"]}
    assert len(features) == 88
    assert "loudness_sma3_amean" in features


def test_a_corpus_cannot_write_into_the_page(explored):
    assert "<img" not in explored[0]
    assert EVIL in read_text(explored[0])


@needs_chromium
def test_the_page_is_accessible_its_planes_change_colours_and_its_clips_play(explored):
    page_file = explored[2] / "page.html"
    with open_chromium() as browser:
        page, heard = browser.new_page(viewport={"width": 390, "height": 800}), []
        page.on("console", lambda one: heard.append(one.text))
        page.goto(page_file.as_uri())
        assert find_violations(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        by_class = page.evaluate("[...document.querySelectorAll('use')].map(x => x.outerHTML)")
        page.click("button:text('split')")
        by_part = page.evaluate("[...document.querySelectorAll('use')].map(x => x.outerHTML)")
        assert by_class != by_part
        assert page.is_visible("text=■ test") or page.is_visible("text=● test")
        sounds = page.locator("audio").count()
        assert sounds > 0
        page.evaluate("document.querySelector('audio').load()")
        page.wait_for_function("document.querySelector('audio').duration > 0.1", timeout=5000)
        assert heard == []


def test_without_opensmile_the_page_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "opensmile", None)
    monkeypatch.setenv("CONVERSATION_EMOTION_CACHE", str(tmp_path / "cache"))
    page, data = explore(write_manifest(tmp_path), tmp_path / "page.html", **NO_ENCODERS)
    note = "egemaps is left out: egemaps: openSMILE is not installed; pip install"
    assert note in read_text(page)
    assert note in capsys.readouterr().out
    assert (data["acoustics"], data["spaces"]) == (None, [])


def test_words_alone_without_labels_are_a_page_too(tmp_path, monkeypatch):
    monkeypatch.setenv("CONVERSATION_EMOTION_CACHE", str(tmp_path / "cache"))
    table = pd.DataFrame({"utterance_id": ["a", "b"], "text": ["Well, well.", "No"]})
    table.to_csv(tmp_path / "manifest.csv", index=False)
    page, data = explore(tmp_path, tmp_path / "page.html", **NO_ENCODERS)
    text = read_text(page)
    assert "No utterance has a value of emotion ; --target names another column." in text
    assert "No dialogue has two turns: nobody answers." in text
    assert "The corpus names no recordings here." in text
    assert [one["name"] for one in data["measures"]] == ["words"]
    assert data["measures"][0]["most"] == 2


def test_a_column_that_is_named_as_votes_and_holds_none_is_noted(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CONVERSATION_EMOTION_CACHE", str(tmp_path / "cache"))
    table = pd.DataFrame({"utterance_id": ["a", "b"], "text": "Well.", "evaluators": ["3", "x"]})
    table.to_csv(tmp_path / "manifest.csv", index=False)
    _, data = explore(tmp_path, tmp_path / "page.html", **NO_ENCODERS)
    assert data["agreement"] is None
    assert (
        "note: no agreement of raters: utterance 'a' has evaluators '3'" in capsys.readouterr().out
    )


def test_encoders_see_a_sample_and_all_else_counts_everybody(tmp_path, monkeypatch):
    monkeypatch.setenv("CONVERSATION_EMOTION_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(sys.modules, "opensmile", None)
    _, data = explore(
        write_manifest(tmp_path),
        tmp_path / "page.html",
        speech_encoder=("fbank",),
        text_encoder=(),
        sample=10,
        audio_mib=0.0,
    )
    (space,) = data["spaces"]
    assert len(space["rows"]) == 10
    assert 14 not in space["rows"]
    assert data["measures"][0]["count"] == 15


def test_an_encoder_that_was_asked_for_and_is_none_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setenv("CONVERSATION_EMOTION_CACHE", str(tmp_path / "cache"))
    with pytest.raises(OSError, match="nowhere"):
        explore(
            write_manifest(tmp_path),
            tmp_path / "page.html",
            speech_encoder=("nowhere",),
            text_encoder=(),
        )


def test_options_of_a_corpus_are_options_of_its_exploration():
    flags = ["--corpus=iemocap", "--root=IEMOCAP", "--scenario=improvised"]
    assert parse(ExploreSettings, flags).data.options == IemocapOptions(scenario="improvised")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--speech-layers=all"], "--speech-layers all has several spaces; name one layer"),
        (["--output=page.txt"], "--output must end in .html, got page.txt"),
        (["--sample=3"], "--sample must be 10 or more, got 3"),
        (["--raters", "a", "a"], "--raters names a more than once"),
        (["--corpus=emodb"], "--corpus emodb needs --root"),
    ],
)
def test_settings_that_cannot_be_used_are_usage_errors(flags, message, capsys):
    assert message in usage_error(ExploreSettings, flags, capsys)
