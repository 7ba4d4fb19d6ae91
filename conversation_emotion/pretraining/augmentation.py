"""Augmentation of unlabelled speech: noise, speed, pitch and gain, each at random."""

import math
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor
from torchaudio.functional import phase_vocoder, resample

from conversation_emotion.settings.pretraining import AudioSettings
from conversation_emotion.utterances.audio import SAMPLE_RATE

Choice = TypeVar("Choice")

_RATIOS = ((7, 8), (8, 9), (9, 10), (10, 9), (9, 8), (8, 7))
_FFT, _HOP = 512, 128


def augment(waveform: Tensor, settings: AudioSettings, rng: np.random.Generator) -> Tensor:
    """Changes a clip, also its length: (S,) -> (S',).

    Each change draws from ``rng`` even where its probability is 0, so that raising one probability
    leaves the random numbers of the decisions before it as they are.
    """
    if rng.random() < settings.speed:
        waveform = resample(waveform, *_choose(_RATIOS, rng))
    if rng.random() < settings.pitch:
        waveform = _change_pitch(waveform, _choose(_RATIOS, rng))
    if rng.random() < settings.gain:
        # A constant gain would change nothing for encoders that normalise clips.
        first, last = rng.uniform(-6, 6, size=2)
        waveform = waveform * 10 ** (torch.linspace(first, last, len(waveform)) / 20)
    if rng.random() < settings.noise:
        waveform = _add_noise(waveform, rng)
    return waveform


def _choose(choices: tuple[Choice, ...], rng: np.random.Generator) -> Choice:
    return choices[int(rng.integers(len(choices)))]


def _change_pitch(waveform: Tensor, ratio: tuple[int, int]) -> Tensor:
    """Shifts the pitch and keeps the tempo: stretches by a phase vocoder, then plays faster."""
    window = torch.hann_window(_FFT)
    spectrum = torch.stft(waveform, _FFT, _HOP, window=window, return_complex=True)
    advance = torch.linspace(0, math.pi * _HOP, spectrum.size(0))[:, None]
    stretched = phase_vocoder(spectrum, ratio[1] / ratio[0], advance)
    return resample(torch.istft(stretched, _FFT, _HOP, window=window), ratio[0], ratio[1])


def _add_noise(waveform: Tensor, rng: np.random.Generator) -> Tensor:
    """Adds noise whose power falls with the frequency to the power of 0, 1 or 2: (S,) -> (S,)."""
    slope = _choose((0.0, 0.5, 1.0), rng)
    white = rng.standard_normal(len(waveform), dtype=np.float32)
    spectrum = torch.fft.rfft(torch.from_numpy(white))
    # From 20 Hz on: below, the power of brown noise would grow without bound.
    frequencies = torch.fft.rfftfreq(len(waveform), 1 / SAMPLE_RATE).clamp_min(20.0)
    noise = torch.fft.irfft(spectrum * frequencies**-slope, n=len(waveform))
    level = waveform.std() / noise.std().clamp_min(1e-12)
    return waveform + noise * level * 10 ** (-float(rng.uniform(5, 30)) / 20)
