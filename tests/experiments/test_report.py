"""The command that writes the page of a run."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from conversation_emotion.evaluation.results import ResultsTable, RowResult
from conversation_emotion.tracker import PREDICTIONS, UTTERANCES
from experiments import report
from experiments.tracking.runs import open_run
from tests.tracked import in_folder


@dataclass(frozen=True)
class Settings:
    """Those of the runs, which are told apart by them."""

    horizon: int


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Folder and ids of two runs of epc, and the id of a training of the second."""
    folder, ids = tmp_path_factory.mktemp("report"), []
    table = ResultsTable(title="Emotions", columns=("uar",), rows=(RowResult(name="a model"),))
    predictions = pd.DataFrame(
        {
            "utterance_id": ["u0", "u1"],
            "dialogue_id": "d",
            "speaker": ["A", "B"],
            "target": [0, 1],
            "predicted": [0, 0],
            "fold": "f",
            "seed": 0,
            "part": "test",
        }
    )
    utterances = pd.DataFrame(
        {"utterance_id": ["u0", "u1"], "text": ["Oh no.", None], "audio": "d.wav", "offset": 0.5}
    )
    with in_folder(folder):
        for horizon in (0, 1):
            with open_run("epc", Settings(horizon), "data") as run:
                run.log_text(table.to_json(), "results.json")
                further = dataclasses.replace(table, title="Groups of targets")
                run.log_text(further.to_json(), "groups.json")
                run.log_table(further.to_frame(), "groups.parquet")
                run.log_text(json.dumps({"labels": ["sad", "glad"]}), "label_map.json")
                run.log_table(predictions, PREDICTIONS)
                run.log_table(utterances, UTTERANCES)
                with run.open_child("f-seed0", {}) as child:
                    pass
            ids.append(run.run_id)
    return folder, *ids, child.run_id


@pytest.fixture
def here(runs, monkeypatch):
    monkeypatch.chdir(runs[0])
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return runs[1:]


def test_a_run_becomes_a_page_with_the_forecasts_of_another(here, tmp_path, capsys):
    recognised, forecast, _ = here
    page = tmp_path / "pages" / "run.html"
    report.run(report.ReportSettings(runs=(recognised,), also=forecast, output=page))
    text = page.read_text("utf-8")
    assert recognised in text
    assert text.index("<caption>Emotions<") < text.index("<caption>Groups of targets<")
    assert "python -m experiments.epc" in text
    assert '<th scope="col">predicted</th><th scope="col">forecast, 1 ahead</th>' in text
    assert "d: 50 % right" in text
    assert ">Oh no.<br>" in text
    assert text.count("d.wav, 0.5 s") == 2
    assert f"written: {page}" in capsys.readouterr().out


def test_several_runs_become_a_page_that_compares_them(here, tmp_path):
    page = tmp_path / "compared.html"
    report.run(report.ReportSettings(runs=here[:2], output=page))
    text = page.read_text("utf-8")
    assert "2 runs compared" in text
    assert '<th scope="row">horizon 1</th>' in text
    assert text.count(">50.0</td>") == 6  # of each: its strategy's mean, its training, its line
    with pytest.raises(ValueError, match="--also is for the page of one run, got 2 runs"):
        report.ReportSettings(runs=here[:2], also=here[0])


def test_a_run_without_a_table_is_refused(here):
    with pytest.raises(ValueError, match=f"run {here[2]} keeps no results.json; name the run of a"):
        report.run(report.ReportSettings(runs=(here[2],)))
    with pytest.raises(ValueError, match="no run 0000 in "):
        report.run(report.ReportSettings(runs=("0000",)))


def test_a_page_is_html():
    with pytest.raises(ValueError, match=r"--output must end in \.html, got a\.pdf"):
        report.ReportSettings(runs=("x",), output=Path("a.pdf"))
