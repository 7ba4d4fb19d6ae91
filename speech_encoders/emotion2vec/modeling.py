"""The encoder of emotion2vec (Ma et al., 2024) in the shape of the transformers library."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.utils.generic import ModelOutput, can_return_tuple

from speech_encoders.emotion2vec.blocks import (
    Alibi,
    BlockOutputs,
    Blocks,
    alibi_slopes,
    choose_attention,
)
from speech_encoders.emotion2vec.configuration import Emotion2vecConfig
from speech_encoders.emotion2vec.convolutions import PositionalConvolutions
from speech_encoders.emotion2vec.front_end import FRAMING, Convolution, FrontEnd, Projection


@dataclass
class Emotion2vecOutput(ModelOutput):
    """The encoding of a batch of clips; frames are 20 ms apart.

    Attributes:
        last_hidden_state: Frames, (B, T, D); padded ones are meaningless.
        frame_mask: Real frames, boolean (B, T).
        extra_tokens: Output at the learned tokens, (B, E, D).
        hidden_states: Input of the first block and output of each, (B, T, D) each; None if not
            asked for.
    """

    last_hidden_state: Tensor | None = None
    frame_mask: Tensor | None = None
    extra_tokens: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None


class Emotion2vecPreTrainedModel(PreTrainedModel):
    """What all emotion2vec models share: their configuration and initial weights."""

    config_class = Emotion2vecConfig
    config: Emotion2vecConfig
    base_model_prefix = "emotion2vec"
    main_input_name = "input_values"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flex_attn = True
    _no_split_modules = ["Block"]  # noqa: RUF012 (an attribute of the library)

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        # The library passes only modules with parameters of their own: no FrontEnd, no Decoder.
        if isinstance(module, (Convolution, Projection, nn.Conv1d, nn.LayerNorm)):
            module.reset_parameters()
        elif isinstance(module, nn.Linear):
            init.normal_(module.weight, std=self.config.initializer_range)
            if module.bias is not None:
                init.zeros_(module.bias)
        elif isinstance(module, Emotion2vecModel):
            tokens = torch.randn_like(module.extra_tokens)
            tokens[:1] = 0.0  # as in data2vec 2.0, whose first token begins at zero
            init.copy_(module.extra_tokens, tokens)
            init.ones_(module.alibi_scale)


class Emotion2vecModel(Emotion2vecPreTrainedModel):
    """The encoder: waveforms in, frames at 50 Hz out.

    Attention reads ALiBi from a bias tensor (``attn_implementation="sdpa"``, the default) or, in
    evaluation without gradients, computes it in a kernel (``"flex_attention"``), see
    `speech_encoders.emotion2vec.blocks`.
    """

    _keys_to_ignore_on_load_unexpected = [r"^decoder\.", r"^classifier\."]  # noqa: RUF012

    def __init__(self, config: Emotion2vecConfig) -> None:
        super().__init__(config)
        self.front_end = FrontEnd(config)
        self.positional = PositionalConvolutions(config)
        self.extra_tokens = nn.Parameter(torch.zeros(config.num_extra_tokens, config.hidden_size))
        self.alibi_scale = nn.Parameter(torch.ones(config.num_attention_heads))
        self.encoder = Blocks(config)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_values: Tensor,
        attention_mask: Tensor | None = None,
        output_hidden_states: bool | None = None,
    ) -> Emotion2vecOutput:
        """Encodes normalised clips; memory grows with the square of their length.

        Recordings beyond half a minute are better read by `iterate_windows`.

        Args:
            input_values: Clips at 16 kHz, each of zero mean and unit variance, shape (B, S).
            attention_mask: Real samples, 1 or True, of shape (B, S); None if all are. The
                others are ignored.
            output_hidden_states: Whether to keep the states between the blocks.

        Raises:
            ValueError: A clip is too short for a frame.
        """
        mask = None
        if attention_mask is not None:
            input_values = input_values.masked_fill(~attention_mask.bool(), 0.0)
            mask = FRAMING.mask(attention_mask)
        frames = self.front_end(input_values)
        frames = frames + self.positional(frames, mask)
        if output_hidden_states is None:
            output_hidden_states = bool(self.config.output_hidden_states)
        outputs = self.encode(frames, mask=mask, with_states=output_hidden_states)
        if mask is None:
            mask = frames.new_ones(frames.shape[:2], dtype=torch.bool)
        num_tokens = self.config.num_extra_tokens
        return Emotion2vecOutput(
            last_hidden_state=outputs.last[:, num_tokens:],
            frame_mask=mask,
            extra_tokens=outputs.last[:, :num_tokens],
            hidden_states=tuple(s[:, num_tokens:] for s in outputs.states) or None,
        )

    def encode(
        self,
        frames: Tensor,
        *,
        positions: Tensor | None = None,
        mask: Tensor | None = None,
        with_states: bool = False,
        with_feed_forward: bool = False,
    ) -> BlockOutputs:
        """Puts the extra tokens before the frames and runs the blocks.

        Args:
            frames: Frames with the positional convolutions added, shape (B, T, D).
            positions: Position of each frame in its clip, shape (T,) or (B, T); None counts them
                from 0. A masked student passes the original positions of its visible frames.
            mask: Real frames, boolean of shape (B, T); None if all are.
            with_states: Whether to keep the states between the blocks.
            with_feed_forward: Whether to keep the blocks' feed-forward outputs.
        """
        if positions is None:
            positions = torch.arange(frames.size(1), device=frames.device)
        # In float32 whatever the weights are: half precision rounds far positions to the same.
        slopes = alibi_slopes(self.config.num_attention_heads).to(frames.device)
        kind = frames.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else frames.dtype
        attend = choose_attention(
            Alibi(
                positions if positions.ndim == 2 else positions[None],
                slopes * self.alibi_scale.float(),
                self.config.num_extra_tokens,
                mask,
            ),
            dtype,
            use_flex=self.config._attn_implementation == "flex_attention",
            training=self.training,
        )
        tokens = self.extra_tokens.to(frames.dtype).expand(len(frames), -1, -1)
        return self.encoder(
            torch.cat([tokens, frames], dim=1),
            attend,
            with_states=with_states,
            with_feed_forward=with_feed_forward,
        )


def mean_frames(frames: Tensor, mask: Tensor) -> Tensor:
    """Averages the real frames, the utterance of emotion2vec: (B, T, D), (B, T) -> (B, D)."""
    weights = mask[..., None].to(frames.dtype)
    return frames.masked_fill(~mask[..., None], 0.0).sum(dim=1) / weights.sum(dim=1)
