"""The decoder of emotion2vec's pre-training: predicts all frames from the visible ones."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from speech_encoders.emotion2vec.configuration import Emotion2vecConfig
from speech_encoders.emotion2vec.front_end import Projection
from speech_encoders.emotion2vec.positions import convolve_frames


class Decoder(nn.Module):
    """Grouped convolutions with residuals, then a projection (Baevski et al., 2023).

    Args:
        config: Gives ``hidden_size`` and the settings that begin with ``decoder``.
    """

    def __init__(self, config: Emotion2vecConfig) -> None:
        super().__init__()
        self.eps = config.layer_norm_eps
        self.dropout = nn.Dropout(config.decoder_dropout)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(
                config.decoder_dim if layer else config.hidden_size,
                config.decoder_dim,
                config.decoder_kernel,
                padding=config.decoder_kernel // 2,
                groups=config.decoder_groups,
            )
            for layer in range(config.decoder_layers)
        )
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
            output = convolve_frames(frames, convolution)
            output = F.gelu(F.layer_norm(output, output.shape[-1:], eps=self.eps))
            frames = frames + output if layer else output
        return self.projection(frames)
