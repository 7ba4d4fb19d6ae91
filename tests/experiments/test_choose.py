"""A choice among finished runs, fold by fold."""

import json
import sqlite3
from pathlib import Path

import pandas as pd
import pytest

from conversation_emotion.evaluation.metrics import score_predictions
from conversation_emotion.settings.corpus import CorpusSettings
from conversation_emotion.settings.features import EncoderSettings
from conversation_emotion.settings.recognition import SERSettings
from conversation_emotion.settings.training import TrainingSettings
from experiments import choose, ser
from experiments.choose import CHOSEN
from experiments.tracking import finished
from experiments.tracking.finished import Systems, name_runs, read_systems
from experiments.tracking.runs import find_experiment
from experiments.tracking.store import open_client
from tests.command_line import usage_error
from tests.small_corpus import write_corpus
from tests.tracked import find_runs, in_folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two encoders on three folds of one corpus, and one encoder on another split of it."""
    folder = tmp_path_factory.mktemp("choose")
    with in_folder(folder):
        write_corpus(folder)
        for num_folds, encoders in ((3, ("fbank", "mfcc")), (2, ("fbank",))):
            data = CorpusSettings(
                corpus="manifest",
                root=folder / "manifest.csv",
                split="speaker-k-fold",
                num_folds=num_folds,
            )
            training = TrainingSettings(epochs=2)
            ser.EXPERIMENT.run(
                SERSettings(
                    data=data, features=EncoderSettings(speech_encoder=encoders), training=training
                )
            )
    return folder


@pytest.fixture
def runs(folder, monkeypatch) -> dict[tuple[str, str], str]:
    """Ids of the runs by encoder and number of folds."""
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return {
        (run.data.params["speech_encoder"], run.data.params["num_folds"]): run.info.run_id
        for run in find_runs("ser").parents
    }


def test_each_fold_is_tested_by_who_was_better_on_its_valid(runs, folder, capsys):
    ids = (runs["fbank", "3"], runs["mfcc", "3"])
    found = choose.run(choose.ChooseSettings(runs=ids))
    client, [parent], _ = find_runs("choose")
    tables = [
        pd.read_parquet(client.download_artifacts(run_id, "predictions.parquet", str(folder)))
        for run_id in ids
    ]
    parts = []
    for fold in tables[0]["fold"].unique():
        scores = []
        for table in tables:
            valid = table[(table["fold"] == fold) & (table["part"] == "valid")]
            right = valid["predicted"] == valid["target"]
            scores.append(right.groupby(valid["target"]).mean().mean())
        best = tables[scores.index(max(scores))]
        parts.append(best[(best["fold"] == fold) & (best["part"] == "test")])
    expected = score_predictions(pd.concat(parts), 4)
    assert found["uar"].score == pytest.approx(expected["uar"].score)
    assert parent.data.metrics["test/uar"] == pytest.approx(expected["uar"].score)
    printed = capsys.readouterr().out
    assert CHOSEN in printed
    assert "speech_encoder fbank" in printed
    assert "speech_encoder mfcc" in printed


def test_runs_of_other_folds_are_not_chosen_from(runs):
    with pytest.raises(ValueError, match="systems with different targets"):
        choose.run(choose.ChooseSettings(runs=(runs["fbank", "3"], runs["fbank", "2"])))


def test_a_training_is_no_row_of_a_table(runs):
    child = find_runs("ser").children[0].info.run_id
    with pytest.raises(ValueError, match=r"keeps no label_map.json; name the run of a whole table"):
        choose.run(choose.ChooseSettings(runs=(child, runs["fbank", "3"])))


def test_a_run_that_is_not_there_is_named(runs):
    with pytest.raises(ValueError, match=r"no run 0123 in sqlite.*experiments\.ui name the ids"):
        choose.run(choose.ChooseSettings(runs=("0123", runs["fbank", "3"])))


def test_runs_are_named_by_what_differs_in_three_digits():
    one = {"dropout": "0.49313679845056285", "hidden_size": "128", "register": "None"}
    two = {"dropout": "0.4308087951603526", "hidden_size": "64", "register": "epc-best"}
    assert name_runs([one, two], "ab") == [
        "dropout 0.493, hidden_size 128",
        "dropout 0.431, hidden_size 64",
    ]
    assert name_runs([one, {**one, "dropout": "0.4931"}], ["a1b2c3d4e5", "f6a7b8c9d0"]) == [
        "dropout 0.493 a1b2c3d4",
        "dropout 0.493 f6a7b8c9",
    ]


def systems(**metrics: str) -> Systems:
    return Systems({}, (), metrics)


@pytest.mark.parametrize(
    ("flag", "recorded", "metric"), [("auto", ("wa", "wa"), "wa"), ("uar", ("wa", "uar"), "uar")]
)
def test_the_metric_of_the_runs_chooses_unless_another_is_named(flag, recorded, metric):
    settings = choose.ChooseSettings(runs=("a", "b"), select_by=flag)
    one, two = recorded
    assert choose.choose_metric(settings, systems(one=one, two=two)) == metric


def test_runs_of_different_metrics_need_a_flag():
    settings = choose.ChooseSettings(runs=("a", "b"))
    with pytest.raises(ValueError, match=r"name --select-by \(one: wa; two: uar\)"):
        choose.choose_metric(settings, systems(one="wa", two="uar"))


@pytest.mark.parametrize(("recorded", "metric"), [("auto", "uar"), ("accuracy", "wa")])
def test_the_metric_that_an_older_run_recorded_is_read(runs, recorded, metric):
    ids = (runs["fbank", "3"], runs["mfcc", "3"])
    client = find_runs("ser").client
    folder = str(client.get_run(ids[0]).info.artifact_uri).removeprefix("file://")
    labels = Path(folder) / "label_map.json"
    kept = json.loads(labels.read_text("utf-8"))
    labels.write_text(json.dumps({key: kept[key] for key in kept if key != "select_by"}), "utf-8")
    store = str(client.tracking_uri).removeprefix("sqlite:///")
    with sqlite3.connect(store) as connection:
        connection.execute(
            "UPDATE params SET value = ? WHERE key = 'select_by' AND run_uuid = ?",
            (recorded, ids[0]),
        )
    assert list(read_systems(ids).metrics.values()) == [metric, "uar"]


def test_a_run_named_twice_is_refused(capsys):
    message = usage_error(choose.ChooseSettings, ["a", "a"], capsys)
    assert "two runs or more are needed, all different" in message


def test_a_sweep_stands_for_its_settings_that_were_tested(runs):
    client = open_client()
    experiment = find_experiment(client, "sweep-ser")
    tags = {"sweep": "parent", "sweep_id": "abc"}
    sweep = str(client.create_run(experiment, tags=tags).info.run_id)
    client.set_terminated(sweep)
    with pytest.raises(ValueError, match=f"sweep {sweep} scored 0 of its settings on test"):
        finished.find_tested(sweep)
    tested = [runs["fbank", "3"], runs["mfcc", "3"]]
    for run in tested:
        client.set_tag(run, "tested_for", "abc")
    assert {*finished.find_tested(sweep)} == {*tested}
    settings = choose.ChooseSettings(runs=(sweep,), select_by="uar")
    assert choose.run(settings)["uar"].n > 0
    with pytest.raises(ValueError, match="is no sweep; name two runs or more"):
        finished.find_tested(tested[0])
