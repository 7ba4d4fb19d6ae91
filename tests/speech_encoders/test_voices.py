import warnings

import pytest
import torch
from torch import nn

import speech_encoders.voices as voices
from speech_encoders import load_speech_encoder


@pytest.fixture(scope="module")
def ecapa():
    """A small ECAPA of SpeechBrain with random weights."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN
    torch.manual_seed(0)
    return ECAPA_TDNN(
        20, lin_neurons=12, channels=[16, 16, 16, 16, 24], attention_channels=8, se_channels=4
    ).eval()


@pytest.fixture
def folder(ecapa, tmp_path):
    """A folder as the hub has it, but for the sizes."""
    torch.save(ecapa.state_dict(), tmp_path / "embedding_model.ckpt")
    return tmp_path


def clips() -> tuple[torch.Tensor, torch.Tensor]:
    """Two clips of noise, the shorter followed by more noise: (2, S), (2,)."""
    torch.manual_seed(1)
    return 0.1 * torch.randn(2, 40_000), torch.tensor([40_000, 9_000])


def test_an_ecapa_is_read_from_its_weights_alone(folder, ecapa):
    from speechbrain.lobes.features import Fbank
    from speechbrain.processing.features import InputNormalization

    encoder = load_speech_encoder(str(folder))
    waveforms, lengths = clips()
    states, num_frames = encoder(waveforms, lengths)
    assert num_frames.tolist() == [1, 1]
    norm = InputNormalization(norm_type="sentence", std_norm=False)
    for clip, length, state in zip(waveforms, lengths, states, strict=True):
        bands = norm(Fbank(n_mels=20)(clip[None, :length]), torch.ones(1))
        with torch.no_grad():
            expected = ecapa(bands)[0, 0]
        torch.testing.assert_close(state[0, 0], expected, atol=1e-5, rtol=1e-4)
    assert encoder.identity.startswith("ecapa format=1 sha256=")


def test_resemblyzer_is_read_from_the_weights_of_its_package(tmp_path, monkeypatch):
    torch.manual_seed(0)
    lstm, linear = nn.LSTM(40, 256, 3, batch_first=True), nn.Linear(256, 256)
    weights = {f"lstm.{name}": value for name, value in lstm.state_dict().items()}
    weights |= {f"linear.{name}": value for name, value in linear.state_dict().items()}
    (tmp_path / "resemblyzer").mkdir()
    (tmp_path / "resemblyzer" / "__init__.py").write_text("raise ImportError('not to be imported')")
    content = {"step": 1, "model_state": {**weights, "similarity_weight": torch.ones(1)}}
    torch.save(content, tmp_path / "resemblyzer" / "pretrained.pt")
    monkeypatch.syspath_prepend(tmp_path)
    encoder = load_speech_encoder("resemblyzer")
    waveforms, lengths = clips()
    states, _ = encoder(waveforms, lengths)
    assert isinstance(encoder, voices.VoiceEncoder)
    assert isinstance(encoder.network, voices.ResemblyzerNetwork)
    bands = encoder.network.bands(waveforms[0]).T
    parts = torch.stack([bands[first : first + 160] for first in (0, 77)])  # 251 frames
    with torch.no_grad():
        vectors = linear(lstm(parts)[0][:, -1]).relu()
    mean = (vectors / vectors.norm(dim=1, keepdim=True)).mean(dim=0)
    torch.testing.assert_close(states[0, 0, 0], mean / mean.norm(), atol=1e-5, rtol=1e-4)
    alone, _ = encoder(waveforms[1:, :9_000], lengths[1:])
    torch.testing.assert_close(states[1], alone[0])


def test_voices_that_cannot_be_had_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(voices, "find_resemblyzer", lambda: None)
    with pytest.raises(ModuleNotFoundError, match="pip install --no-deps resemblyzer"):
        load_speech_encoder("resemblyzer")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(
        FileNotFoundError, match="spkrec-ecapa-none: neither a folder with embedding"
    ):
        load_speech_encoder("speechbrain/spkrec-ecapa-none")
    (tmp_path / "embedding_model.ckpt").write_bytes(b"no weights")
    with pytest.raises(ValueError, match=r"embedding_model\.ckpt: holds no weights of"):
        load_speech_encoder(str(tmp_path))
