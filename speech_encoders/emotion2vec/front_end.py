"""From samples to frames: emotion2vec's convolutional feature extractor and its projection.

Seven convolutions, each followed by a layer norm over its channels and a GELU, turn 400 samples
into a frame every 320 samples. They are computed as matrix products on (frames, channels), never on
(channels, frames): strides divide the sizes, so neighbouring frames of a whole batch are adjacent
rows of one matrix in memory; no transposition, no copy for unfolding.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from speech_encoders.emotion2vec.configuration import Emotion2vecConfig
from speech_encoders.waveforms import SAMPLE_RATE, Framing

HOP = 320
"""Samples from one frame to the next."""

RECEPTIVE_FIELD = 400
"""Samples that a frame depends on."""

FRAMING = Framing(HOP, RECEPTIVE_FIELD)
count_frames = FRAMING.count

FIRST_KERNEL, FIRST_STRIDE = 10, 5
KERNELS = (3, 3, 3, 3, 2, 2)
"""Kernels of the convolutions after the first; their strides are 2."""

_CHUNK_FRAMES = 256  # in inference: small enough for a processor's cache, and memory stays flat


def frame_times(num_frames: int) -> Tensor:
    """Returns the seconds from the beginning to the middle of each frame, float64 of shape (T,)."""
    frames = torch.arange(num_frames, dtype=torch.float64)
    return (frames * HOP + RECEPTIVE_FIELD / 2) / SAMPLE_RATE


class Convolution(nn.Linear):
    """A convolution without bias, as the matrix that maps the frames under its kernel."""

    def reset_parameters(self) -> None:
        """Draws weights that preserve the variance before a ReLU (He et al., 2015)."""
        nn.init.kaiming_normal_(self.weight)


class Projection(nn.Linear):
    """A linear map with PyTorch's initial weights, unlike those of the blocks."""


class FrontEnd(nn.Module):
    """Turns waveforms into frames: (B, S) -> (B, T, D)."""

    def __init__(self, config: Emotion2vecConfig) -> None:
        super().__init__()
        sizes = [FIRST_KERNEL, *(kernel * config.conv_dim for kernel in KERNELS)]
        self.convolutions = nn.ModuleList(
            Convolution(size, config.conv_dim, bias=False) for size in sizes
        )
        self.norms = nn.ModuleList(
            nn.LayerNorm(config.conv_dim, eps=config.layer_norm_eps) for _ in sizes
        )
        self.projection_norm = nn.LayerNorm(config.conv_dim, eps=config.layer_norm_eps)
        self.projection = Projection(config.conv_dim, config.hidden_size)

    def freeze(self, num_convolutions: int) -> None:
        """Keeps the lowest convolutions, with their norms, as they are."""
        self.convolutions[:num_convolutions].requires_grad_(requires_grad=False)
        self.norms[:num_convolutions].requires_grad_(requires_grad=False)

    def forward(self, waveforms: Tensor) -> Tensor:
        """Extracts and projects: (B, S) -> (B, T, D)."""
        return self.projection(self.projection_norm(self.extract(waveforms)))

    def extract(self, waveforms: Tensor) -> Tensor:
        """Runs the convolutions: (B, S) -> (B, T, C).

        Without gradients a long batch is read in pieces, whose frames are exactly those of the
        whole.

        Raises:
            ValueError: The clips are too short for a frame.
        """
        num_frames = FRAMING.require(waveforms.size(1))
        if torch.is_grad_enabled():
            return self._convolve(waveforms, num_frames)
        pieces = [
            self._convolve(waveforms[:, start * HOP :], min(_CHUNK_FRAMES, num_frames - start))
            for start in range(0, num_frames, _CHUNK_FRAMES)
        ]
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim=1)

    def _convolve(self, waveforms: Tensor, num_frames: int) -> Tensor:
        """Computes the first frames: (B, S), T -> (B, T, C).

        Every stage has a power of two of rows for each frame, and for one frame more, because the
        last needs a few rows beyond its own; the additional rows are never used.
        """
        num_rows = (num_frames + 1) * HOP // FIRST_STRIDE
        num_samples = FIRST_KERNEL + FIRST_STRIDE * (num_rows - 1)
        padded = F.pad(waveforms[:, :num_samples], (0, max(0, num_samples - waveforms.size(1))))
        windows = padded.unfold(1, FIRST_KERNEL, FIRST_STRIDE)
        frames = self.convolutions[0](windows).flatten(0, 1)
        for stage, norm in enumerate(self.norms):
            if stage:
                frames = _convolve_by_two(
                    frames, self.convolutions.get_parameter(f"{stage}.weight")
                )
            frames = F.gelu(norm(frames))
        return frames.view(len(waveforms), num_frames + 1, -1)[:, :num_frames]


def _convolve_by_two(frames: Tensor, weight: Tensor) -> Tensor:
    """Convolves with stride 2 and kernel 2 or 3: (2N, C), (C', kernel * C) -> (N, C').

    With kernel 3 the last row lacks its third frame.
    """
    pair = 2 * frames.size(1)
    output = F.linear(frames.view(-1, pair), weight[:, :pair])
    if weight.size(1) > pair:
        third = weight[:, pair:].to(output.dtype).t()
        output[:-1].addmm_(frames[2::2].to(output.dtype), third)
    return output
