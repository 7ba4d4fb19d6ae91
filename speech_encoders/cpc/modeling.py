"""The encoder of contrastive predictive coding: waveforms in, latents and causal contexts out.

Four convolutions turn 425 samples into a latent every 160 samples; a GRU runs over the latents in
time (van den Oord et al., 2018, in the sizes of Li et al., 2021).
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.utils.generic import ModelOutput, can_return_tuple

from speech_encoders.waveforms import SAMPLE_RATE, Framing

KERNELS, STRIDES = (10, 8, 8, 4), (5, 4, 4, 2)
"""Of the convolutions."""

HOP = 160
"""Samples from one frame to the next."""

RECEPTIVE_FIELD = 425
"""Samples that a latent depends on."""

FRAMING = Framing(HOP, RECEPTIVE_FIELD)

_CHUNK_FRAMES = 1_000  # in inference, so that memory does not grow with a recording's length


class CpcConfig(PreTrainedConfig):
    """Shape of contrastive predictive coding, by default as in Li et al. (2021).

    Kernels and strides are no settings: a frame is always 10 ms of 16 kHz speech.

    Args:
        conv_dim: Channels of the four convolutions, features of a latent (C).
        hidden_size: Units of the GRU, features of a context (D).
        num_steps: Frames ahead that pre-training predicts (K).
        input_gain: Factor of the samples. Speech has a deviation of some hundredths; clips are not
            normalised, since their loudness is part of the emotion.
        has_norms: Whether the channels of each convolution are normalised before the ReLU
            (Rivière et al., 2020). Li et al. mention no norms; without them trial runs from random
            weights were still near chance after a minute, with them not.
    """

    model_type = "cpc"

    conv_dim: int = 128
    hidden_size: int = 256
    num_steps: int = 12
    input_gain: float = 10.0
    has_norms: bool = True

    def __post_init__(self, **kwargs: object) -> None:
        super().__post_init__(**kwargs)
        for name in ("conv_dim", "hidden_size", "num_steps", "input_gain"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")


def frame_times(num_frames: int) -> Tensor:
    """Returns the seconds at which the input of each frame ends, float64 of shape (T,)."""
    frames = torch.arange(num_frames, dtype=torch.float64)
    return (frames * HOP + RECEPTIVE_FIELD) / SAMPLE_RATE


@dataclass
class CpcOutput(ModelOutput):
    """The encoding of a batch of clips; frames are 10 ms apart.

    Attributes:
        last_hidden_state: Contexts of the clip up to each frame, (B, T, D); padded ones are
            meaningless.
        latents: Encodings of each frame alone, (B, T, C).
        frame_mask: Real frames, boolean (B, T).
    """

    last_hidden_state: Tensor | None = None
    latents: Tensor | None = None
    frame_mask: Tensor | None = None


class ChannelNorm(nn.LayerNorm):
    """Normalises the channels of every frame: (B, C, T) -> (B, C, T)."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalises; the scale and shift of each channel are trained."""
        return super().forward(input.transpose(1, 2)).transpose(1, 2)


class CpcPreTrainedModel(PreTrainedModel):
    """What all CPC models share: their configuration and initial weights."""

    config_class = CpcConfig
    config: CpcConfig
    base_model_prefix = "cpc"
    main_input_name = "input_values"

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        # The library passes only modules with parameters of their own, never a container.
        if isinstance(module, nn.Conv1d):
            # Biases other than zero: after a norm, they alone distinguish loud from soft.
            module.reset_parameters()
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        elif isinstance(module, (nn.GRU, nn.Linear, nn.LayerNorm)):
            module.reset_parameters()


class CpcModel(CpcPreTrainedModel):
    """The encoder: waveforms in, contexts at 100 Hz out."""

    _keys_to_ignore_on_load_unexpected = [r"^predictors\."]  # noqa: RUF012

    def __init__(self, config: CpcConfig) -> None:
        super().__init__(config)
        sizes = [1, *(config.conv_dim for _ in KERNELS)]
        self.convolutions = nn.ModuleList(
            nn.Conv1d(before, after, kernel, stride)
            for before, after, kernel, stride in zip(
                sizes[:-1], sizes[1:], KERNELS, STRIDES, strict=True
            )
        )
        self.norms = nn.ModuleList(
            ChannelNorm(config.conv_dim) if config.has_norms else nn.Identity() for _ in KERNELS
        )
        self.gru = nn.GRU(config.conv_dim, config.hidden_size, batch_first=True)
        self.post_init()

    @can_return_tuple
    def forward(self, input_values: Tensor, attention_mask: Tensor | None = None) -> CpcOutput:
        """Encodes clips. No context depends on samples after the field of its own frame.

        Args:
            input_values: Clips at 16 kHz in [-1, 1], shape (B, S).
            attention_mask: Real samples, 1 or True, of shape (B, S); None if all are. The
                others are ignored.

        Raises:
            ValueError: A clip is too short for a frame, or padded before its end.
        """
        mask = None
        if attention_mask is not None:
            mask = FRAMING.mask(attention_mask)
            input_values = input_values.masked_fill(~attention_mask.bool(), 0.0)
        latents = self.encode(input_values)
        contexts, _ = self.gru(latents)
        if mask is None:
            mask = latents.new_ones(latents.shape[:2], dtype=torch.bool)
        return CpcOutput(last_hidden_state=contexts, latents=latents, frame_mask=mask)

    def encode(self, waveforms: Tensor) -> Tensor:
        """Returns the latents, without gradients in equivalent pieces: (B, S) -> (B, T, C).

        Raises:
            ValueError: The clips are too short for a frame.
        """
        num_frames = FRAMING.require(waveforms.size(1))
        size = num_frames if torch.is_grad_enabled() else _CHUNK_FRAMES
        pieces = [
            self._convolve(waveforms[:, start * HOP : (start + size - 1) * HOP + RECEPTIVE_FIELD])
            for start in range(0, num_frames, size)
        ]
        return torch.cat(pieces, dim=1)

    def _convolve(self, waveforms: Tensor) -> Tensor:
        frames = self.config.input_gain * waveforms[:, None]
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            frames = norm(convolution(frames)).relu()
        return frames.transpose(1, 2)
