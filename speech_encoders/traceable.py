"""Encoders as modules whose graph can be exported: no branch, loop or size depends on the samples.

Each computes what its encoder computes of a clip, whatever pads it. What an encoder chooses by the
batch at hand (clips of equal length together, pieces, windows, no mask where nothing is padded) is
done in one way that fits every batch, so that one graph serves all.
"""

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import conv1d, gelu, pad
from transformers import Wav2Vec2Model
from transformers.activations import ACT2FN

from speech_encoders.contract import WaveformEncoder
from speech_encoders.emotion2vec.encoder import Emotion2vecEncoder
from speech_encoders.emotion2vec.front_end import FIRST_STRIDE, FRAMING, HOP
from speech_encoders.emotion2vec.windows import WINDOW_FRAMES
from speech_encoders.spectral import SpectralEncoder
from speech_encoders.wav2vec2 import Wav2Vec2Encoder, positions_read_padding, prepare_waveforms
from speech_encoders.waveforms import SAMPLE_RATE, Framing, real_positions
from speech_encoders.whisper.encoder import WhisperEncoder
from speech_encoders.whisper.log_mel import HOP as SPECTRUM_HOP
from speech_encoders.whisper.log_mel import WINDOW, compress
from speech_encoders.whisper.modeling import (
    SAMPLES_PER_FRAME,
    count_frames,
    run_blocks,
    window_frames,
)

Parameters = Mapping[str, str | int | float | bool]
"""How a front end reads a waveform, for people: it is part of the graph."""


class TraceableEncoder(nn.Module):
    """A speech encoder that can be exported.

    Attributes:
        min_samples: Samples of the shortest clip.
        max_samples: Samples of the longest clip that gives what the encoder gives; None without a
            limit. The encoder itself reads longer ones window by window.
        front_end: How it reads waveforms, of `SAMPLE_RATE`.
    """

    min_samples: int
    max_samples: int | None = None
    front_end: Parameters

    @abstractmethod
    def forward(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encodes: (B, S), (B,) -> (B, L, T, D), real frames (B,); padded frames are anything."""


class TraceableWhisper(TraceableEncoder):
    """Whisper on the clip's own frames; spectra are convolutions with the waves of each frequency.

    The Fourier transform of 400 samples is exact in neither form, and onnxruntime's is the less
    exact one, which matters 80 dB below the loudest bin.
    """

    waves: Tensor

    def __init__(self, encoder: WhisperEncoder) -> None:
        super().__init__()
        if encoder.padded:
            raise ValueError(
                "an encoder of windows of 30 s, padded:, is not exported; leave out padded:"
            )
        self.model = encoder.model
        self.min_samples = encoder.min_samples
        # A frame less than the window, at whose end the signal would be mirrored.
        self.max_samples = (window_frames(self.model) - 1) * SAMPLES_PER_FRAME
        self.front_end = {
            "kind": "log-mel",
            "window": WINDOW,
            "hop": SPECTRUM_HOP,
            "mel_bands": self.model.num_mel_bins,
        }
        angles = torch.outer(torch.arange(WINDOW // 2 + 1), torch.arange(WINDOW)).double()
        angles = 2 * math.pi / WINDOW * (angles % WINDOW)
        waves = torch.cat([angles.cos(), angles.sin()]) * torch.hann_window(WINDOW).double()
        self.register_buffer("waves", waves.float()[:, None], persistent=False)

    def forward(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encodes: (B, S), (B,) -> (B, L, T, D), (B,)."""
        waveforms = waveforms.masked_fill(~real_positions(lengths, waveforms.size(1)), 0.0)
        num_frames = count_frames(lengths)
        half = WINDOW // 2
        waveforms = pad(waveforms[:, None], (half, 0), mode="reflect")
        # Frames of the longest clip, and up to two more.
        waves = conv1d(pad(waveforms, (0, WINDOW - 40)), self.waves, stride=SPECTRUM_HOP)
        real, imaginary = waves.chunk(2, dim=1)
        power = real.square() + imaginary.square()
        spectra = compress(power, 2 * num_frames, self.model.num_mel_bins)
        frames = gelu(self.model.conv2(gelu(self.model.conv1(spectra)))).transpose(1, 2)
        positions = torch.arange(frames.size(1), device=frames.device)
        frames = frames + self.model.embed_positions(positions)
        mask = real_positions(num_frames, frames.size(1))[:, None, None]
        return torch.stack(run_blocks(self.model, frames, mask), dim=1), num_frames


class TraceableWav2Vec2(TraceableEncoder):
    """wav2vec 2.0 and HuBERT; a norm over time counts a clip's own frames."""

    def __init__(self, encoder: Wav2Vec2Encoder) -> None:
        super().__init__()
        config = encoder.model.config
        if config.model_type not in ("wav2vec2", "hubert") or positions_read_padding(config):
            normed = " with a batch norm" if getattr(config, "conv_pos_batch_norm", False) else ""
            raise ValueError(
                f"an encoder of model type {config.model_type}{normed} is not exported; expected "
                "wav2vec2, hubert, whisper or emotion2vec"
            )
        self.model = cast(Wav2Vec2Model, encoder.model)
        self.activation = ACT2FN[config.feat_extract_activation]
        self.is_prenorm: bool = config.do_stable_layer_norm
        self.min_samples = encoder.min_samples
        self.framing = encoder.framing
        self.front_end = {
            "kind": "convolutions",
            "normalised": encoder.do_normalize,
            "hop": encoder.framing.hop,
            "receptive_field": encoder.framing.receptive_field,
        }

    def forward(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encodes: (B, S), (B,) -> (B, L, T, D), (B,)."""
        is_normalised = bool(self.front_end["normalised"])
        waveforms = prepare_waveforms(waveforms, lengths, do_normalize=is_normalised)
        frames = _cut(waveforms, self.framing)[:, None]
        for layer in self.model.feature_extractor.conv_layers:
            convolution, norm = layer.conv, getattr(layer, "layer_norm", None)
            assert isinstance(convolution, nn.Conv1d)
            lengths = (lengths - convolution.kernel_size[0]) // convolution.stride[0] + 1
            if isinstance(norm, nn.GroupNorm):
                normalised = _normalise_channels(norm, convolution(frames), lengths)
                frames = self.activation(normalised)
            else:
                frames = layer(frames)
        projected = self.model.feature_projection(frames.transpose(1, 2))
        frames = projected[0] if isinstance(projected, tuple) else projected  # HuBERT's is one
        is_real = real_positions(lengths, frames.size(1))
        return torch.stack(self._run_blocks(frames * is_real[..., None], is_real), dim=1), lengths

    def _run_blocks(self, frames: Tensor, is_real: Tensor) -> list[Tensor]:
        """Runs the Transformer: (B, T, D), (B, T) -> L x (B, T, D)."""
        encoder = self.model.encoder
        frames = frames + encoder.pos_conv_embed(frames)
        states = [frames if self.is_prenorm else encoder.layer_norm(frames)]
        for block in encoder.layers:
            states.append(block(states[-1], attention_mask=is_real[:, None, None]))
        if self.is_prenorm:
            states[-1] = encoder.layer_norm(states[-1])
        return states


def _normalise_channels(norm: nn.GroupNorm, frames: Tensor, lengths: Tensor) -> Tensor:
    """Normalises each channel of each clip over its real frames: (B, C, T), (B,) -> (B, C, T)."""
    is_real = real_positions(lengths, frames.size(2))[:, None]
    centred, variance = _centre(frames, is_real)
    scaled = centred / (variance + norm.eps).sqrt()
    return scaled * norm.weight[:, None] + norm.bias[:, None]


def _centre(values: Tensor, is_real: Tensor) -> tuple[Tensor, Tensor]:
    """Subtracts the mean of what is real in the last dimension, and returns its variance."""
    size = is_real.sum(dim=-1, keepdim=True)
    centred = values - (values * is_real).sum(dim=-1, keepdim=True) / size
    return centred, (centred.square() * is_real).sum(dim=-1, keepdim=True) / size


def _cut(waveforms: Tensor, framing: Framing) -> Tensor:
    """Pads to a whole number of hops, no fewer than hold all frames: (B, S) -> (B, N hop).

    The sizes that strided convolutions give are then multiples of N; those of any S are roundings
    of roundings, on which the exporter spends minutes.
    """
    padded = pad(waveforms, (0, framing.receptive_field))
    return padded.unfold(1, framing.hop, framing.hop).flatten(1)


class TraceableEmotion2vec(TraceableEncoder):
    """emotion2vec on clips of up to a window; the front end as plain convolutions."""

    def __init__(self, encoder: Emotion2vecEncoder) -> None:
        super().__init__()
        self.model = encoder.model
        self.min_samples = encoder.min_samples
        self.max_samples = (WINDOW_FRAMES - 1) * HOP + FRAMING.receptive_field
        self.front_end = {
            "kind": "convolutions",
            "normalised": True,
            "hop": HOP,
            "receptive_field": FRAMING.receptive_field,
        }

    def forward(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encodes: (B, S), (B,) -> (B, L, T, D), (B,)."""
        is_sample = real_positions(lengths, waveforms.size(1))
        centred, variance = _centre(waveforms.masked_fill(~is_sample, 0.0), is_sample)
        frames = self._extract(centred / (variance + 1e-5).sqrt() * is_sample)
        num_frames = FRAMING.count_each(lengths)
        is_real = real_positions(num_frames, frames.size(1))
        frames = frames + self.model.positional(frames, is_real)
        outputs = self.model.encode(frames, mask=is_real, with_states=True)
        states = torch.stack(outputs.states, dim=1)
        return states[:, :, self.model.config.num_extra_tokens :], num_frames

    def _extract(self, waveforms: Tensor) -> Tensor:
        """Turns samples into frames: (B, S) -> (B, T, D)."""
        front_end = self.model.front_end
        frames, stride = _cut(waveforms, FRAMING)[:, None], FIRST_STRIDE
        for linear, norm in zip(front_end.convolutions, front_end.norms, strict=True):
            assert isinstance(linear, nn.Linear)
            kernels = linear.weight.unflatten(1, (-1, frames.size(1))).transpose(1, 2)
            frames = conv1d(frames, kernels, stride=stride)
            frames = gelu(norm(frames.transpose(1, 2))).transpose(1, 2)
            stride = 2
        return front_end.projection(front_end.projection_norm(frames.transpose(1, 2)))


class TraceableSpectra(TraceableEncoder):
    """Fbank or MFCC, whose computation has no branches."""

    def __init__(self, encoder: SpectralEncoder) -> None:
        super().__init__()
        self.encode = encoder.encode
        self.min_samples = encoder.min_samples
        hop = SAMPLE_RATE / encoder.frame_rate
        self.front_end = {"kind": "kaldi", "hop": hop, "features": encoder.hidden_size}

    def forward(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encodes: (B, S), (B,) -> (B, 1, T, D), (B,)."""
        return self.encode(waveforms, lengths)


_TRACEABLE = {
    WhisperEncoder: TraceableWhisper,
    Wav2Vec2Encoder: TraceableWav2Vec2,
    Emotion2vecEncoder: TraceableEmotion2vec,
    SpectralEncoder: TraceableSpectra,
}


def make_traceable(encoder: WaveformEncoder) -> TraceableEncoder:
    """Returns an encoder, its weights shared, as a module that can be exported.

    Raises:
        ValueError: Encoders of its kind are not exported.
    """
    kind = _TRACEABLE.get(type(encoder))
    if kind is None:
        raise ValueError(
            f"an encoder of the kind {encoder.identity.split()[0]} is not exported; expected "
            "whisper, wav2vec2, hubert, emotion2vec, fbank or mfcc"
        )
    return kind(encoder).eval()
