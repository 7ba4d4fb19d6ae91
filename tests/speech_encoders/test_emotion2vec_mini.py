"""The encoder that comes with the package: small, complete, described, and trained."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import speech_encoders.emotion2vec
from conversation_emotion.corpora import load_corpus
from conversation_emotion.utterances.audio import read_audio
from speech_encoders import load_speech_encoder
from speech_encoders.contract import WaveformEncoder
from tests.layouts import find_data

FOLDER = Path(speech_encoders.emotion2vec.__file__).parent / "mini"


@pytest.fixture(scope="module")
def shipped() -> WaveformEncoder:
    return load_speech_encoder("emotion2vec-mini")


def test_it_is_small_and_described():
    size = sum(path.stat().st_size for path in FOLDER.iterdir())
    assert size <= 30 * 2**20
    assert json.loads((FOLDER / "config.json").read_text())["model_type"] == "emotion2vec"
    card = (FOLDER / "README.md").read_text()
    for word in ("RAVDESS", "TESS", "LJ Speech", "CC BY-NC-SA", "EmoDB", "experiments.ser"):
        assert word in card


def test_it_gives_frames_of_20_ms_in_nine_layers(shipped):
    states, lengths = shipped(0.1 * torch.randn(2, 16_000), torch.tensor([16_000, 8_000]))
    assert states.shape == (2, 9, 49, 256)
    assert lengths.tolist() == [49, 24]
    assert shipped.num_layers == 9


def test_it_separates_emotions_of_new_voices_better_than_the_same_network_untrained(shipped):
    table = load_corpus("emodb", find_data("emodb"))
    table = table[table["speaker"].isin(["03", "08", "09", "16"])].iloc[::2]
    is_test = table["speaker"].isin(["03", "16"]).to_numpy()
    emotions = table["emotion"].to_numpy()
    encoded = np.stack([_encode(shipped, path) for path in table["audio"]])
    encoded = (encoded - encoded[~is_test].mean(axis=0)) / encoded[~is_test].std(axis=0)
    names = np.unique(emotions)
    means = [encoded[~is_test & (emotions == name)].mean(axis=0) for name in names]
    distances = np.linalg.norm(encoded[is_test, None] - np.stack(means), axis=2)
    untrained = 0.393  # of untrained:mini in its place
    assert np.mean(names[distances.argmin(axis=1)] == emotions[is_test]) > untrained + 0.05


def _encode(encoder: WaveformEncoder, path: str) -> NDArray[np.float32]:
    """Averages a clip over time and layers: -> (D,)."""
    waveform = torch.from_numpy(read_audio(path))[None]
    states, _ = encoder(waveform, torch.tensor([waveform.size(1)]))
    return states[0].mean(dim=(0, 1)).numpy()
