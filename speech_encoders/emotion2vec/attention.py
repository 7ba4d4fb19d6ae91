"""Attention with ALiBi: one bias tensor that all blocks read, or none, on a GPU.

PyTorch's fused attention adds a bias of shape (heads, N, N) to its logits, the largest tensor of a
long clip. All blocks share ALiBi's scale, so one such tensor serves them all. FlexAttention
computes the same bias inside its kernel, from the positions, and needs no tensor of that size; it
has no dropout, so training and the gradient of the scale use the bias tensor.
"""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812
from torch.nn.attention.flex_attention import flex_attention


class Alibi(NamedTuple):
    """What symmetric ALiBi adds to the logits of attention, the same in every block.

    Attributes:
        positions: Position of each frame, shape (1 or B, T).
        slopes: Fall of the logits per frame of distance, shape (heads,); below 0 counts as 0, since
            a trained scale may not reward distance.
        num_extra_tokens: Tokens before the frames (E); their distance to everything is 0.
        mask: Real frames, boolean of shape (B, T), None if all are; no frame attends to a padded
            one.
    """

    positions: Tensor
    slopes: Tensor
    num_extra_tokens: int
    mask: Tensor | None

    def tensor(self, dtype: torch.dtype) -> Tensor:
        """Computes the bias tensor: -> (1 or B, heads, E + T, E + T)."""
        positions = self.positions.to(self.slopes.dtype)
        distances = (positions[:, :, None] - positions[:, None, :]).abs()
        distances = F.pad(distances, (self.num_extra_tokens, 0, self.num_extra_tokens, 0))
        bias = distances[:, None] * -self.slopes.clamp_min(0.0)[:, None, None]
        if self.mask is not None:
            padded = F.pad(~self.mask, (self.num_extra_tokens, 0), value=False)
            bias = bias.masked_fill(padded[:, None, None, :], -torch.inf)
        return bias.to(dtype)

    def score_mod(self) -> Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]:
        """Returns FlexAttention's function of a logit: (logit, clip, head, query, key) -> logit."""
        num_tokens = self.num_extra_tokens
        positions = F.pad(self.positions.to(self.slopes.dtype), (num_tokens, 0))
        slopes = self.slopes.clamp_min(0.0)
        is_shared = len(positions) == 1

        def fall(logit: Tensor, clip: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
            row = torch.zeros_like(clip) if is_shared else clip
            distance = (positions[row, query] - positions[row, key]).abs()
            are_frames = (query >= num_tokens) & (key >= num_tokens)
            return torch.where(are_frames, logit - slopes[head] * distance, logit)

        if self.mask is None:
            return fall
        is_real = F.pad(self.mask, (num_tokens, 0), value=True)

        def fall_and_mask(
            logit: Tensor, clip: Tensor, head: Tensor, query: Tensor, key: Tensor
        ) -> Tensor:
            fallen = fall(logit, clip, head, query, key)
            return torch.where(is_real[clip, key], fallen, -torch.inf)

        return fall_and_mask


class Attend(NamedTuple):
    """Attention of one forward pass, the same in all blocks; holds exactly one of the two.

    Attributes:
        bias: For fused attention, added to the logits, shape (1 or B, heads, N, N).
        score_mod: For FlexAttention.
    """

    bias: Tensor | None = None
    score_mod: Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor] | None = None

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, dropout: float) -> Tensor:
        """Attends: (B, heads, N, D / heads) three times -> (B, heads, N, D / heads)."""
        if self.score_mod is None:
            return F.scaled_dot_product_attention(
                query, key, value, attn_mask=self.bias, dropout_p=dropout
            )
        assert not dropout
        attended = _compiled_flex_attention()(query, key, value, score_mod=self.score_mod)
        assert isinstance(attended, Tensor)
        return attended


def choose_attention(alibi: Alibi, dtype: torch.dtype, *, use_flex: bool, training: bool) -> Attend:
    """Chooses the attention of a forward pass.

    Args:
        alibi: Added to the logits.
        dtype: Type of the logits' operands, for the bias tensor.
        use_flex: Whether to use FlexAttention where possible.
        training: Whether attention weights may be dropped.
    """
    if use_flex and not training and not torch.is_grad_enabled():
        return Attend(score_mod=alibi.score_mod())
    return Attend(bias=alibi.tensor(dtype))


@cache
def _compiled_flex_attention() -> Callable[..., object]:
    # Compiled once for all lengths of clips.
    return torch.compile(flex_attention, dynamic=True)
