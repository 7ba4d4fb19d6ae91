"""Grouped convolutions over frames: the positions before the blocks, the decoder after them."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from speech_encoders.emotion2vec.configuration import Emotion2vecConfig
from speech_encoders.emotion2vec.front_end import Projection


class ConvolutionStack(nn.Module):
    """Grouped convolutions over the surroundings of a frame, each with a layer norm and a GELU.

    Args:
        sizes: Channels before and after each convolution, one more than there are.
        kernel: Frames that each covers; odd.
        groups: Groups of each.
        eps: Added to the variance by the norms.
    """

    def __init__(self, sizes: Sequence[int], kernel: int, groups: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.convolutions = nn.ModuleList(
            nn.Conv1d(before, after, kernel, padding=kernel // 2, groups=groups)
            for before, after in pairwise(sizes)
        )

    def convolve(self, frames: Tensor, convolution: nn.Module) -> Tensor:
        """Applies one of the convolutions, norm and GELU: (B, T, D) -> (B, T, D').

        Frames with contiguous features are an image of width 1 in the channels-last layout: no
        transposition, and grouped convolutions are also faster.
        """
        assert isinstance(convolution, nn.Conv1d)
        output = F.conv2d(
            frames.unsqueeze(2).permute(0, 3, 1, 2),
            convolution.weight.unsqueeze(3),
            convolution.bias,
            padding=(int(convolution.padding[0]), 0),
            groups=convolution.groups,
        )
        output = output.permute(0, 2, 3, 1).flatten(2)
        return F.gelu(F.layer_norm(output, output.shape[-1:], eps=self.eps))


class PositionalConvolutions(ConvolutionStack):
    """What is added to frames for their positions."""

    def __init__(self, config: Emotion2vecConfig) -> None:
        super().__init__(
            [config.hidden_size] * (config.conv_pos_layers + 1),
            config.conv_pos_kernel,
            config.conv_pos_groups,
            config.layer_norm_eps,
        )

    def forward(self, frames: Tensor, mask: Tensor | None = None) -> Tensor:
        """Returns what is added to the frames: (B, T, D), (B, T) -> (B, T, D).

        Padded frames are zeroed before every convolution, which is what a clip alone has after its
        end, so that padding changes no frame.
        """
        for convolution in self.convolutions:
            if mask is not None:
                frames = frames.masked_fill(~mask[..., None], 0.0)
            frames = self.convolve(frames, convolution)
        return frames


class Decoder(ConvolutionStack):
    """The decoder of pre-training: predicts all frames from the visible ones.

    Convolutions with residuals, then a projection (Baevski et al., 2023).
    """

    def __init__(self, config: Emotion2vecConfig) -> None:
        super().__init__(
            [config.hidden_size] + [config.decoder_dim] * config.decoder_layers,
            config.decoder_kernel,
            config.decoder_groups,
            config.layer_norm_eps,
        )
        self.dropout = nn.Dropout(config.decoder_dropout)
        self.projection = Projection(config.decoder_dim, config.hidden_size)

    def forward(self, states: Tensor, positions: Tensor, filling: Tensor) -> Tensor:
        """Predicts all frames.

        Args:
            states: Encodings of the visible frames, shape (B, K, D), without extra tokens.
            positions: Their positions, int64 of shape (B, K).
            filling: Input at the masked frames, shape (B, T, D); noise in training.

        Returns:
            Predictions of shape (B, T, D).
        """
        index = positions[..., None].expand_as(states)
        frames = torch.scatter(filling, 1, index, self.dropout(states).to(filling.dtype))
        for layer, convolution in enumerate(self.convolutions):
            output = self.convolve(frames, convolution)
            frames = frames + output if layer else output
        return self.projection(frames)
