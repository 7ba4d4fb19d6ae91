"""Turns of sound that is still coming, against those of a file."""

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from torchaudio.functional import resample

from conversation_emotion.inference import recordings
from conversation_emotion.inference.predictor import Predictor
from conversation_emotion.inference.recordings import predict_rows, read_rows
from conversation_emotion.settings.features import FeatureSettings
from conversation_emotion.settings.models import ConversationModelSettings, UtteranceModelSettings
from conversation_emotion.settings.turns import TurnSettings
from conversation_emotion.utterances.audio import read_audio
from tests.saved_models import save_untrained
from tests.spoken import RECORDING, write_channels

FBANK = FeatureSettings(modality="speech", speech_encoder="fbank", speech_layers="last")
UNKNOWN = TurnSettings(speakers="unknown", min_pause=0.2, padding=0.05)
CHANNELS = TurnSettings(speakers="channels")


@pytest.fixture(scope="module")
def predictor(tmp_path_factory) -> Predictor:
    folder = tmp_path_factory.mktemp("stream")
    return Predictor.load(save_untrained(folder, UtteranceModelSettings(hidden_size=8), FBANK))


@pytest.fixture(scope="module")
def pcm() -> np.ndarray:
    """Six turns and a second of silence at the end, as int16 at 16 kHz."""
    waveform = np.pad(read_audio(RECORDING, offset=19.0, duration=13.0), (0, 16_000))
    return (waveform * 32_767).astype(np.int16)


def predict_file(predictor, path, pcm, rate, settings, monkeypatch) -> pd.DataFrame:
    monkeypatch.setattr(recordings, "LONGEST_CLIP", 1.0)
    soundfile.write(path, pcm, rate)
    is_conversation = predictor.saved.card.is_conversation
    rows = read_rows([path], settings, is_conversation=is_conversation)
    return predict_rows(predictor, rows, classes=(), min_confidence=0.4)


def run(predictor, pcm, rate, settings, size, name=None) -> pd.DataFrame:
    stream = predictor.stream(rate, settings=settings, recording=name, min_confidence=0.4)
    parts = [stream.push(pcm[first : first + size]) for first in range(0, len(pcm), size)]
    return pd.concat([*parts, stream.finish()], ignore_index=True)


@pytest.mark.parametrize(("rate", "size"), [(16_000, 1_001), (44_100, 3_000), (8_000, 1 << 20)])
def test_chunks_of_any_size_give_the_rows_of_the_file(
    predictor, pcm, rate, size, tmp_path, monkeypatch
):
    path = tmp_path / "a.wav"
    pcm = resample(torch.from_numpy(pcm).float(), 16_000, rate).to(torch.int16).numpy()
    offline = predict_file(predictor, path, pcm, rate, UNKNOWN, monkeypatch)
    streamed = run(predictor, pcm, rate, UNKNOWN, size, str(path))
    assert len(streamed) >= 5
    assert streamed[["start", "end"]].equals(offline[["start", "end"]])
    pd.testing.assert_frame_equal(streamed, offline, atol=1e-4, check_dtype=False)


@pytest.mark.parametrize("is_conversation", [False, True])
def test_channels_are_the_speakers_of_the_file(predictor, is_conversation, tmp_path, monkeypatch):
    if is_conversation:
        model = ConversationModelSettings(hidden_size=8, horizon=0, history=1)
        predictor = Predictor.load(save_untrained(tmp_path / "model", model, FBANK))
    path, _ = write_channels(tmp_path / "b.wav", leak=0.0)
    pcm, rate = soundfile.read(path, dtype="float32")
    offline = predict_file(predictor, path, pcm, rate, CHANNELS, monkeypatch)
    streamed = run(predictor, pcm, rate, CHANNELS, 16_001, str(path))
    assert set(streamed["speaker"]) == {"speaker_1", "speaker_2"}
    pd.testing.assert_frame_equal(streamed, offline, atol=1e-4, check_dtype=False)


def test_what_comes_later_changes_no_row_that_was_given(predictor, pcm):
    half = 7 * 16_000  # within a turn
    other = pcm.copy()
    other[half:] = np.random.default_rng(0).integers(-9_000, 9_000, len(pcm) - half)
    first, second = (predictor.stream(16_000, settings=UNKNOWN) for _ in range(2))
    given = [first.push(pcm[:half]), second.push(other[:half])]
    assert len(given[0]) >= 2
    pd.testing.assert_frame_equal(*given)
    whole = run(predictor, pcm, 16_000, UNKNOWN, half)
    assert whole["end"][: len(given[0])].equals(given[0]["end"])


def test_a_turn_is_given_within_half_a_second_of_its_end_and_only_its_samples_are_held(
    predictor, pcm
):
    stream, clock, delays, held = predictor.stream(16_000, settings=UNKNOWN), 0, [], []
    turns = run(predictor, pcm, 16_000, UNKNOWN, len(pcm))
    for first in range(0, len(pcm), 320):
        clock += 320
        delays += [clock / 16_000 - end for end in stream.push(pcm[first : first + 320])["end"]]
        held.append(sum(one.shape[1] for one in stream._held) / 16_000)
    assert 0.15 < min(delays) <= max(delays) < 0.25  # min_pause less padding; a frame; a chunk
    assert max(held) < (turns["end"] - turns["start"]).max() + 0.5


def test_sound_in_which_nobody_speaks_gives_no_rows_of_the_same_columns(predictor, pcm):
    silent = run(predictor, np.zeros(16_000, dtype=np.float32), 16_000, UNKNOWN, 320)
    assert silent.empty
    assert list(silent) == list(run(predictor, pcm, 16_000, UNKNOWN, len(pcm)))
    assert predictor.stream(16_000).finish().empty


@pytest.mark.parametrize(
    ("chunk", "message"),
    [
        (np.array(["a"]), "chunk 1: holds <U1, expected float32, float64 or int16"),
        ([1, 2], "chunk 1: holds int64, expected float32, float64 or int16"),
        (np.full(9, np.nan), "chunk 1: sample 0 is nan, expected finite numbers"),
        (
            np.array([0.0, 20_000]),
            "chunk 1: sample 1 is 20000, .* whole numbers are taken as int16",
        ),
        (np.zeros((9, 2)), "chunk 1: has 2 channels, expected 1 as before"),
        (np.zeros((9, 2, 2)), r"chunk 1: has shape \(9, 2, 2\), expected \(S,\) or \(S, C\)"),
    ],
)
def test_a_wrong_chunk_is_refused_and_the_stream_goes_on(predictor, chunk, message):
    stream = predictor.stream(16_000)
    stream.push(np.zeros(320))
    with pytest.raises((TypeError, ValueError), match=message):
        stream.push(chunk)
    stream.push(np.zeros(320))
    stream.finish()
    with pytest.raises(ValueError, match="the stream is finished; begin another one"):
        stream.push(np.zeros(320))


@pytest.mark.parametrize(
    ("rate", "settings", "message"),
    [
        (16_000.5, UNKNOWN, "sample_rate is 16000.5, expected a whole number from 1,000"),
        (10, UNKNOWN, "sample_rate is 10, expected a whole number from 1,000"),
        (16_000, TurnSettings(num_speakers=2), "cannot be clustered"),
    ],
)
def test_a_stream_that_is_not_possible_is_refused(predictor, rate, settings, message):
    with pytest.raises(ValueError, match=message):
        predictor.stream(rate, settings=settings)


def test_a_stream_of_speakers_needs_their_channels(predictor, tmp_path):
    with pytest.raises(ValueError, match="chunk 0: has one channel, speakers='channels' needs two"):
        predictor.stream(16_000, settings=CHANNELS).push(np.zeros(320))
    model = save_untrained(tmp_path, ConversationModelSettings(hidden_size=8), FBANK)
    with pytest.raises(ValueError, match="not known who speaks when, .* take speakers='channels'"):
        Predictor.load(model).stream(16_000)


def test_a_waveform_that_is_too_short_is_named(predictor):
    features = predictor.encode_waveforms([np.zeros(80, dtype=np.float32), None])
    rows = pd.DataFrame({"audio": [None, None], "text": None})
    found = predictor.predict_encoded(rows, features)
    assert found["emotion"].isna().all()
    assert found["problem"][0].startswith("not predicted: 5 ms, the encoder needs ")
    assert found["problem"][1] == "not predicted: no audio or text to use"
