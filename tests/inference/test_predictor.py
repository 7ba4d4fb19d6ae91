"""Predictions of a saved model from rows of every kind."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from conversation_emotion.corpora.demo import DATA, load_demo
from conversation_emotion.evaluation.calibration import Calibration
from conversation_emotion.features.sources import load_encoders
from conversation_emotion.inference.predictor import Predictor
from conversation_emotion.inference.saved_model import load_model
from conversation_emotion.settings.features import FeatureSettings
from conversation_emotion.settings.models import ConversationModelSettings, UtteranceModelSettings
from tests.saved_models import save_untrained

COLUMNS = ["dialogue_id", "order", "speaker", "audio", "text", "offset", "duration"]


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("turns")
    return save_untrained(folder, ConversationModelSettings(hidden_size=8))


@pytest.fixture(scope="module")
def predictor(saved) -> Predictor:
    return Predictor.load(saved, sentiment=None)


@pytest.fixture(scope="module")
def dialogue() -> pd.DataFrame:
    """The beginning of a dialogue, up to the first utterance of its fifth turn."""
    rows = load_demo()
    rows = rows.loc[rows["dialogue_id"] == rows["dialogue_id"].iloc[0], COLUMNS]
    begins = rows["speaker"] != rows["speaker"].shift()
    return rows[: begins.cumsum().searchsorted(5) + 1]


def test_rows_may_come_in_any_order_and_keep_their_index(dialogue, predictor):
    shuffled = dialogue.sample(frac=1, random_state=0)
    found = predictor.predict(shuffled).loc[dialogue.index]
    pd.testing.assert_frame_equal(found, predictor.predict(dialogue))


def test_the_turn_to_come_is_a_row_that_only_names_who_will_speak(dialogue, predictor):
    silent = dialogue.copy()
    silent.loc[silent.index[-1], ["audio", "text"]] = None
    given, unknown = predictor.predict(dialogue), predictor.predict(silent)
    assert unknown["emotion"].notna().iloc[-1]
    pd.testing.assert_frame_equal(given, unknown)


def test_who_still_speaks_when_the_turn_begins_counts_as_silent(dialogue, predictor):
    order = dialogue["order"].to_numpy(float)
    timed = dialogue.assign(start=order, end=order + 1)
    late = timed.copy()
    late.loc[late.index[-2], "end"] += 0.5
    silent = dialogue.copy()
    silent.loc[silent.index[-2], ["audio", "text"]] = None
    found = [predictor.predict(rows)["p_sad"].iloc[-1] for rows in (dialogue, timed, late, silent)]
    assert found[0] == found[1] != found[2]
    assert found[2] == pytest.approx(found[3], abs=1e-6)


def test_a_conversation_without_recordings_is_predicted_from_its_text(dialogue, predictor):
    both, text = predictor.predict(dialogue), predictor.predict(dialogue.drop(columns="audio"))
    assert text["emotion"].notna().sum() == both["emotion"].notna().sum() > 0
    assert not np.allclose(text["p_sad"], both["p_sad"], equal_nan=True)


def test_a_row_without_a_prediction_says_why(predictor):
    rows = pd.DataFrame(
        {
            "dialogue_id": ["a", "a", "a", "b"],
            "order": [10, 20, 30, 1],
            "speaker": ["x", "y", "y", "x"],
            "audio": ["nowhere.wav"] + [None] * 3,
            "text": [None, "Good.", "Fine.", "Hello."],
        }
    )
    found = predictor.predict(rows)
    assert found["emotion"].isna().all()
    assert found["problem"].str.startswith("not predicted: ").all()
    assert "nowhere.wav: No such file" in found["problem"][0]
    assert found["problem"][1] == "not predicted: no audio or text to use"
    assert "not the first utterance of its turn" in found["problem"][2]
    assert "too few turns before it" in found["problem"][3]


def test_a_clip_that_cannot_be_used_is_named_where_the_context_still_predicts(dialogue, predictor):
    broken = dialogue.copy()
    broken.loc[broken.index[-1], "audio"] = "nowhere.wav"
    last = predictor.predict(broken).iloc[-1]
    assert last["emotion"] == predictor.predict(dialogue)["emotion"].iloc[-1]
    assert last["problem"] == "nowhere.wav: No such file or directory"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"speaker": None}, "input: 2 rows have no speaker"),
        ({"order": ["x", 1]}, "row 0 has no order"),
        ({"order": [1, 1]}, r"dialogue 'a' has the order 1 twice \(row 1\)"),
        ({"dialogue_id": [None, "a"]}, "row 0 has no dialogue_id"),
    ],
)
def test_rows_that_make_no_conversation_are_refused(predictor, changes, message):
    rows = {"dialogue_id": "a", "order": [0, 1], "speaker": ["x", "y"], "text": "Hello."}
    with pytest.raises(ValueError, match=message):
        predictor.predict(pd.DataFrame({**rows, **changes}))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (["order", "speaker", "text"], "a conversation needs the column dialogue_id, got order"),
        (["dialogue_id", "order", "speaker"], "a column audio or text is needed, got dialogue_id"),
    ],
)
def test_rows_that_lack_a_column_are_refused(dialogue, predictor, columns, message):
    with pytest.raises(ValueError, match=message):
        predictor.predict(dialogue[columns])


def test_paths_alone_are_no_conversation(predictor):
    with pytest.raises(ValueError, match="a conversation needs the column dialogue_id, got audio"):
        predictor.predict(["a.wav"])


def test_a_model_of_utterances_takes_paths(tmp_path):
    features = FeatureSettings(modality="speech")
    predictor = Predictor.load(save_untrained(tmp_path, UtteranceModelSettings(), features))
    paths = [DATA / "Ses01_00.ogg", "nowhere.wav", DATA / "Ses01_01.ogg"]
    found = predictor.predict(paths)
    table = predictor.predict(pd.DataFrame({"audio": [str(path) for path in paths]}))
    pd.testing.assert_frame_equal(found, table)
    assert found["emotion"].isna().tolist() == [False, True, False]
    assert found["problem"].tolist() == [
        "",
        "not predicted: nowhere.wav: No such file or directory",
        "",
    ]
    probabilities = found.filter(like="p_").to_numpy()[[0, 2]]
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    pd.testing.assert_frame_equal(predictor.predict(str(paths[0])), found[:1])


def test_a_calibrated_model_gives_confidence_and_sets(tmp_path):
    saved = load_model(
        save_untrained(tmp_path, UtteranceModelSettings(), FeatureSettings(modality="speech"))
    )
    encoders = load_encoders(saved.card.features)
    rows = [DATA / "Ses01_00.ogg", "nowhere.wav"]
    plain = Predictor(saved, encoders).predict(rows)
    # Squares of the probabilities, of which those at the threshold or above are the set.
    squares = plain.filter(like="p_").iloc[0] ** 2
    expected = (squares / squares.sum()).sort_values(ascending=False)
    calibration = Calibration(
        temperature=0.5, threshold=expected.iloc[2] - 1e-6, coverage=0.9, num_targets=9,
        num_speakers=3,
    )  # fmt: skip
    card = replace(saved.card, calibration=calibration)
    found = Predictor(saved._replace(card=card), encoders).predict(rows)
    first = found.to_dict("records")[0]
    np.testing.assert_allclose([first[name] for name in expected.index], expected, atol=1e-6)
    assert first["confidence"] == first[f"p_{first['emotion']}"]
    assert first["confidence"] == max(first[name] for name in expected.index)
    names = [f"p_{name}" for name in str(first["prediction_set"]).split("|")]
    assert names == list(expected.index[:3])
    assert found[["emotion", "confidence", "prediction_set"]].isna().to_numpy()[1].all()
    assert plain["prediction_set"].isna().all()
    assert plain["confidence"][0] == plain.filter(like="p_").iloc[0].max()


@pytest.fixture
def copied(saved, tmp_path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "copied"))


def change_identity(folder: Path, change) -> None:
    card = json.loads((folder / "config.json").read_text())
    card["encoders"]["speech"] = change(card["encoders"]["speech"])
    (folder / "config.json").write_text(json.dumps(card))


def test_another_encoder_than_in_training_is_refused(copied):
    change_identity(copied, lambda identity: "spectral mel_bins=40")
    with pytest.raises(
        ValueError, match="speech encoder is another .*expected 'spectral mel_bins=40'"
    ):
        Predictor.load(copied)


def test_another_version_of_a_library_is_not_another_encoder(copied):
    def age(identity: str) -> str:
        words = identity.split()
        return " ".join("torch=1.0" if word.startswith("torch=") else word for word in words)

    change_identity(copied, age)
    predictor = Predictor.load(copied)
    assert "torch=1.0" in predictor.saved.card.encoders["speech"].split()
    assert "torch=1.0" not in predictor.encoders["speech"].identity.split()
