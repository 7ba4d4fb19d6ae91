"""Spectral features as Kaldi computes them (Povey et al., 2011), batched: Fbank, MFCC."""

import math

import torch
import torchaudio
from torch import Tensor
from torch.nn.functional import pad
from torchaudio.compliance.kaldi import get_mel_banks
from torchaudio.functional import compute_deltas, create_dct

from speech_encoders.contract import WaveformEncoder
from speech_encoders.waveforms import SAMPLE_RATE

FORMAT = 1
"""Number in the identity; grows when the same settings give other features."""

_WINDOW, _HOP, _FFT = 400, 160, 512
_LOWEST_HERTZ, _PREEMPHASIS, _LIFTER = 20.0, 0.97, 22.0
_DELTA_FRAMES = 5


def fbank(*, device: str = "cpu", num_deltas: int = 0) -> "SpectralEncoder":
    """80 log mel energies; with two orders of deltas the FBANK of SUPERB (Yang et al., 2021)."""
    return SpectralEncoder(num_mel_bins=80, num_deltas=num_deltas, device=device)


def mfcc(*, device: str = "cpu", num_deltas: int = 0) -> "SpectralEncoder":
    """40 cepstral coefficients of 40 mel energies, Kaldi's high-resolution MFCC."""
    return SpectralEncoder(
        num_mel_bins=40, num_coefficients=40, num_deltas=num_deltas, device=device
    )


def load(name: str, device: str) -> "SpectralEncoder":
    """Builds fbank or mfcc without deltas."""
    return {"fbank": fbank, "mfcc": mfcc}[name](device=device)


class SpectralEncoder(WaveformEncoder):
    """Log mel energies or cepstral coefficients of 25 ms windows every 10 ms.

    Computes what ``torchaudio.compliance.kaldi`` computes clip by clip without dither: only whole
    windows, the mean removed, pre-emphasis 0.97, Povey window, mel filters from 20 Hz to 8 kHz,
    cepstra with lifter 22.

    Args:
        num_mel_bins: Mel filters.
        num_coefficients: Cepstral coefficients, the first included; None keeps the mel energies.
        num_deltas: Orders of time derivatives appended to the features: 0, 1 or 2.
        device: Where to compute.

    Raises:
        ValueError: More coefficients than mel filters, or another order of deltas.
    """

    def __init__(
        self,
        *,
        num_mel_bins: int,
        num_coefficients: int | None = None,
        num_deltas: int = 0,
        device: str = "cpu",
    ) -> None:
        if num_coefficients is not None and not 0 < num_coefficients <= num_mel_bins:
            raise ValueError(
                f"num_coefficients is {num_coefficients}, expected 1 to {num_mel_bins} mel bins"
            )
        if num_deltas not in (0, 1, 2):
            raise ValueError(f"num_deltas is {num_deltas}, expected 0, 1 or 2")
        self.num_layers = 1
        self.hidden_size = (num_coefficients or num_mel_bins) * (1 + num_deltas)
        self.frame_rate = SAMPLE_RATE / _HOP
        self.min_samples = _WINDOW
        self.identity = (
            f"spectral format={FORMAT} mel_bins={num_mel_bins} coefficients={num_coefficients} "
            f"deltas={num_deltas} torch={torch.__version__} torchaudio={torchaudio.__version__}"
        )
        self._num_deltas = num_deltas
        self._window = torch.hann_window(_WINDOW, periodic=False).pow(0.85).to(device)
        self._mel_filters = _mel_filters(num_mel_bins).to(device)
        self._cepstra = None
        if num_coefficients is not None:
            self._cepstra = _cepstral_matrix(num_mel_bins, num_coefficients).to(device)

    def encode(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Computes the features: (B, S), (B,) -> (B, 1, T, D), (B,)."""
        num_frames = 1 + (lengths.to(self._window.device) - _WINDOW) // _HOP
        power = self._power_spectrum(waveforms.to(self._window.device))
        # Kaldi's floor: digital silence has no logarithm.
        features = (power @ self._mel_filters).clamp_min(torch.finfo(torch.float32).eps).log()
        if self._cepstra is not None:
            features = features @ self._cepstra
        orders = [features]
        for _ in range(self._num_deltas):
            orders.append(_deltas(orders[-1], num_frames))
        return torch.cat(orders, dim=-1)[:, None], num_frames

    def _power_spectrum(self, waveforms: Tensor) -> Tensor:
        """Power of each whole window: (B, S) -> (B, T, frequencies)."""
        frames = waveforms.unfold(1, _WINDOW, _HOP)
        frames = frames - frames.mean(dim=-1, keepdim=True)
        before = torch.cat([frames[..., :1], frames[..., :-1]], dim=-1)
        frames = (frames - _PREEMPHASIS * before) * self._window
        return torch.fft.rfft(frames, n=_FFT).abs().square()


def _mel_filters(num_mel_bins: int) -> Tensor:
    """Triangular mel filters without warping: (frequencies, mel bins)."""
    filters, _ = get_mel_banks(
        num_mel_bins, _FFT, SAMPLE_RATE, _LOWEST_HERTZ, 0.0, 100.0, -500.0, 1.0
    )
    return pad(filters, (0, 1)).T.contiguous()


def _cepstral_matrix(num_mel_bins: int, num_coefficients: int) -> Tensor:
    """Cosine transform and lifter in one: (mel bins, coefficients)."""
    cosines = create_dct(num_mel_bins, num_mel_bins, "ortho")
    cosines[:, 0] = math.sqrt(1 / num_mel_bins)
    order = torch.arange(num_coefficients)
    lifter = 1.0 + 0.5 * _LIFTER * torch.sin(math.pi * order / _LIFTER)
    return cosines[:, :num_coefficients] * lifter


def _deltas(features: Tensor, num_frames: Tensor) -> Tensor:
    """Slope over five frames, each clip's last frame repeated: (B, T, D), (B,) -> (B, T, D)."""
    frames = torch.arange(features.size(1), device=features.device)
    nearest = torch.minimum(frames, num_frames[:, None] - 1)
    extended = features.gather(1, nearest[..., None].expand_as(features))
    return compute_deltas(extended.transpose(1, 2), _DELTA_FRAMES).transpose(1, 2)
