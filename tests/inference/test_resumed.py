"""Predictions go on where they were interrupted, and in pieces give what they give at once."""

from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
import pytest
import soundfile

from conversation_emotion.features import clips
from conversation_emotion.features.encoders import Encoder
from conversation_emotion.features.sources import load_encoders
from conversation_emotion.inference import certainty
from conversation_emotion.inference import rows as rows_module
from conversation_emotion.inference.predictor import Predictor
from conversation_emotion.inference.saved_model import load_model
from conversation_emotion.settings.features import FeatureSettings
from conversation_emotion.settings.models import ConversationModelSettings, UtteranceModelSettings
from tests.saved_models import save_untrained

FBANK = FeatureSettings(modality="speech", speech_encoder="fbank")


class Counting:
    """An encoder that counts clips, and is interrupted when it was given some."""

    def __init__(self, encoder, most: float = np.inf) -> None:
        self._encoder, self.most, self.num_clips = encoder, most, 0

    def __call__(self, waveforms, lengths):
        if self.num_clips >= self.most:
            raise KeyboardInterrupt
        self.num_clips += len(waveforms)
        return self._encoder(waveforms, lengths)

    def __getattr__(self, name):
        return getattr(self._encoder, name)


@pytest.fixture
def files(tmp_path, monkeypatch) -> list[str]:
    """Six recordings of noise; the cache is empty."""
    monkeypatch.setenv("CONVERSATION_EMOTION_CACHE", str(tmp_path / "cache"))
    noise = np.random.default_rng(0).normal(scale=0.1, size=(6, 8_000))
    for number, one in enumerate(noise):
        soundfile.write(tmp_path / f"{number}.wav", one, 16_000)
    return [str(tmp_path / f"{number}.wav") for number in range(6)]


@pytest.fixture(scope="module")
def utterance_model(tmp_path_factory) -> Path:
    settings = UtteranceModelSettings(hidden_size=8)
    return save_untrained(tmp_path_factory.mktemp("model"), settings, FBANK)


def load(folder: Path, most: float = np.inf) -> tuple[Predictor, Counting]:
    saved = load_model(folder)
    encoder = Counting(load_encoders(saved.card.features)["speech"], most)
    return Predictor(saved, {"speech": cast(Encoder, encoder)}), encoder


@pytest.mark.parametrize("num_rows", [2, 100])
def test_an_interrupted_prediction_encodes_only_the_rest_when_called_again(
    files, utterance_model, monkeypatch, num_rows
):
    monkeypatch.setattr(rows_module, "PIECE_ROWS", num_rows)
    monkeypatch.setattr(clips, "CLIPS_AT_ONCE", 2)
    interrupted, encoder = load(utterance_model, most=4)
    with pytest.raises(KeyboardInterrupt):
        interrupted.predict(files)
    assert encoder.num_clips == 4
    predictor, encoder = load(utterance_model)
    found = predictor.predict(files)
    assert encoder.num_clips == 2
    pd.testing.assert_frame_equal(found, predictor.predict(files))
    assert encoder.num_clips == 2
    monkeypatch.setenv("CONVERSATION_EMOTION_CACHE", f"{files[0]}-other-cache")
    pd.testing.assert_frame_equal(found, predictor.predict(files), atol=1e-6)
    assert encoder.num_clips == 8


def test_pieces_leave_conversations_whole(files, tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("turns")
    save_untrained(folder, ConversationModelSettings(hidden_size=8, horizon=0), FBANK)
    table = pd.DataFrame(
        {
            "audio": files,
            "speaker": ["A", "B"] * 3,
            "order": range(6),
            "dialogue_id": list("xxyyzz"),
        }
    )
    predictor, _ = load(folder)
    whole = predictor.predict(table)
    sizes = []
    predict = Predictor.predict_utterances
    monkeypatch.setattr(
        Predictor,
        "predict_utterances",
        lambda *given: sizes.append(len(given[1])) or predict(*given),
    )
    for limit, most in (("PIECE_ROWS", 3), ("PIECE_SECONDS", 1.2)):
        with monkeypatch.context() as patch:
            patch.setattr(rows_module, limit, most)
            pd.testing.assert_frame_equal(predictor.predict(table), whole, atol=1e-6)
        assert sizes == [2, 2, 2]
        sizes.clear()


def test_batches_of_long_frames_are_small(files, tmp_path_factory, monkeypatch):
    features = FeatureSettings(modality="speech", speech_encoder="fbank", speech_pooling="frames")
    folder = save_untrained(tmp_path_factory.mktemp("frames"), UtteranceModelSettings(), features)
    predictor, _ = load(folder)
    sizes, collect = [], certainty.collect_outputs

    def note(model, loader, read):
        sizes.append(loader.batch_size)
        return collect(model, loader, read)

    monkeypatch.setattr(certainty, "collect_outputs", note)
    whole = predictor.predict(files)
    # Half a second has 48 frames of 25 ms, each 10 ms after the one before, of 80 numbers.
    monkeypatch.setattr(certainty, "_GATHERED", 2 * 48 * 80)
    pd.testing.assert_frame_equal(predictor.predict(files), whole, atol=1e-6)
    assert sizes == [256, 2]


def test_sound_that_is_too_long_for_memory_is_a_sentence_and_the_rest_goes_on(
    files, utterance_model, monkeypatch
):
    monkeypatch.setattr(rows_module, "LONGEST", 0.45)
    predictor, encoder = load(utterance_model)
    table = pd.DataFrame({"audio": files[:2], "duration": [None, 0.4], "offset": [None, 0.1]})
    found = predictor.predict(table)
    assert found["emotion"].isna().tolist() == [True, False]
    assert encoder.num_clips == 1
    assert found["problem"][0].startswith(
        f"not predicted: {files[0]}: 0 s, and one utterance may have 0.45 s; give start and end"
    )
