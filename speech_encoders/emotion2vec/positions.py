"""Positions of frames: stacked convolutions added to the frames, and ALiBi on the attention."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from speech_encoders.emotion2vec.configuration import Emotion2vecConfig


class PositionalConvolutions(nn.Module):
    """Grouped convolutions over the surroundings of a frame, each with a layer norm and a GELU.

    Args:
        config: Gives ``hidden_size`` and the settings that begin with ``conv_pos``.
    """

    def __init__(self, config: Emotion2vecConfig) -> None:
        super().__init__()
        self.eps = config.layer_norm_eps
        self.convolutions = nn.ModuleList(
            nn.Conv1d(
                config.hidden_size,
                config.hidden_size,
                config.conv_pos_kernel,
                padding=config.conv_pos_kernel // 2,
                groups=config.conv_pos_groups,
            )
            for _ in range(config.conv_pos_layers)
        )

    def forward(self, frames: Tensor, mask: Tensor | None = None) -> Tensor:
        """Returns what is added to the frames: (B, T, D), (B, T) -> (B, T, D).

        Padded frames are zeroed before every convolution, which is what a clip alone has after its
        end, so that padding changes no frame.
        """
        for convolution in self.convolutions:
            if mask is not None:
                frames = frames.masked_fill(~mask[..., None], 0.0)
            frames = convolve_frames(frames, convolution)
            frames = F.gelu(F.layer_norm(frames, frames.shape[-1:], eps=self.eps))
        return frames


def convolve_frames(frames: Tensor, convolution: nn.Module) -> Tensor:
    """Applies an `nn.Conv1d` over time without a transposition: (B, T, D) -> (B, T, D').

    Frames with contiguous features are an image of width 1 in the channels-last layout,
    for which grouped convolutions are also faster.
    """
    assert isinstance(convolution, nn.Conv1d)
    output = F.conv2d(
        frames.unsqueeze(2).permute(0, 3, 1, 2),
        convolution.weight.unsqueeze(3),
        convolution.bias,
        padding=(int(convolution.padding[0]), 0),
        groups=convolution.groups,
    )
    return output.permute(0, 2, 3, 1).flatten(2)


def alibi_slopes(num_heads: int) -> Tensor:
    """Returns how fast each head's attention falls with distance: (heads,) (Press et al., 2022).

    For a power of two a geometric series that ends with 2^-8; for other numbers the series of the
    power of two below, filled up with every second slope of the power of two above.
    """
    below = 2 ** int(math.log2(num_heads))
    slopes = [2.0 ** (-8 * (head + 1) / below) for head in range(below)]
    between = [2.0 ** (-8 * (head + 1) / (2 * below)) for head in range(0, 2 * below, 2)]
    return torch.tensor(slopes + between[: num_heads - below])
