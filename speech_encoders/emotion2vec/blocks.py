"""The Transformer blocks of emotion2vec: post-norm, and ALiBi in the attention of all of them.

PyTorch's fused attention adds a bias of shape (heads, N, N) to its logits, the largest tensor of a
long clip. All blocks share ALiBi's scale, so one such tensor serves them all. FlexAttention
computes the same bias inside its kernel, from the positions, and needs no tensor of that size; it
has no dropout, so training and the gradient of the scale use the bias tensor.
"""

import math
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.nn.attention.flex_attention import flex_attention
from torch.utils.checkpoint import checkpoint

from speech_encoders.emotion2vec.configuration import Emotion2vecConfig


def alibi_slopes(num_heads: int) -> Tensor:
    """Returns how fast each head's attention falls with distance: (heads,) (Press et al., 2022).

    For a power of two a geometric series that ends with 2^-8; for other numbers the series of the
    power of two below, filled up with every second slope of the power of two above.
    """
    below = 2 ** int(math.log2(num_heads))
    slopes = [2.0 ** (-8 * (head + 1) / below) for head in range(below)]
    between = [2.0 ** (-8 * (head + 1) / (2 * below)) for head in range(0, 2 * below, 2)]
    return torch.tensor(slopes + between[: num_heads - below])


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


class Attention(nn.Module):
    """Self-attention; its implementation and bias are chosen once for all blocks."""

    def __init__(self, config: Emotion2vecConfig) -> None:
        super().__init__()
        self.num_heads = config.num_attention_heads
        self.dropout = config.attention_dropout
        self.query_key_value = nn.Linear(config.hidden_size, 3 * config.hidden_size)
        self.output = nn.Linear(config.hidden_size, config.hidden_size)
        self.output_dropout = nn.Dropout(config.hidden_dropout)

    def forward(self, states: Tensor, attend: Attend) -> Tensor:
        """Attends: (B, N, D) -> (B, N, D)."""
        projected = self.query_key_value(states).unflatten(-1, (3, self.num_heads, -1))
        query, key, value = projected.permute(2, 0, 3, 1, 4)
        attended = attend(query, key, value, self.dropout if self.training else 0.0)
        return self.output_dropout(self.output(attended.transpose(1, 2).flatten(2)))


class Block(nn.Module):
    """Attention and a feed-forward part, each followed by a residual and a layer norm."""

    def __init__(self, config: Emotion2vecConfig) -> None:
        super().__init__()
        size = config.hidden_size
        self.attention = Attention(config)
        self.attention_norm = nn.LayerNorm(size, eps=config.layer_norm_eps)
        self.up = nn.Linear(size, config.intermediate_size)
        self.down = nn.Linear(config.intermediate_size, size)
        self.dropout = nn.Dropout(config.hidden_dropout)
        self.output_norm = nn.LayerNorm(size, eps=config.layer_norm_eps)

    def forward(self, states: Tensor, attend: Attend) -> tuple[Tensor, Tensor]:
        """Transforms the states: (B, N, D) -> (B, N, D), and its feed-forward output (B, N, D)."""
        residual = self.attention_norm(states + self.attention(states, attend))
        feed_forward = self.down(F.gelu(self.up(residual)))
        return self.output_norm(residual + self.dropout(feed_forward)), feed_forward


class BlockOutputs(NamedTuple):
    """Outputs of the blocks, extra tokens included (N = E + T).

    Attributes:
        last: Output of the last block, (B, N, D).
        states: The input of the first block and the output of each, (B, N, D) each; empty if not
            asked for.
        feed_forward: Output of each block's feed-forward part before residual, dropout and norm,
            (B, N, D) each; empty if not asked for. Blocks that layerdrop leaves out give none.
    """

    last: Tensor
    states: tuple[Tensor, ...]
    feed_forward: tuple[Tensor, ...]


class Blocks(nn.Module):
    """A layer norm, dropout, and the blocks one after the other."""

    def __init__(self, config: Emotion2vecConfig) -> None:
        super().__init__()
        self.layerdrop = config.layerdrop
        self.gradient_checkpointing = False
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.input_dropout)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.num_hidden_layers))

    def forward(
        self,
        states: Tensor,
        attend: Attend,
        *,
        with_states: bool = False,
        with_feed_forward: bool = False,
    ) -> BlockOutputs:
        """Runs all blocks: (B, N, D)."""
        states = self.dropout(self.norm(states))
        all_states, all_feed_forward = [states], []
        for block in self.blocks:
            if not self.training or bool(torch.rand(()) >= self.layerdrop):
                states, feed_forward = self._run(block, states, attend)
                if with_feed_forward:
                    all_feed_forward.append(feed_forward)
            if with_states:
                all_states.append(states)
        return BlockOutputs(
            states, tuple(all_states) if with_states else (), tuple(all_feed_forward)
        )

    def _run(self, block: nn.Module, states: Tensor, attend: Attend) -> tuple[Tensor, Tensor]:
        if self.gradient_checkpointing and self.training:
            return checkpoint(block, states, attend, use_reentrant=False)  # type: ignore[return-value]
        return block(states, attend)
