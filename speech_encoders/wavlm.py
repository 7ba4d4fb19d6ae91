"""WavLM with fused attention: its gated position bias goes to the kernel as a mask.

The transformers library computes all attention weights of every layer and returns them, which
nothing here reads.
"""

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812
from transformers import WavLMConfig
from transformers.models.wavlm import modeling_wavlm


class FusedAttention(modeling_wavlm.WavLMAttention):
    """Attention of WavLM (Chen et al., 2022) by one fused kernel."""

    def torch_multi_head_self_attention(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, hidden_states: Tensor, attention_mask: Tensor | None, gated_position_bias: Tensor
    ) -> tuple[Tensor, None]:
        """Attends to real frames: (B, T, D), (B, T), (B heads, T, T) -> (B, T, D), no weights."""

        def split(projected: Tensor) -> Tensor:
            return projected.unflatten(-1, (self.num_heads, self.head_dim)).transpose(1, 2)

        bias = gated_position_bias.unflatten(0, (-1, self.num_heads))
        if attention_mask is not None:
            is_padding = attention_mask.ne(1)[:, None, None]
            bias = bias.masked_fill(is_padding, torch.finfo(bias.dtype).min)
        maps = (self.q_proj, self.k_proj, self.v_proj)
        query, key, value = (split(project(hidden_states)) for project in maps)
        found = F.scaled_dot_product_attention(
            query, key, value, bias, dropout_p=self.dropout if self.training else 0.0
        )
        return self.out_proj(found.transpose(1, 2).flatten(2)), None


class WavLMModel(modeling_wavlm.WavLMModel):
    """The library's model, each attention of which is a `FusedAttention`."""

    def __init__(self, config: WavLMConfig) -> None:
        super().__init__(config)
        for module in self.modules():
            if isinstance(module, modeling_wavlm.WavLMAttention):
                module.__class__ = FusedAttention  # the library offers no other place for it
