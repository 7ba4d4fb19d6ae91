"""Hidden states of Whisper's encoder (Radford et al., 2023); the decoder is left out."""

import torch
from torch import Tensor
from torch.nn.functional import pad

from speech_encoders.contract import WaveformEncoder
from speech_encoders.waveforms import real_positions, split_windows
from speech_encoders.whisper.modeling import (
    FRAME_RATE,
    SAMPLES_PER_FRAME,
    WhisperModel,
    contextualise,
    convolve,
    count_frames,
    window_frames,
)

_FRAMES_AT_ONCE = 6_000
"""Frames that run through the layers together, two minutes: an hour needs no more memory."""


class WhisperEncoder(WaveformEncoder):
    """The input of the first Transformer layer and the output of each, the last one normalised.

    A clip is read as it is, ``ceil(S / 320)`` frames, and what pads a batch is masked. Whisper
    was trained on windows of 30 s in which silence follows the clip: ``padded`` reads them so, at
    many times the cost, and keeps the frames of the clip. What is longer than 30 s is cut into
    windows that follow each other without overlap.

    Args:
        model: The encoder of a Whisper model in evaluation mode.
        identity: All that the hidden states depend on.
        padded: Whether each window is padded to 30 s.
    """

    frame_rate = float(FRAME_RATE)
    min_samples = 400

    def __init__(self, model: WhisperModel, *, identity: str, padded: bool = False) -> None:
        self.model = model
        self.identity = identity
        self.padded = padded
        self.num_layers: int = model.config.encoder_layers + 1
        self.hidden_size: int = model.config.d_model

    def encode(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encodes window by window: (B, S), (B,) -> (B, L, T, D), (B,)."""
        waveforms, lengths = waveforms.to(self.model.device), lengths.to(self.model.device)
        num_frames = count_frames(lengths)
        states = waveforms.new_zeros(
            len(waveforms), self.num_layers, int(num_frames.max()), self.hidden_size
        )
        size = window_frames(self.model)
        starts = [
            (clip, first)
            for clip, count in enumerate(num_frames.tolist())
            for first in range(0, count, size)
        ]
        windows, sizes = split_windows(waveforms, lengths, size * SAMPLES_PER_FRAME)
        at_once = max(1, _FRAMES_AT_ONCE // (size if self.padded else int(num_frames.max())))
        for first in range(0, len(windows), at_once):
            some = slice(first, first + at_once)
            encoded = self._encode_windows(windows[some], sizes[some])
            for (clip, start), window in zip(starts[some], encoded, strict=True):
                count = min(window.size(1), int(num_frames[clip]) - start)
                states[clip, :, start : start + count] = window[:, :count]
        return states, num_frames

    def _encode_windows(self, windows: Tensor, lengths: Tensor) -> Tensor:
        """Encodes windows of at most 30 s: (R, S), (R,) -> (R, L, T, D)."""
        if self.padded:
            most = window_frames(self.model) * SAMPLES_PER_FRAME
            is_real = real_positions(lengths, windows.size(1))
            windows = pad(windows.where(is_real, 0.0), (0, most - windows.size(1)))
            lengths = torch.full_like(lengths, most)
        longest = int(lengths.max())
        frames, num_frames = convolve(self.model, windows[:, :longest], lengths)
        return torch.stack(contextualise(self.model, frames, num_frames), dim=1)
