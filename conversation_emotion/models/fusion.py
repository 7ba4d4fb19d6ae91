"""Fusion: how the modalities of an utterance become one vector before the dialogue model.

    early            concatenated, then projected
    gated            each projected, weighed unit by unit by gates that see all of them
    cross-attention  each attends to the utterances of the others, up to its own
    late             not here: each has a dialogue model of its own, and their states are joined

With one modality all of them are the same model but for the names of its layers.
"""

import math
from collections.abc import Iterable, Sequence
from itertools import permutations

import torch
from torch import Tensor, nn

from conversation_emotion.settings.models import Fusion


def partition_modalities(modalities: Sequence[str], fusion: Fusion) -> list[tuple[str, ...]]:
    """Returns the modalities that are fused before the dialogue model: none under late fusion."""
    return [(name,) for name in modalities] if fusion == "late" else [tuple(modalities)]


class Projection(nn.Sequential):
    """Dropout, a linear map and GELU: (..., D) -> (..., H)."""

    def __init__(self, input_size: int, size: int, dropout: float) -> None:
        super().__init__(nn.Dropout(dropout), nn.Linear(input_size, size), nn.GELU())


class Concatenation(nn.Module):
    """Early fusion: all modalities concatenated, then one projection to H units (``size``)."""

    def __init__(self, input_sizes: Sequence[int], size: int, dropout: float) -> None:
        super().__init__()
        self.projection = Projection(sum(input_sizes), size, dropout)

    def forward(self, inputs: Sequence[Tensor], mask: Tensor) -> Tensor:
        """Fuses the M real utterances of a batch: (M, D) of each, mask (B, U) -> (M, H)."""
        return self.projection(torch.cat(list(inputs), dim=-1))


class GatedFusion(nn.Module):
    """Weighs modalities unit by unit with gates that see all of them (Arevalo et al., 2017).

    The arguments are those of `Concatenation`.
    """

    def __init__(self, input_sizes: Sequence[int], size: int, dropout: float) -> None:
        super().__init__()
        self.projections = nn.ModuleList(Projection(n, size, dropout) for n in input_sizes)
        self.gates = nn.Linear(sum(input_sizes), len(input_sizes) * size)

    def forward(self, inputs: Sequence[Tensor], mask: Tensor) -> Tensor:
        """Fuses the M real utterances of a batch: (M, D) of each, mask (B, U) -> (M, H)."""
        pairs = zip(self.projections, inputs, strict=True)
        projected = torch.stack([projection(one) for projection, one in pairs], dim=1)
        gates = self.gates(torch.cat(list(inputs), dim=-1)).unflatten(-1, projected.shape[1:])
        return (projected * gates.softmax(dim=1)).sum(dim=1)


class CrossAttention(nn.Module):
    """Each modality attends to the others over the utterances so far (after Tsai et al., 2019).

    An utterance attends to itself and to what came before it, never to what came after.
    """

    def __init__(
        self, input_sizes: Sequence[int], size: int, dropout: float, num_heads: int = 4
    ) -> None:
        super().__init__()
        num_modalities = len(input_sizes)
        self.projections = nn.ModuleList(Projection(n, size, dropout) for n in input_sizes)
        self.norms = nn.ModuleList(nn.LayerNorm(size) for _ in input_sizes)
        self.attentions = pairwise_attention(range(num_modalities), "_to_", size, num_heads)
        self.projection = Projection(num_modalities * size, size, 0.0)

    def forward(self, inputs: Sequence[Tensor], mask: Tensor) -> Tensor:
        """Fuses the M real utterances of a batch: (M, D) of each, mask (B, U) -> (M, H)."""
        pairs = zip(self.projections, inputs, strict=True)
        places = [_place(projection(one), mask) for projection, one in pairs]
        num_utterances = mask.size(1)
        is_later = torch.ones(num_utterances, num_utterances, device=mask.device).triu(1).bool()
        attended = list(places)
        for name, attention in self.attentions.items():
            query, key = (int(number) for number in name.split("_to_"))
            found, _ = attention(
                places[query],
                places[key],
                places[key],
                attn_mask=is_later,  # padding lies behind every real utterance
                need_weights=False,
            )
            attended[query] = attended[query] + found
        normed = [norm(one[mask]) for norm, one in zip(self.norms, attended, strict=True)]
        return self.projection(torch.cat(normed, dim=-1))


JOINS = {
    "early": Concatenation,
    "late": Concatenation,
    "gated": GatedFusion,
    "cross-attention": CrossAttention,
}
"""Modules that fuse modalities before the dialogue model."""


def pairwise_attention(
    names: Iterable[object], separator: str, size: int, num_heads: int
) -> nn.ModuleDict:
    """Returns an attention of each sequence to each other one, by the names of both.

    There are as many heads as divide the size, ``num_heads`` at most.
    """
    heads = math.gcd(size, num_heads)
    return nn.ModuleDict(
        {
            f"{query}{separator}{key}": nn.MultiheadAttention(size, heads, batch_first=True)
            for query, key in permutations(names, 2)
        }
    )


def _place(utterances: Tensor, mask: Tensor) -> Tensor:
    """Puts the M real utterances in their places among padding: (M, H), (B, U) -> (B, U, H)."""
    placed = utterances.new_zeros(*mask.shape, utterances.size(-1))
    return placed.index_put((mask,), utterances)
