"""ECAPA-TDNN as an aggregator: SpeechBrain's network, blind to padding and to batch-mates.

SpeechBrain's convolutions mirror the frames at the edges of a batch and its norms count padding, so
that an utterance changes with its batch-mates. Here convolutions see zeros beyond the real frames,
whether padded or not, and the statistics of a batch are those of its real frames.
"""

import torch
from torch import Tensor, nn


class _RealFrames:
    """Which frames of the running batch are real; None where all are: (B, T)."""

    mask: Tensor | None = None

    def of(self, states: Tensor) -> Tensor | None:
        """Returns the mask of (B, C, T) states; states pooled to another length are all real."""
        if self.mask is None or self.mask.size(-1) != states.size(-1):
            return None
        return self.mask


class _Convolution(nn.Module):
    """A convolution of SpeechBrain that sees zeros beyond the real frames."""

    def __init__(self, convolution: nn.Module, real: _RealFrames) -> None:
        super().__init__()
        convolution.padding_mode = "constant"  # type: ignore[assignment]
        self.convolution, self.real = convolution, real

    def forward(self, states: Tensor) -> Tensor:
        """Convolves: (B, C, T) -> (B, C', T)."""
        mask = self.real.of(states)
        return self.convolution(states if mask is None else states * mask.unsqueeze(1))


class _Norm(nn.BatchNorm1d):
    """A batch norm whose statistics are those of the real frames."""

    def __init__(self, num_channels: int, real: _RealFrames) -> None:
        super().__init__(num_channels)
        self.real = real

    def forward(self, input: Tensor) -> Tensor:
        """Normalises: (B, C, T) -> (B, C, T)."""
        states, mask = input, self.real.of(input)
        num_frames = states.size(0) * states.size(2) if mask is None else int(mask.sum())
        if not self.training or num_frames == 1:  # of one frame there is no deviation
            return nn.functional.batch_norm(
                states, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        if mask is None:
            return super().forward(states)
        frames = states.transpose(1, 2)
        normed = torch.zeros_like(frames).masked_scatter(
            mask.unsqueeze(-1), super().forward(frames[mask])
        )
        return normed.transpose(1, 2)


class EcapaPooling(nn.Module):
    """ECAPA-TDNN over the real frames (Desplanques et al., 2020), sizes in its proportions.

    It has ``hidden_size`` channels, 512 as published; the cost grows with the square.

    Raises:
        ValueError: The channels are no multiple of 8.
    """

    def __init__(
        self, input_size: int, hidden_size: int = 32, output_size: int = 192, dropout: float = 0.0
    ) -> None:
        super().__init__()
        if hidden_size < 8 or hidden_size % 8:
            raise ValueError(f"ECAPA-TDNN needs channels in multiples of 8, got {hidden_size}")
        from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN

        self.output_size = output_size
        self.real = _RealFrames()
        self.network = ECAPA_TDNN(
            input_size,
            lin_neurons=output_size,
            channels=[hidden_size] * 4 + [3 * hidden_size],
            attention_channels=max(hidden_size // 4, 8),
            se_channels=max(hidden_size // 4, 8),
            dropout=dropout,
        )
        _mask_layers(self.network, self.real)

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        """Pools: (..., T, D), (..., T) -> (..., E); an utterance without frames as one of zeros."""
        shape = mask.shape[:-1]
        frames, mask = frames.flatten(0, -3), mask.flatten(0, -2).clone()
        mask[:, 0] |= ~mask.any(dim=-1)
        width = mask.size(-1)
        # Half a frame less, so that rounding of the relative length adds none.
        lengths = (mask.sum(dim=-1) - 0.5) / width
        self.real.mask = None if bool(mask.all()) else mask
        try:
            pooled = self.network(frames * mask.unsqueeze(-1), lengths)
        finally:
            self.real.mask = None
        return pooled.squeeze(1).unflatten(0, shape)


def _mask_layers(network: nn.Module, real: _RealFrames) -> None:
    """Replaces SpeechBrain's convolutions and norms by those of this file."""
    from speechbrain.lobes.models.ECAPA_TDNN import BatchNorm1d, Conv1d

    for name, child in network.named_children():
        if isinstance(child, Conv1d):
            setattr(network, name, _Convolution(child, real))
        elif isinstance(child, BatchNorm1d):
            setattr(network, name, _Norm(child.norm.num_features, real))
        else:
            _mask_layers(child, real)
