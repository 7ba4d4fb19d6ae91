"""Registered models: loaded back they predict raw recordings and texts as in their training."""

import json
from pathlib import Path
from typing import NamedTuple

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.models import get_model_info

from conversation_emotion.corpora.demo import DATA
from conversation_emotion.inference.predictor import Predictor
from conversation_emotion.settings.corpus import CorpusSettings
from conversation_emotion.settings.features import EncoderSettings
from conversation_emotion.settings.models import ConversationModelSettings
from conversation_emotion.settings.recognition import EPCSettings, SERSettings
from conversation_emotion.settings.training import TrainingSettings
from experiments import epc, predict, ser
from experiments.tracking.store import tracking_uri
from tests.command_line import usage_error
from tests.saved_models import temper
from tests.small_corpus import write_corpus
from tests.tracked import find_runs

COLUMNS = ["dialogue_id", "order", "speaker", "audio", "text", "offset", "duration"]


class Registered(NamedTuple):
    """The store with a model of each kind, their utterances, and what they answered."""

    folder: Path
    uri: str
    utterances: pd.DataFrame
    answers: dict[str, pd.DataFrame]


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
        training = TrainingSettings(epochs=2, seeds=2)
        small = ConversationModelSettings(hidden_size=8)
        epc.EXPERIMENT.run(EPCSettings(data=data, model=small, training=training, register="turns"))
        fbank = EncoderSettings(speech_encoder=("fbank",))
        ser.EXPERIMENT.run(
            SERSettings(data=data, features=fbank, training=training, register="utterances")
        )
        yield Registered(folder, tracking_uri(), utterances, {})


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


def predict_all(store: Registered, name: str) -> pd.DataFrame:
    """What a model answers when it is loaded back, asked once."""
    if name in store.answers:
        return store.answers[name]
    model = mlflow.pyfunc.load_model(f"models:/{name}/1")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONVERSATION_EMOTION_CACHE", str(store.folder / "untouched"))
        answer = model.predict(store.utterances[COLUMNS])
    assert not (store.folder / "untouched").exists()  # of what it is sent nothing is kept
    answer = answer.set_axis(pd.Index(store.utterances["utterance_id"]))
    return store.answers.setdefault(name, answer)


@pytest.mark.parametrize(("name", "experiment"), [("turns", "epc"), ("utterances", "ser")])
def test_a_registered_model_predicts_as_in_its_training(store, name, experiment):
    predictions = read_predictions(store, experiment)
    tags = MlflowClient().get_model_version(name, "1").tags
    expected = predictions[
        (predictions["fold"] == tags["fold"]) & (predictions["seed"] == int(tags["seed"]))
    ].set_index("utterance_id")
    assert set(expected["part"]) == {"valid", "test"}
    found = predict_all(store, name).loc[expected.index]
    probabilities = temper(expected, find_folder(store, name))
    np.testing.assert_allclose(found[probabilities.columns], probabilities, atol=1e-4)
    assert found["emotion"].tolist() == [
        ["angry", "happy", "neutral", "sad"][number] for number in expected["predicted"]
    ]


@pytest.mark.parametrize(("name", "experiment"), [("turns", "epc"), ("utterances", "ser")])
def test_a_registered_model_is_calibrated_and_its_run_says_how_well(store, name, experiment):
    found = predict_all(store, name).dropna(subset="emotion")
    signature = get_model_info(f"models:/{name}/1").signature
    assert signature.outputs.input_names() == list(found)  # the rows have words
    optional = {column.name for column in signature.outputs.inputs if not column.required}
    assert optional == {"modality"} & {*found} | {*found.filter(like="sentiment").columns}
    assert (found["confidence"] == found.filter(like="p_").max(axis=1)).all()
    sets = found["prediction_set"].str.split("|")
    assert sets.str[0].tolist() == found["emotion"].tolist()
    client, [parent], _ = find_runs(experiment)
    names = {"test/ece", "calibrated/ece_ci_high", "calibrated/coverage", "calibrated/set_size"}
    assert names <= set(parent.data.metrics)
    assert "reliability.png" in {file.path for file in client.list_artifacts(parent.info.run_id)}


def test_a_registered_model_reads_the_times_and_languages_that_rows_may_have(store):
    rows = store.utterances[COLUMNS]
    rows = rows[rows["dialogue_id"] == rows["dialogue_id"].iloc[0]]
    order = rows["order"].to_numpy(float)
    timed = rows.assign(start=order, end=order + 1.5, language="de", notes="not read")
    found = {
        name: mlflow.pyfunc.load_model(f"models:/{name}/1").predict(timed)
        for name in ("turns", "utterances")
    }
    expected = Predictor.load(find_folder(store, "turns")).predict(timed)
    pd.testing.assert_frame_equal(found["turns"], expected)
    assert found["utterances"]["sentiment"].isna().all()  # its words are of another language
    plain = mlflow.pyfunc.load_model("models:/turns/1").predict(rows)
    assert not np.allclose(found["turns"]["p_sad"], plain["p_sad"], equal_nan=True)


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
    assert "best on valid, by uar, of 2 trainings" in str(version.description)


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
        "domain.safetensors",
        "SHA256SUMS",
        "config.json",
        "README.md",
    }
    outside = {path.suffix for path in folder.parents[1].rglob("*") if path.is_file()}
    assert not outside & {".pkl", ".pt", ".bin", ".joblib"}
    card = json.loads((folder / "config.json").read_text())
    assert card["labels"] == ["angry", "happy", "neutral", "sad"]
    assert card["model"]["horizon"] == 1
    assert str(store.folder) not in (folder / "config.json").read_text()


@pytest.mark.parametrize(
    ("config", "flags", "message"),
    [
        (EPCSettings, ["--register", "a/b"], "--register must be a name without / and :"),
        (
            EPCSettings,
            ["--register", "a", "--history-labels", "gold"],
            "in use the past has no labels",
        ),
        (SERSettings, ["--register", " "], "--register must be a name"),
        (
            SERSettings,
            ["--coverage", "0.8"],
            "--coverage is that of a model to use: give it a name with --register",
        ),
        (SERSettings, ["--register", "a", "--coverage", "1"], "--coverage must lie in (0, 1), got"),
        (
            SERSettings,
            ["--register", "a", "--speech-encoder", "fbank", "mfcc"],
            "--register needs one --speech-encoder, got 2",
        ),
    ],
)
def test_what_cannot_be_registered_is_refused_before_training(config, flags, message, capsys):
    assert message in usage_error(config, flags, capsys)


def test_recordings_without_a_manifest_are_no_conversation(store, tmp_path):
    (tmp_path / "a.ogg").write_bytes((DATA / "Ses01_00.ogg").read_bytes())
    settings = predict.PredictSettings(model="turns", paths=(tmp_path,))
    with pytest.raises(ValueError, match="it is not known who speaks when"):
        predict.run(settings)
