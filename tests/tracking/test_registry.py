"""Registered models: loaded back they judge raw recordings and texts as in their training."""

import json
import shutil
from pathlib import Path
from typing import NamedTuple

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from conversation_emotion.inference.predictor import Judge
from conversation_emotion.inference.saved_model import load_model
from conversation_emotion.settings.corpus import CorpusSettings
from conversation_emotion.settings.training import TrainingSettings
from experiments import epc, ser
from experiments import judge as judge_command
from experiments.tracking import runs as _tracking
from tests.command_line import usage_error
from tests.small_corpus import write_corpus
from tests.tracked import find_runs

COLUMNS = ["dialogue_id", "order", "speaker", "audio", "text", "offset", "duration"]


class Registered(NamedTuple):
    """The store with a model of each kind, and the utterances that they were trained on."""

    folder: Path
    uri: str
    utterances: pd.DataFrame


@pytest.fixture(scope="module")
def registered(tmp_path_factory):
    """One training of each experiment for all tests of this file."""
    folder = tmp_path_factory.mktemp("registry")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setenv("CONVERSATION_EMOTION_CACHE", str(folder / "cache"))
        utterances = write_corpus(folder)
        data = CorpusSettings(corpus="manifest", root=folder / "manifest.csv")
        training = TrainingSettings(epochs=2, seeds=2, resamples=100)
        epc.run(epc.EPCConfig(data=data, training=training, hidden_size=8, register="turns"))
        ser.run(ser.SERConfig(data=data, training=training, register="utterances"))
        yield Registered(folder, _tracking.tracking_uri(), utterances)


@pytest.fixture
def store(registered, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", registered.uri)
    return registered


def read_predictions(store: Registered, experiment: str) -> pd.DataFrame:
    client, [parent], _ = find_runs(experiment)
    return pd.read_parquet(
        client.download_artifacts(parent.info.run_id, "predictions.parquet", str(store.folder))
    )


def find_folder(store: Registered, name: str) -> Path:
    """The saved model inside what was registered."""
    version = MlflowClient().get_model_version(name, "1")
    return Path(str(version.source).removeprefix("file://")) / "artifacts" / "saved_model"


def judge_all(store: Registered, name: str) -> pd.DataFrame:
    model = mlflow.pyfunc.load_model(f"models:/{name}/1")
    answer = model.predict(store.utterances[COLUMNS])
    return answer.set_axis(pd.Index(store.utterances["utterance_id"]))


@pytest.mark.parametrize(("name", "experiment"), [("turns", "epc"), ("utterances", "ser")])
def test_a_registered_model_judges_as_in_its_training(store, name, experiment):
    predictions = read_predictions(store, experiment)
    tags = MlflowClient().get_model_version(name, "1").tags
    expected = predictions[
        (predictions["fold"] == tags["fold"]) & (predictions["seed"] == int(tags["seed"]))
    ].set_index("utterance_id")
    assert set(expected["part"]) == {"valid", "test"}
    judged = judge_all(store, name).loc[expected.index]
    columns = ["p_angry", "p_happy", "p_neutral", "p_sad"]
    np.testing.assert_allclose(judged[columns], expected[columns], atol=1e-5)
    assert judged["emotion"].tolist() == [
        ["angry", "happy", "neutral", "sad"][number] for number in expected["predicted"]
    ]


@pytest.mark.parametrize(("name", "experiment"), [("turns", "epc"), ("utterances", "ser")])
def test_the_training_that_is_best_on_valid_is_registered(store, name, experiment):
    valid = read_predictions(store, experiment).query("part == 'valid'")
    scores = {
        str(seed): (rows["predicted"] == rows["target"]).groupby(rows["target"]).mean().mean()
        for seed, rows in valid.groupby("seed")
    }
    tags = MlflowClient().get_model_version(name, "1").tags
    assert tags["seed"] == max(scores, key=lambda seed: scores[seed])
    assert float(tags["valid_uar"]) == pytest.approx(max(scores.values()), abs=1e-4)


def test_the_registry_names_the_speakers_that_were_held_out(store):
    version = MlflowClient().get_model_version("turns", "1")
    test = store.utterances.query("split == 'test'")
    assert version.tags["test_speakers"] == ", ".join(sorted(test["speaker"].unique()))
    assert f"| test, held out | {version.tags['test_speakers']} |" in str(version.description)
    assert "best on valid of 2 trainings" in str(version.description)


def test_a_registered_model_belongs_to_the_run_of_its_training(store):
    client, _, children = find_runs("epc")
    version = client.get_model_version("turns", "1")
    [child] = [run for run in children if run.info.run_id == version.run_id]
    assert child.data.params["seed"] == version.tags["seed"]
    assert child.data.metrics["test/uar"] == pytest.approx(
        float(version.tags["test_uar"]), abs=1e-4
    )
    assert not (store.folder / "mlflow.db").exists()  # MLflow's own default store


def test_a_saved_model_holds_nothing_that_runs_when_it_is_read(store):
    folder = find_folder(store, "turns")
    assert {path.name for path in folder.iterdir()} == {
        "model.safetensors",
        "config.json",
        "README.md",
    }
    outside = {path.suffix for path in folder.parents[1].rglob("*") if path.is_file()}
    assert not outside & {".pkl", ".pt", ".bin", ".joblib"}
    card = json.loads((folder / "config.json").read_text())
    assert card["labels"] == ["angry", "happy", "neutral", "sad"]
    assert card["settings"]["data"]["root"] == "manifest.csv"


@pytest.fixture(scope="module")
def judge(registered):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", registered.uri)
        return Judge(load_model(find_folder(registered, "turns")))


def a_dialogue(store: Registered) -> pd.DataFrame:
    """The beginning of a dialogue, up to the first utterance of its fifth turn."""
    rows = store.utterances
    rows = rows.loc[rows["dialogue_id"] == rows["dialogue_id"].iloc[0], COLUMNS]
    begins = rows["speaker"] != rows["speaker"].shift()
    return rows[: begins.cumsum().searchsorted(5) + 1]


def test_rows_may_come_in_any_order_and_keep_their_index(store, judge):
    rows = a_dialogue(store)
    shuffled = rows.sample(frac=1, random_state=0)
    pd.testing.assert_frame_equal(judge.judge(shuffled).loc[rows.index], judge.judge(rows))


def test_the_turn_to_come_is_a_row_that_only_names_who_will_speak(store, judge):
    rows = a_dialogue(store)
    silent = rows.copy()
    silent.loc[silent.index[-1], ["audio", "text"]] = None
    told, untold = judge.judge(rows), judge.judge(silent)
    assert untold["emotion"].notna().iloc[-1]
    pd.testing.assert_frame_equal(told, untold)


def test_a_conversation_without_recordings_is_judged_by_its_text(store, judge):
    rows = a_dialogue(store).drop(columns="audio")
    judged = judge.judge(rows)
    assert (
        judged["emotion"].notna().sum() == judge.judge(a_dialogue(store))["emotion"].notna().sum()
    )
    assert not np.allclose(judged["p_sad"], judge.judge(a_dialogue(store))["p_sad"], equal_nan=True)


def test_what_cannot_be_heard_or_judged_says_why(judge):
    rows = pd.DataFrame(
        {
            "dialogue_id": ["a", "a", "a", "b"],
            "order": [10, 20, 30, 1],
            "speaker": ["x", "y", "y", "x"],
            "audio": ["nowhere.wav"] + [None] * 3,
            "text": [None, "Good.", "Fine.", "Hello."],
        }
    )
    judged = judge.judge(rows)
    assert judged["emotion"].isna().all()
    assert "nowhere.wav: No such file" in judged["problem"][0]
    assert judged["problem"][1] == "nothing to hear or read"
    assert "not the first utterance of its turn" in judged["problem"][2]
    assert "too few turns before it" in judged["problem"][3]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"speaker": None}, "input: 2 rows have no speaker"),
        ({"order": ["x", 1]}, "row 0 has no order"),
        ({"order": [1, 1]}, r"dialogue 'a' has the order 1 twice \(row 1\)"),
        ({"dialogue_id": [None, "a"]}, "row 0 has no dialogue_id"),
    ],
)
def test_rows_that_make_no_conversation_are_refused(judge, changes, message):
    rows = {"dialogue_id": "a", "order": [0, 1], "speaker": ["x", "y"], "text": "Hello."}
    with pytest.raises(ValueError, match=message):
        judge.judge(pd.DataFrame({**rows, **changes}))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (["order", "speaker", "text"], "a conversation needs the column dialogue_id, got order"),
        (["dialogue_id", "order", "speaker"], "a column audio or text is needed, got dialogue_id"),
    ],
)
def test_rows_that_lack_a_column_are_refused(store, judge, columns, message):
    with pytest.raises(ValueError, match=message):
        judge.judge(store.utterances[columns])


@pytest.fixture
def copied(store, tmp_path) -> Path:
    return Path(shutil.copytree(find_folder(store, "turns"), tmp_path / "copied"))


def change_card(folder: Path, change) -> None:
    card = json.loads((folder / "config.json").read_text())
    change(card)
    (folder / "config.json").write_text(json.dumps(card))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda card: card.update(format=0), "of format 0, expected 1"),
        (lambda card: card.update(experiment="poetry"), "'poetry', expected one of epc, ser"),
        (lambda card: card.pop("labels"), "labels: Field required"),
        (lambda card: card["settings"].update(mood=1), "unknown setting mood; .*another version"),
        (lambda card: card["settings"].update(fusion="cold"), "fusion: .* got 'cold'"),
    ],
)
def test_a_folder_of_another_version_is_refused(copied, change, message):
    change_card(copied, change)
    with pytest.raises(ValueError, match=message):
        load_model(copied)


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=f"no saved model in {tmp_path}: .* config.json"):
        load_model(tmp_path)


def test_another_encoder_than_in_training_is_refused(copied):
    change_card(copied, lambda card: card["encoders"].update(speech="spectral mel_bins=40"))
    with pytest.raises(
        ValueError, match="speech encoder is another .*expected 'spectral mel_bins=40'"
    ):
        Judge(load_model(copied))


def test_another_version_of_a_library_is_not_another_encoder(copied):
    def age(card) -> None:
        words = card["encoders"]["speech"].split()
        card["encoders"]["speech"] = " ".join(
            "torch=1.0" if word.startswith("torch=") else word for word in words
        )

    change_card(copied, age)
    judge = Judge(load_model(copied))
    assert "torch=1.0" in judge.saved.card.encoders["speech"].split()
    assert "torch=1.0" not in judge.encoders["speech"].identity.split()


@pytest.mark.parametrize(
    ("config", "flags", "message"),
    [
        (epc.EPCConfig, ["--register", "a/b"], "--register must be a name without / and :"),
        (epc.EPCConfig, ["--register", "a", "--history-labels", "gold"], "nobody tells the past"),
        (ser.SERConfig, ["--register", " "], "--register must be a name"),
        (
            ser.SERConfig,
            ["--register", "a", "--encoders", "fbank", "mfcc"],
            "--register needs one of --encoders, got 2",
        ),
    ],
)
def test_what_cannot_be_registered_is_refused_before_training(config, flags, message, capsys):
    assert message in usage_error(config, flags, capsys)


def test_recordings_without_a_manifest_are_no_conversation(store, tmp_path):
    config = judge_command.JudgeConfig(model="turns", root=tmp_path)
    with pytest.raises(ValueError, match="model of conversations has to know who speaks when"):
        judge_command.run(config)
