"""Whisper's front end on tensors: waveforms in, log-mel spectra out (Radford et al., 2023)."""

from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad
from transformers import WhisperFeatureExtractor

from speech_encoders.waveforms import real_positions

HOP = 160
"""Samples from one spectrum to the next."""

WINDOW = 400
"""Samples that a spectrum is taken of, Hann weighted."""


def log_mel(waveforms: Tensor, num_spectra: Tensor, num_mel_bins: int, most_samples: int) -> Tensor:
    """Computes what Whisper reads of each clip, whatever else is in the batch.

    A clip is followed by silence, as where Whisper pads it to 30 s. Power below the clip's loudest
    bin by 80 dB is cut off.

    Args:
        waveforms: Clips followed by zeros, (B, S).
        num_spectra: Spectra of each clip, (B,).
        num_mel_bins: Mel bands (M), 80 or 128.
        most_samples: Samples that Whisper reads at once; at their end, as at the clip's start, the
            signal is mirrored.

    Returns:
        (B, M, N) spectra, zero beyond those of a clip.
    """
    size = int(num_spectra.max())
    samples = min(size * HOP + 2 * HOP, most_samples)
    waveforms = pad(waveforms, (0, max(0, samples - waveforms.size(1))))[:, :samples]
    window = torch.hann_window(WINDOW, device=waveforms.device)
    spectra = torch.stft(waveforms, WINDOW, HOP, window=window, return_complex=True)
    return compress(spectra[..., :size].abs().square(), num_spectra, num_mel_bins)


def compress(power: Tensor, num_spectra: Tensor, num_mel_bins: int) -> Tensor:
    """Maps power to log-mel bands: (B, F, N), real spectra (B,) -> (B, M, N), zero beyond those."""
    filters = torch.from_numpy(_mel_filters(num_mel_bins)).to(power)
    bands = (filters @ power).clamp(min=1e-10).log10()
    padding = ~real_positions(num_spectra, power.size(2))[:, None]
    loudest = bands.masked_fill(padding, -torch.inf).amax(dim=(1, 2), keepdim=True)
    return ((bands.maximum(loudest - 8) + 4) / 4).masked_fill(padding, 0.0)


@cache  # not as a tensor: one that is made while a graph is traced has no values
def _mel_filters(num_mel_bins: int) -> NDArray[np.float32]:
    """Returns the weights of the frequencies in each band: (M, F)."""
    extractor = WhisperFeatureExtractor(feature_size=num_mel_bins)
    return np.asarray(extractor.mel_filters, dtype=np.float32).T
