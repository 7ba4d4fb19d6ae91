"""Curves over time, made of windows within turns."""

import numpy as np
import pandas as pd
import pytest

from conversation_emotion.inference.curves import cut_windows, predict_curves
from conversation_emotion.inference.predictor import Predictor
from conversation_emotion.settings.features import FeatureSettings
from conversation_emotion.settings.models import ConversationModelSettings, UtteranceModelSettings
from tests.saved_models import save_untrained
from tests.spoken import RECORDING

FBANK = FeatureSettings(modality="speech", speech_encoder="fbank", speech_layers="last")


@pytest.fixture(scope="module")
def predictor(tmp_path_factory) -> Predictor:
    folder = tmp_path_factory.mktemp("curves")
    return Predictor.load(save_untrained(folder, UtteranceModelSettings(hidden_size=8), FBANK))


@pytest.mark.parametrize(
    ("seconds", "starts"),
    [
        (0.7, [0.0]),
        (2.0, [0.0]),
        (3.2, [0.0, 0.5, 1.0, 1.2]),
        (3.0, [0.0, 0.5, 1.0]),
        (3.0004, [0.0, 0.5, 1.0004]),
    ],
)
def test_windows_cover_a_turn_and_the_last_ends_with_it(seconds, starts):
    windows = cut_windows(seconds, 2.0, 0.5)
    assert [start for start, _ in windows] == pytest.approx(starts)
    assert windows[-1][0] + windows[-1][1] == pytest.approx(seconds)
    assert {length for _, length in windows} == {min(seconds, 2.0)}


def test_a_curve_is_the_prediction_of_each_window_as_a_clip(predictor):
    turn = {"recording": "r", "audio": str(RECORDING), "offset": 4.0, "duration": 3.2}
    curves = predict_curves(predictor, pd.DataFrame([turn]), classes=("angry", "sad"))
    clips = pd.DataFrame({"audio": str(RECORDING), "offset": [4.0, 4.5, 5.0, 5.2], "duration": 2.0})
    alone = predictor.predict(clips, classes=("angry", "sad"))
    names = ["p_angry", "p_happy", "p_neutral", "p_sad", "valence", "activation", "dominance"]
    pd.testing.assert_frame_equal(curves[names], alone[names], atol=1e-6)
    assert curves["time"].tolist() == pytest.approx([5.0, 5.5, 6.0, 6.2])
    assert curves[["recording", "turn"]].to_numpy().tolist() == [["r", 0]] * 4


def test_turns_without_sound_are_named_and_whole_recordings_measured(predictor):
    rows = pd.DataFrame(
        {
            "recording": [str(RECORDING), "nowhere.wav", None, "q"],
            "audio": [str(RECORDING), "nowhere.wav", None, "q"],
            "offset": [28.0, None, None, None],
            "problem": ["", "", "", "nobody speaks"],
        }
    )
    curves = predict_curves(predictor, rows, hop=100.0)
    assert curves["turn"].tolist()[-3:] == [1, 2, 3]
    assert curves["problem"].tolist()[-3:] == [
        "nowhere.wav: does not exist, expected an audio file; check the corpus folder",
        "has no sound",
        "nobody speaks",
    ]
    assert curves["p_sad"].notna().tolist() == [True] * (len(curves) - 3) + [False] * 3
    assert curves["start"][0] == 28.0
    assert np.isnan(curves["time"].iloc[-1])


def test_no_turn_gives_no_row_of_the_same_columns(predictor):
    turn = pd.DataFrame(
        [{"recording": "r", "audio": str(RECORDING), "offset": 4.0, "duration": 1.0}]
    )
    one, none = predict_curves(predictor, turn), predict_curves(predictor, turn[:0])
    assert none.empty
    assert list(none) == list(one)


def test_a_model_of_conversations_has_no_curves(tmp_path):
    model = save_untrained(tmp_path, ConversationModelSettings(hidden_size=8), FBANK)
    with pytest.raises(
        ValueError, match="--frames needs a model of single utterances .* reads conv"
    ):
        predict_curves(Predictor.load(model), pd.DataFrame())
