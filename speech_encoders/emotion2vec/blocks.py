"""The Transformer blocks of emotion2vec: post-norm, with the same attention in all."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.utils.checkpoint import checkpoint

from speech_encoders.emotion2vec.attention import Attend
from speech_encoders.emotion2vec.configuration import Emotion2vecConfig


class Attention(nn.Module):
    """Self-attention; its implementation and bias are chosen once for all blocks.

    Args:
        config: Gives ``hidden_size``, ``num_attention_heads`` and the dropouts.
    """

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
    """Attention and a feed-forward part, each followed by a residual and a layer norm.

    Args:
        config: Gives the sizes, the dropouts and ``layer_norm_eps``.
    """

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
    """A layer norm, dropout, and the blocks one after the other.

    Args:
        config: Gives the number of blocks, their settings and ``layerdrop``.
    """

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
            if not self._is_left_out():
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

    def _is_left_out(self) -> bool:
        return self.training and bool(torch.rand(()) < self.layerdrop)
