"""Augmentation of unlabelled speech: noise, speed, pitch and gain, each with its own chance."""

import math
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor
from torchaudio.functional import phase_vocoder, resample

from conversation_emotion.utterances.audio import SAMPLE_RATE

Choice = TypeVar("Choice")

_RATIOS = ((7, 8), (8, 9), (9, 10), (10, 9), (9, 8), (8, 7))
_FFT, _HOP = 512, 128


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Chances and ranges of the changes.

    Attributes:
        noise: Chance of white, pink or brown noise, 5 to 30 dB below the speech.
        speed: Chance of a change of tempo and pitch together, by 8 % to 14 %.
        pitch: Chance of a change of pitch alone, by the same.
        gain: Chance of a gain that glides over the clip between two values within 6 dB; a constant
            one would change nothing, since encoders normalise clips.
    """

    noise: float = 0.0
    speed: float = 0.0
    pitch: float = 0.0
    gain: float = 0.0

    def __post_init__(self) -> None:
        for name in ("noise", "speed", "pitch", "gain"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(
                    f"the chance of {name} must lie in [0, 1], got {getattr(self, name)}"
                )

    def __call__(self, waveform: Tensor, rng: np.random.Generator) -> Tensor:
        """Changes a clip, also its length: (S,) -> (S',)."""
        if rng.random() < self.speed:
            waveform = _change_speed(waveform, _choose(_RATIOS, rng))
        if rng.random() < self.pitch:
            waveform = _change_pitch(waveform, _choose(_RATIOS, rng))
        if rng.random() < self.gain:
            waveform = waveform * _glide(len(waveform), rng)
        if rng.random() < self.noise:
            waveform = _add_noise(waveform, rng)
        return waveform


def _choose(choices: tuple[Choice, ...], rng: np.random.Generator) -> Choice:
    return choices[int(rng.integers(len(choices)))]


def _change_speed(waveform: Tensor, ratio: tuple[int, int]) -> Tensor:
    """Plays a clip slower or faster: (S,) -> (S * second / first,)."""
    return resample(waveform, *ratio)


def _change_pitch(waveform: Tensor, ratio: tuple[int, int]) -> Tensor:
    """Shifts the pitch and keeps the tempo: stretches by a phase vocoder, then plays faster."""
    window = torch.hann_window(_FFT)
    spectrum = torch.stft(waveform, _FFT, _HOP, window=window, return_complex=True)
    advance = torch.linspace(0, math.pi * _HOP, spectrum.size(0))[:, None]
    stretched = phase_vocoder(spectrum, ratio[1] / ratio[0], advance)
    return resample(torch.istft(stretched, _FFT, _HOP, window=window), ratio[0], ratio[1])


def _glide(num_samples: int, rng: np.random.Generator) -> Tensor:
    first, last = rng.uniform(-6, 6, size=2)
    return 10 ** (torch.linspace(first, last, num_samples) / 20)


def _add_noise(waveform: Tensor, rng: np.random.Generator) -> Tensor:
    """Adds noise whose power falls with the frequency to the power of 0, 1 or 2: (S,) -> (S,)."""
    slope = _choose((0.0, 0.5, 1.0), rng)
    white = rng.standard_normal(len(waveform), dtype=np.float32)
    spectrum = torch.fft.rfft(torch.from_numpy(white))
    frequencies = torch.fft.rfftfreq(len(waveform), 1 / SAMPLE_RATE).clamp_min(20.0)
    noise = torch.fft.irfft(spectrum * frequencies**-slope, n=len(waveform))
    level = waveform.std() / noise.std().clamp_min(1e-12)
    return waveform + noise * level * 10 ** (-float(rng.uniform(5, 30)) / 20)
