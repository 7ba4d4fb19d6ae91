"""The page of a run: its tables as they are, what it confuses, and dialogues chosen by a rule."""

import html
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from conversation_emotion.evaluation.metrics import Interval
from conversation_emotion.evaluation.results import ResultsTable, RowResult
from conversation_emotion.figures.run_page import RunRecord, render_run
from tests.chromium import find_violations, needs_chromium, open_chromium

EVIL = "</script><img src=x onerror=alert(1)>"


@pytest.fixture
def run() -> RunRecord:
    """Three dialogues of four targets, of which none, half and all are right; valid besides."""
    hits = {"low": 0, "half": 2, "high": 4}
    rows = [
        {
            "utterance_id": f"{dialogue}{number}",
            "dialogue_id": dialogue,
            "speaker": "A" if number % 2 else EVIL,
            "target": number % 2,
            "predicted": number % 2 if number < count else 1 - number % 2,
            "p_no": 0.8 if (number % 2 == 0) == (number < count) else 0.2,
        }
        for dialogue, count in hits.items()
        for number in range(4)
    ]
    test = pd.DataFrame(rows).assign(fold="f", seed=0, part="test")
    test["p_yes"] = 1 - test["p_no"]
    valid = test.assign(part="valid", predicted=0, dialogue_id="seen in training")
    model = RowResult(
        name="our model",
        metrics={"uar": Interval(0.5, 0.25, 0.75, 0.1, 12)},
        num_folds=2,
        num_seeds=1,
    )
    published = RowResult(name=f"published: {EVIL}", kind="published", values={"uar": 0.6543})
    return RunRecord(
        experiment="epc",
        name="a run",
        run_id="1" * 32,
        command=f"python -m experiments.epc --root {EVIL}",
        params={"epochs": "3", "horizon": "1", "version/torch": "2.11", "commit": "abc"},
        metrics={"calibrated/ece": 0.021},
        tables=[ResultsTable(title="One turn ahead", columns=("uar",), rows=(model, published))],
        labels=("no", "yes"),
        predictions=pd.concat([valid, test]),
    )


def read_text(page: str) -> str:
    text = re.sub(r"<(script|style)\b.*?</\1>|<[^>]+>", " ", page, flags=re.S)
    return " ".join(html.unescape(text).split())


def test_the_scores_are_those_of_the_table_beside_published_ones(run):
    text = read_text(render_run(run))
    assert "our model 50.0 ± 10.0 [25.0, 75.0]" in text
    assert f"published: {EVIL} 65.43" in text
    assert "No published figures" not in text
    alone = replace(run.tables[0], rows=run.tables[0].rows[:1])
    assert "No published figures" in read_text(render_run(replace(run, tables=[alone])))


def test_confusions_classes_and_speakers_are_of_test_alone(run):
    text = read_text(render_run(run))
    # Right: of "no" the numbers 0 and 2 of high and 0 of half; of "yes" 1 and 3, and 1.
    assert "● no 50 % 3 50 % 3 ■ yes 50 % 3 50 % 3" in text
    assert "● no 50.0 50.0 6 ■ yes 50.0 50.0 6" in text
    assert "A 50.0 50.0 6" in text
    assert "seen in training" not in text


def test_dialogues_go_from_the_worst_to_the_best(run):
    text = read_text(render_run(run))
    assert re.findall(r"(\w+): (\d+) % right", text) == [
        ("low", "0"),
        ("half", "50"),
        ("high", "100"),
    ]
    assert "utterance speaker true forecast, 1 ahead" in text
    assert re.search(r"high1 A ■ yes ✓ ■ yes 80 %", text)
    two = read_text(render_run(run, num_dialogues=2))
    assert re.findall(r"(\w+): \d+ % right", two) == ["low", "high"]


def test_another_run_is_shown_beside_it_where_its_classes_are_the_same(run):
    assert run.predictions is not None
    other = run.predictions.assign(predicted=0)
    also = replace(
        run, params={"horizon": "0"}, predictions=other[other["utterance_id"] != "high3"]
    )
    text = read_text(render_run(run, also=also))
    assert "true forecast, 1 ahead predicted" in text
    assert "high1 A ■ yes ✓ ■ yes 80 % ✗ ● no" in text
    assert text.count("high3 A ■ yes ✓ ■ yes 80 %") == 1
    with pytest.raises(ValueError, match=r"run 1{32} predicts a, run 1{32} no, yes"):
        render_run(run, also=replace(also, labels=("a",)))


def test_dialogues_have_their_words_and_the_names_of_their_recordings(run):
    assert "keeps no words" in read_text(render_run(run))
    utterances = pd.DataFrame(
        {
            "utterance_id": ["high1", "high2", "high3"],
            "text": [f"Good! {EVIL}", "", None],
            "audio": ["disc/a b.wav", "c.wav", None],
            "offset": [12.34, np.nan, np.nan],
        }
    )
    page = render_run(replace(run, utterances=utterances))
    assert "<img" not in page
    text = read_text(page)
    assert "utterance speaker words true forecast, 1 ahead" in text
    assert f"high1 A Good! {EVIL} disc/a b.wav, 12.3 s ■ yes" in text
    assert f"high2 {EVIL} c.wav ● no" in text
    assert "high3 A ■ yes" in text
    assert "keeps no words" not in text


def test_reliability_has_the_error_before_and_after_calibration(run):
    text = read_text(render_run(run))
    # Twelve predictions of confidence 0.8, six of them right.
    assert "Expected calibration error on test: 30.0 %" in text
    assert "after calibration 2.1 %" in text
    assert "confidence, % accuracy, % share, % 80.0 50.0 100.0" in text


def test_the_risk_that_remains_is_shown_and_clips_without_a_probability_are_left_out(run):
    table = run.predictions.copy()
    table["p_no"] = table["p_no"].where(
        table["predicted"] != table["target"], 0.9 - 0.8 * table["target"]
    )
    table["p_yes"] = 1 - table["p_no"]
    table.loc[table["utterance_id"] == "high0", ["p_no", "p_yes"]] = np.nan
    text = read_text(render_run(replace(run, predictions=table)))
    # Five of the eleven are right, and surer than the six that are not.
    assert "most confident, % errors, % 25 0.0 50 16.7 75 44.4 100 54.5" in text
    assert "its mean, AURC, is" in text


def test_a_run_without_classes_says_what_is_missing(run):
    assert run.predictions is not None
    numbers = run.predictions.assign(target=np.nan, predicted=np.nan)
    text = read_text(render_run(replace(run, labels=(), predictions=numbers)))
    assert "keeps no predictions of classes" in text
    assert "Confusions" not in text


def test_names_are_escaped_and_settings_and_versions_are_apart(run):
    page = render_run(run)
    assert "<img" not in page
    text = read_text(page)
    assert "All 2 settings setting value epochs 3 horizon 1" in text
    assert "package version torch 2.11 commit abc" in text


@needs_chromium
def test_the_page_of_a_run_is_accessible(run, tmp_path):
    words = pd.DataFrame({"utterance_id": ["low0"], "text": "w" * 99, "audio": "a", "offset": 1.0})
    (tmp_path / "run.html").write_text(render_run(replace(run, utterances=words)), "utf-8")
    with open_chromium() as browser:
        page, heard = browser.new_page(viewport={"width": 390, "height": 800}), []
        page.on("console", lambda one: heard.append(one.text))
        page.goto((tmp_path / "run.html").as_uri())
        assert find_violations(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        assert heard == []
