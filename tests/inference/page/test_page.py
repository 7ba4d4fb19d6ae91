"""The page of predictions: what it shows of each turn, what it leaves out and says so."""

import base64
import hashlib
import html
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from conversation_emotion.evaluation.calibration import Calibration
from conversation_emotion.figures.documents import format_markdown
from conversation_emotion.inference.page import conversations, read_about, render_page, write_page
from conversation_emotion.inference.page.sounds import compress, embed_sounds
from conversation_emotion.inference.saved_model import find_model, read_card
from conversation_emotion.settings.page import PageSettings

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def card():
    return read_card(find_model("default") / "config.json")


@pytest.fixture(scope="module")
def recording(tmp_path_factory) -> str:
    """Four seconds of a tone."""
    path = tmp_path_factory.mktemp("sounds") / "talk.wav"
    times = np.arange(4 * 16_000) / 16_000
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * 220 * times), 16_000)
    return str(path)


@pytest.fixture
def turns(recording) -> pd.DataFrame:
    """A says two turns, B one between them and one that is not predicted."""
    return pd.DataFrame(
        {
            "recording": recording,
            "start": [0.0, 1.0, 2.0, 3.5],
            "end": [1.0, 2.0, 3.0, 4.0],
            "speaker": ["A", "B", "A", "B"],
            "text": ["hello", "no", "well", None],
            "emotion": ["anger", "sadness", "neutral", None],
            "confidence": [0.9, 0.4, 0.6, np.nan],
            "prediction_set": ["anger", "sadness|fear", "neutral", None],
            "valence": [-0.5, -0.6, 0.0, np.nan],
            "activation": [0.6, -0.3, 0.0, np.nan],
            "problem": ["", "", "", "no audio or text to use"],
        }
    )


@pytest.fixture
def render(card):
    def make(table: pd.DataFrame, **options) -> str:
        settings = PageSettings(**{key: options.pop(key) for key in [*options] if "report" in key})
        return render_page(table, card, settings, about=options.pop("about", "# it"), **options)

    return make


def read_data(page: str):
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    assert found is not None
    return json.loads(found[1])


def read_text(page: str) -> str:
    """What is written on a page, without its tags."""
    text = re.sub(r"<(script|style)\b.*?</\1>|<[^>]+>", " ", page, flags=re.S)
    return " ".join(html.unescape(text).split())


def test_a_turn_has_time_speaker_emotion_certainty_and_words(render, turns):
    page = render(turns)
    text = read_text(page)
    minus = "\N{MINUS SIGN}"
    assert f"▶ 0:01 B ★ sadness 40 % or fear {minus}0.60 {minus}0.30 no" in text
    assert "B no audio or text to use" in text
    drawn = read_data(page)["conversations"][0]
    assert [turn["start"] for turn in drawn["turns"]] == [0, 1, 2, 3.5]
    assert drawn["speakers"] == ["A", "B"]
    assert "4 turns of 1 conversation, 0:04 long together; 1 without an emotion" in text


def test_shares_of_a_speaker_are_of_the_time_in_which_an_emotion_is_known(render, turns):
    turns.loc[2, "end"] = 3.25  # A: 1 s of anger, 1.25 s of neutral
    text = read_text(render(turns))
    assert "A 2 0:02 ✖ neutral 56 %, ● anger 44 %" in text
    assert "B 2 0:02 ★ sadness 100 %" in text


def test_a_forecast_is_matched_with_the_turn_that_came(render, turns):
    turns["next_same"] = ["neutral", "fear", "sadness", None]
    turns["next_other"] = ["sadness", "anger", None, None]
    turns["forecast_other_sadness"] = [0.7, 0.1, 0.2, np.nan]
    page = render(turns)
    expected = [turn["expected"] for turn in read_data(page)["conversations"][0]["turns"]]
    # B's last turn: nothing of anybody else was forecast before it, so that B's own turn counts.
    assert expected == [
        None,
        {"emotion": "sadness 70 %", "mark": "✓"},
        {"emotion": "anger", "mark": "✗"},
        {"emotion": "fear", "mark": "?"},
    ]
    assert "of 2 turns 1 came as was forecast" in read_text(page)


def test_a_turn_that_had_begun_was_not_forecast(render, turns):
    turns["next_other"] = ["sadness", None, None, None]
    turns.loc[1, "start"] = 0.5
    assert "came as was forecast" not in render(turns)


def test_frames_make_finer_curves(render, turns):
    times = np.arange(0, 4, 0.5)
    frames = pd.DataFrame(
        {
            "recording": turns["recording"][0],
            "time": times,
            "valence": times / 4,
            "activation": np.where(times < 1, np.nan, 0.0),
        }
    )
    curve = read_data(render(turns, frames=frames))["conversations"][0]["curve"]
    assert curve["valence"] == (times / 4).tolist()
    assert curve["activation"] == [None, None, *[0.0] * 6]


def make_explanation(pieces: list[tuple]) -> pd.DataFrame:
    """Explanations of anger, of row, kind, source, turn, start, end, text and attribution."""
    names = ["row", "kind", "source", "turn", "start", "end", "text", "attribution"]
    table = pd.DataFrame(pieces, columns=names).astype({"row": "Int64", "turn": "Int64"})
    sums = table["attribution"].abs().groupby([table["row"], table["kind"]]).transform("sum")
    return table.assign(target="anger", share=table["attribution"] / sums, problem="")


def test_what_a_turn_rests_on_is_in_words_in_the_bar_and_in_the_text(render, turns):
    turns["text"] = ["oh hello there", "no", "well", None]
    pieces = [
        (0, "time", "speech", None, 0.0, 0.5, None, 0.6),
        (0, "time", "speech", None, 0.5, 1.0, None, -0.2),
        *((0, "word", "text", None, None, None, *one) for one in (("oh", 0.1), ("hello", -0.3))),
        (0, "word", "text", None, None, None, "there", 0.6),
        (0, "modality", "speech", None, None, None, None, 2.0),
        (2, "turn", None, 1, 1.0, 2.0, "no", 0.5),
        (2, "time", "speech", 1, 1.2, 1.3, None, -1.0),
    ]
    minus = "\N{MINUS SIGN}"
    page = render(turns, explanation=make_explanation(pieces))
    text = read_text(page)
    assert f"for anger sound: 0.00 to 0.50 s +75 %, 0.50 to 1.00 s {minus}25 %" in text
    assert (
        f"words: “there” +60 %, “hello” {minus}30 %, “oh” +10 % modalities: speech +100 %" in text
    )
    assert "oh +10 % hello" in text
    assert f'<span class="against s3" title="{minus}30 %">hello' in page
    assert f"sound: 1.20 to 1.30 s (B at 1.0 s) {minus}100 % context: B at 1.0 s +100 %" in text
    drawn = read_data(page)["conversations"][0]["turns"]
    assert drawn[0]["moments"] == [[0, 0.5, 0.75], [0.5, 1, -0.25]]
    assert drawn[2]["moments"] == []  # what is of another turn is not drawn here
    assert "rests on" not in read_text(render(turns)).lower()


def test_nothing_of_a_corpus_becomes_part_of_the_page(render, turns):
    evil = turns.assign(text=EVIL, speaker=EVIL, problem=EVIL)
    pieces = [(n, "word", "text", None, None, None, EVIL, 1.0) for n in range(4)]
    explanation = make_explanation(pieces).assign(target=EVIL)
    page = render(
        evil, explanation=explanation, about=f"# {EVIL}\n[a](javascript:alert(1))", title=EVIL
    )
    assert "<img" not in page
    assert page.count("<script") == 2
    assert read_data(page)["conversations"][0]["turns"][0]["text"] == EVIL
    assert "javascript" not in "".join(re.findall(r'href="[^"]*"', page))


def test_the_policy_allows_the_style_and_the_script_of_the_page_alone(render, turns):
    page = render(turns)
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', page)
    assert policy is not None
    for tag in ("style", "script"):
        code = re.search(rf"<{tag}>(.*?)</{tag}>", page, re.S)
        assert code is not None
        digest = base64.b64encode(hashlib.sha256(code[1].encode()).digest()).decode()
        assert f"{tag}-src &#39;sha256-{digest}&#39;" in policy[1]
    assert "default-src &#39;none&#39;" in policy[1]
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", page)


def test_a_number_that_is_missing_is_none_and_not_nan(render, turns):
    table = turns.assign(confidence=np.nan, valence=np.nan, activation=np.nan)
    drawn = read_data(render(table))["conversations"][0]
    assert not drawn["hasCurves"]
    assert drawn["turns"][0]["confidence"] is None


def test_sound_is_embedded_up_to_the_limit_and_what_is_missing_is_said(render, turns, recording):
    whole = render(turns)
    (uri,) = read_data(whole)["sounds"].values()
    assert uri.startswith("data:audio/ogg;base64,T2dnU")
    silent = render(turns, report_audio_mib=0.005)
    assert read_data(silent)["sounds"] == {}
    assert "The sound of 1 files is left out: a page holds up to 0.005 MiB" in read_text(silent)
    assert "<audio" not in silent
    assert "▶" not in read_text(silent)
    assert recording not in silent, "a page tells nobody where files lie"


def test_compressed_sound_has_the_length_of_the_recording_and_stops_at_a_size(recording, tmp_path):
    sound = compress(recording, 1e9)
    assert sound is not None
    (tmp_path / "sound.ogg").write_bytes(sound)
    assert soundfile.info(tmp_path / "sound.ogg").duration == pytest.approx(4, abs=0.05)
    assert compress(recording, len(sound)) == sound
    assert compress(recording, len(sound) - 1) is None


def test_from_the_first_file_beyond_the_limit_on_all_are_silent(recording, tmp_path):
    (tmp_path / "broken.wav").write_text("no sound")
    small = tmp_path / "small.wav"
    soundfile.write(small, np.zeros(4000), 16_000)
    broken, size = str(tmp_path / "broken.wav"), embed_sounds([str(small)], 1e9).num_bytes
    found = embed_sounds([broken, str(small), recording, recording, str(tmp_path)], size + 10)
    assert list(found.uris) == [str(small)]
    assert found.left_out == (recording, str(tmp_path))
    assert list(found.failures) == [broken]


def test_recordings_and_turns_beyond_the_limit_are_counted(render, turns, monkeypatch):
    three = pd.concat([turns.assign(recording=f"/x/{name}.wav") for name in "abc"])
    text = read_text(render(three, report_recordings=2, report_audio_mib=0))
    assert "8 turns of 2 conversations" in text
    assert "1 further conversations are not on this page" in text
    assert "the table has them all (12 turns)" in text
    monkeypatch.setattr(conversations, "MOST_TURNS", 6)
    text = read_text(render(three, report_audio_mib=0))
    assert "6 turns of 2 conversations" in text
    assert "The last 2 turns are in the table alone" in text


def test_turns_without_times_are_in_order(render):
    table = pd.DataFrame(
        {"dialogue_id": "d", "speaker": ["A", "B"], "text": ["x", "y"], "emotion": ["fear", "calm"]}
    )
    page = render(table.assign(audio=None, problem=""))
    drawn = read_data(page)["conversations"][0]
    assert [(turn["start"], turn["end"]) for turn in drawn["turns"]] == [(0, 1), (1, 2)]
    assert not drawn["isTimed"]
    assert "When the turns were spoken is not known" in read_text(page)


def test_a_short_recording_is_one_turn_and_a_broken_one_a_sentence(render, recording):
    table = pd.DataFrame(
        {
            "recording": [recording, "/x/broken.wav"],
            "start": np.nan,
            "end": np.nan,
            "speaker": None,
            "emotion": ["anger", None],
            "problem": ["", "does not decode"],
        }
    )
    page = render(table)
    whole, broken = read_data(page)["conversations"]
    assert (whole["turns"][0]["start"], whole["turns"][0]["end"]) == (0, 4)
    assert broken["turns"][0]["start"] is None
    assert "broken.wav Turns time emotion, certainty does not decode" in read_text(page)


def test_the_page_says_what_the_model_is_and_what_it_must_not_be_used_for(render, turns, card):
    folder = find_model("default")
    text = read_text(render(turns, about=read_about(folder, card)))
    for needed in ("EmoDB", "76.5 ± 7.2 UAR [71.5, 80.8]", "CC BY-NC-SA 4.0", "Article 5(1)(f)"):
        assert needed in text
    assert "license: cc-by" not in text
    assert "consent" in text
    assert "right one for 90 % of the turns" in text


def test_certainty_that_is_not_calibrated_is_called_so(turns, card):
    plain = replace(card, calibration=None)
    assert isinstance(card.calibration, Calibration)
    text = read_text(render_page(turns, plain, PageSettings(), about=""))
    assert "Certainty is the model's own, and not calibrated" in text


def test_markdown_keeps_html_as_text():
    assert "&lt;b&gt;" in format_markdown("# a <b>\n\n| x |\n|---|\n| 1 |")
    assert '<table class="numbers">' in format_markdown("| x |\n|---|\n| 1 |")


def test_the_page_needs_an_ending_and_a_place(tmp_path):
    with pytest.raises(ValueError, match=r"--report must end in \.html, got out\.pdf"):
        PageSettings(report=Path("out.pdf"))
    with pytest.raises(ValueError, match="report-audio-mib"):
        PageSettings(report_audio_mib=-1)
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="cannot be written"):
        write_page(tmp_path / "file" / "page.html", "page")
