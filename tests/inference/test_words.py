"""What words tell next to the sound: sentiment, and the emotion of rows without usable sound."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from conversation_emotion.inference.predictor import Predictor
from conversation_emotion.settings.features import FeatureSettings
from conversation_emotion.settings.models import UtteranceModelSettings
from tests.saved_models import save_untrained

LOVE, HATE = "I love it, this is wonderful!", "I hate you, go away, you are awful!"
SENTIMENT = ["sentiment", "sentiment_negative", "sentiment_neutral", "sentiment_positive"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with noise, a broken recording, and an untrained model of voices."""
    folder = tmp_path_factory.mktemp("words")
    noise = np.random.default_rng(0).normal(scale=0.1, size=16_000)
    soundfile.write(folder / "noise.wav", noise, 16_000)
    (folder / "broken.wav").write_text("no sound")
    features = FeatureSettings(modality="speech")
    return save_untrained(folder, UtteranceModelSettings(), features)


@pytest.fixture(scope="module")
def predictor(folder) -> Predictor:
    return Predictor.load(folder)


def test_words_get_a_sentiment_and_the_emotion_of_the_voice_stays(predictor, folder):
    audio = str(folder / "noise.wav")
    rows = pd.DataFrame({"audio": audio, "text": [LOVE, HATE, None]}, index=[7, 7, 9])
    found, plain = predictor.predict(rows), predictor.predict(rows[["audio"]])
    assert found["sentiment"].tolist()[:2] == ["positive", "negative"]
    assert found[SENTIMENT].iloc[2].isna().all()
    np.testing.assert_allclose(found[SENTIMENT[1:]].sum(axis=1), [1, 1, 0], atol=1e-5)
    assert set(found.columns) - set(plain.columns) == {"modality", *SENTIMENT}
    pd.testing.assert_frame_equal(found[plain.columns], plain)
    assert found["modality"].tolist() == ["speech"] * 3
    assert found.columns[-1] == "problem"


def test_words_without_sound_give_the_emotion_in_the_classes_of_both_models(predictor, folder):
    rows = pd.DataFrame({"audio": [None, str(folder / "broken.wav")], "text": [LOVE, HATE]})
    found = predictor.predict(rows)
    assert found["emotion"].tolist() == ["happy", "angry"]
    probabilities = found.filter(like="p_").to_numpy(dtype=float)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    np.testing.assert_allclose(found["confidence"].astype(float), probabilities.max(axis=1))
    assert found["modality"].tolist() == ["text", "text"]
    assert found["problem"][0] == ""
    assert found["problem"][1].startswith("its words alone: ")
    assert "does not decode" in found["problem"][1]


def test_joy_is_the_happiness_of_another_model_and_sets_keep_their_classes(predictor):
    texts = Predictor.load("default-text")
    table = pd.DataFrame({"text": [LOVE, HATE, "He died yesterday.", "Who is that?"]})
    own, found = texts.predict(table), Predictor.load("default", sentiment=None).predict(table)
    np.testing.assert_allclose(found["p_happiness"].astype(float), own["p_joy"])
    assert found["prediction_set"].tolist() == [
        one.replace("joy", "happiness") for one in own["prediction_set"]
    ]
    assert (found[["p_boredom", "p_calm"]] == 0).all(axis=None)
    assert found["valence"][0] > 0 > found["valence"][1]


def test_choices_hold_for_words_as_for_voices(predictor):
    rows = pd.DataFrame({"text": [LOVE, HATE]})
    found = predictor.predict(rows, classes=("sad", "neutral"))
    assert set(found["emotion"]) <= {"sad", "neutral"}
    np.testing.assert_allclose(found["p_sad"] + found["p_neutral"], 1)
    unsure = predictor.predict(rows, min_confidence=1.0)
    assert unsure["emotion"].isna().all()
    assert unsure["problem"].eq("no emotion reaches the probability 1").all()
    assert unsure["sentiment"].tolist() == ["positive", "negative"]


@pytest.mark.parametrize("text", ["😀😀", "…", " ", "", None])
def test_a_text_without_a_word_gives_nothing(predictor, text):
    found = predictor.predict(pd.DataFrame({"text": [text, "Hello, 😀 Anna"]}))
    assert found["emotion"].isna().tolist() == [True, False]
    assert found["sentiment"].isna().tolist() == [True, False]
    assert found["problem"][0].startswith("not predicted: no ")


def test_a_text_of_100_kilobytes_is_read_from_its_beginning(predictor):
    texts = [f"{LOVE}{number * ' la'}" for number in (300, 34_000)]
    found = predictor.predict(pd.DataFrame({"text": texts}))
    np.testing.assert_allclose(found["sentiment_positive"][1], found["sentiment_positive"][0])


def test_words_of_another_language_are_left_out_and_counted(predictor, capsys):
    languages = ["de-AT", "German", "en-GB", "english", None]
    found = predictor.predict(pd.DataFrame({"text": LOVE, "language": languages}))
    assert found["sentiment"].isna().tolist() == [True, True, False, False, False]
    assert found["emotion"].isna().tolist() == [True, True, False, False, False]
    assert found["problem"][0] == "not predicted: no sound, and no words that a model knows"
    message = "words give no sentiment in 2 rows: they are in de, its model knows en"
    assert message in capsys.readouterr().out


def test_without_the_encoder_of_words_a_line_says_how_to_get_it(folder, monkeypatch, capsys):
    def refuse(*given: object) -> None:
        raise FileNotFoundError("pip install 'conversation-emotion[offline]'")

    predictor = Predictor.load(folder)
    monkeypatch.setattr("conversation_emotion.inference.predictor.load_encoders", refuse)
    found = predictor.predict(pd.DataFrame({"audio": str(folder / "noise.wav"), "text": [LOVE]}))
    assert found["emotion"].notna().all()
    assert "sentiment" not in found
    printed = capsys.readouterr().out
    assert "words give no sentiment, default-sentiment cannot be loaded: pip install" in printed


def test_models_of_words_can_be_left_out_or_have_to_be_right(folder):
    plain = Predictor.load(folder, sentiment=None, text_model=None)
    found = plain.predict(pd.DataFrame({"audio": [None, "x.wav"], "text": LOVE}))
    assert found["emotion"].isna().all()
    assert "sentiment" not in found
    with pytest.raises(ValueError, match=r"Emotion .* from speech, expected a model of the sentim"):
        Predictor.load(folder, sentiment=str(folder))
    with pytest.raises(ValueError, match=r"default-sentiment: .* a model of the emotion of single"):
        Predictor.load(folder, text_model="default-sentiment")


def test_a_model_of_sentiment_names_its_classes_so(predictor):
    found = Predictor.load("default-sentiment").predict(pd.DataFrame({"text": [LOVE, HATE]}))
    assert found["sentiment"].tolist() == ["positive", "negative"]
    probabilities = ["p_negative", "p_neutral", "p_positive"]
    assert found.columns.tolist() == [
        *("sentiment", *probabilities, "confidence", "prediction_set", "problem")
    ]
