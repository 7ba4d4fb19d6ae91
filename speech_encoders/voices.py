"""Encoders of voices, trained to tell speakers apart: a vector for a clip, alike for one speaker.

* ``speechbrain/spkrec-ecapa-voxceleb`` (Desplanques et al., 2020; Ravanelli et al., 2021): hub id,
  or a folder with its ``embedding_model.ckpt``. Its ``hyperparams.yaml``, which can run any code,
  is not read: the sizes of the network are those of its weights.
* ``resemblyzer`` (Wan et al., 2018), whose weights are in the package of this name (Apache 2.0):
  pip install --no-deps resemblyzer. The package itself is not imported.
"""

import hashlib
from importlib.util import find_spec
from pathlib import Path

import torch
from huggingface_hub import hf_hub_download, try_to_load_from_cache
from torch import Tensor, nn
from torchaudio.transforms import MelSpectrogram

from speech_encoders.checkpoint import ask_hub
from speech_encoders.contract import WaveformEncoder
from speech_encoders.waveforms import SAMPLE_RATE

FORMAT = 1
"""Number in the identity; grows when the same weights give other features."""

ECAPA, RESEMBLYZER = "speechbrain/spkrec-ecapa-voxceleb", "resemblyzer"

_FILE = "embedding_model.ckpt"
_WINDOW, _STEP = 160, 77  # frames of 10 ms of a part, and between parts, as in Resemblyzer
_LEAST_LOUDNESS = 10 ** (-30 / 20)  # of a clip, -30 dB; what is softer is made as loud


class VoiceEncoder(WaveformEncoder):
    """One frame for each clip, which is encoded by itself, so that no other changes it."""

    num_layers = 1
    frame_rate = 1.0
    """A clip has one frame, however long."""
    min_samples = SAMPLE_RATE // 10

    def __init__(self, network: nn.Module, hidden_size: int, identity: str, device: str) -> None:
        self.network = network.eval().requires_grad_(False).to(device)
        self.hidden_size = hidden_size
        self.identity = identity
        self.device = device

    def encode(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encodes clip by clip: (B, S), (B,) -> (B, 1, 1, D), (B,)."""
        vectors = [
            self.network(clip[:length].to(self.device))
            for clip, length in zip(waveforms, lengths.tolist(), strict=True)
        ]
        states = torch.stack(vectors).view(-1, 1, 1, self.hidden_size)
        return states, torch.ones(len(lengths), dtype=torch.long, device=self.device)


class EcapaNetwork(nn.Module):
    """Mel bands, less their mean over the clip, and SpeechBrain's ECAPA-TDNN: (S,) -> (D,)."""

    def __init__(self, weights: dict[str, Tensor]) -> None:
        from speechbrain.lobes.features import Fbank
        from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN

        super().__init__()
        num_bands = weights["blocks.0.conv.conv.weight"].size(1)
        num_blocks = len({name.split(".")[1] for name in weights if name.startswith("blocks.")})
        widths = [
            weights[f"blocks.{n}.tdnn2.conv.conv.weight"].size(0) for n in range(1, num_blocks)
        ]
        first = weights["blocks.0.conv.conv.weight"].size(0)
        self.bands = Fbank(n_mels=num_bands)
        self.ecapa = ECAPA_TDNN(
            num_bands,
            lin_neurons=weights["fc.conv.weight"].size(0),
            channels=[first, *widths, weights["mfa.conv.conv.weight"].size(0)],
            attention_channels=weights["asp.tdnn.conv.conv.weight"].size(0),
            se_channels=weights["blocks.1.se_block.conv1.conv.weight"].size(0),
        )
        self.ecapa.load_state_dict(weights)

    def forward(self, samples: Tensor) -> Tensor:
        """Encodes a clip."""
        bands = self.bands(samples[None])
        return self.ecapa(bands - bands.mean(dim=1, keepdim=True))[0, 0]


class ResemblyzerNetwork(nn.Module):
    """Mel bands, three LSTMs over parts of 1.6 s, the mean of their unit vectors: (S,) -> (D,)."""

    def __init__(self, weights: dict[str, Tensor]) -> None:
        super().__init__()
        self.bands = MelSpectrogram(
            SAMPLE_RATE, n_fft=400, hop_length=160, n_mels=40, norm="slaney", mel_scale="slaney",
            pad_mode="constant",
        )  # fmt: skip
        self.lstm = nn.LSTM(40, 256, 3, batch_first=True)
        self.linear = nn.Linear(256, 256)
        known = {
            name: value for name, value in weights.items() if not name.startswith("similarity")
        }
        self.load_state_dict(known, strict=False)

    def forward(self, samples: Tensor) -> Tensor:
        """Encodes a clip."""
        loudness = samples.square().mean().sqrt()
        if 0 < loudness < _LEAST_LOUDNESS:
            samples = samples * (_LEAST_LOUDNESS / loudness)
        frames = self.bands(samples).T
        num_parts = max(1, (len(frames) - _WINDOW) // _STEP + 1)
        whole = (num_parts - 1) * _STEP + _WINDOW
        padded = nn.functional.pad(frames, (0, 0, 0, max(0, whole - len(frames))))
        parts = padded.unfold(0, _WINDOW, _STEP).transpose(1, 2)
        _, (hidden, _) = self.lstm(parts)
        vectors = nn.functional.normalize(self.linear(hidden[-1]).relu(), dim=1)
        return nn.functional.normalize(vectors.mean(dim=0), dim=0)


def find_resemblyzer() -> Path | None:
    """Returns the weights of Resemblyzer; None where the package is not installed."""
    spec = find_spec(RESEMBLYZER)
    folders = [] if spec is None else list(spec.submodule_search_locations or ())
    return next((path for x in folders if (path := Path(x) / "pretrained.pt").is_file()), None)


def find_ecapa(name: str) -> Path:
    """Returns the weights of an ECAPA, in a folder, the hub's cache, or from the hub.

    Raises:
        FileNotFoundError: There are none, or the hub does not answer.
    """
    file = Path(name).expanduser() / _FILE
    if file.is_file():
        return file
    cached = try_to_load_from_cache(name, _FILE) if not Path(name).is_absolute() else None
    if isinstance(cached, str):
        return Path(cached)
    why = ask_hub(name)  # which gives up within seconds, unlike a download
    try:
        if not isinstance(why, str):
            return Path(hf_hub_download(name, _FILE))
    except (OSError, ValueError) as error:  # the hub's errors are either
        why = type(error).__name__
    raise FileNotFoundError(
        f"{name}: neither a folder with {_FILE} nor to be had from the hub ({why}); pass such a "
        "folder"
    )


def load(name: str, device: str) -> VoiceEncoder:
    """Loads an encoder of voices.

    Raises:
        FileNotFoundError: The checkpoint cannot be found.
        ModuleNotFoundError: Resemblyzer is not installed.
        ValueError: The file holds other weights.
    """
    file = find_resemblyzer() if name == RESEMBLYZER else find_ecapa(name)
    if file is None:
        raise ModuleNotFoundError(
            "resemblyzer: its weights are not installed; pip install --no-deps resemblyzer"
        )
    digest = hashlib.sha256(file.read_bytes()).hexdigest()[:16]
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
        if name == RESEMBLYZER:
            network, size, kind = ResemblyzerNetwork(content["model_state"]), 256, name
        else:
            network, size, kind = EcapaNetwork(content), content["fc.conv.weight"].size(0), "ecapa"
    except Exception as error:  # of a file that is no such checkpoint, torch raises many kinds
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"{file}: holds no weights of {name} ({reason}); fetch it again"
        ) from error
    identity = f"{kind} format={FORMAT} sha256={digest} torch={torch.__version__}"
    return VoiceEncoder(network, size, identity, device)
