"""Fusion: how the modalities of an utterance become one vector before the dialogue model.

    early            joined, then projected
    gated            each projected, weighed unit by unit by gates that see all of them
    cross-attention  each asks the utterances of the others, up to its own, for what it lacks
    late             not here: each has a dialogue model of its own, and their states are joined

With one modality all of them are the same model but for the names of its parts.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from conversation_emotion.settings.models import Fusion


def partition_modalities(modalities: Sequence[str], fusion: Fusion) -> list[tuple[str, ...]]:
    """Tells which modalities meet before the dialogue model: under late fusion none do."""
    return [(name,) for name in modalities] if fusion == "late" else [tuple(modalities)]


class Projection(nn.Sequential):
    """Dropout, a linear map and GELU: (..., D) -> (..., H).

    Args:
        input_size: Features (D).
        size: Units (H).
        dropout: On the features.
    """

    def __init__(self, input_size: int, size: int, dropout: float) -> None:
        super().__init__(nn.Dropout(dropout), nn.Linear(input_size, size), nn.GELU())


class Concatenation(nn.Module):
    """Early fusion: all modalities beside each other, then one projection.

    Args:
        input_sizes: Features of each modality (D of each).
        size: Units of the result (H).
        dropout: On the features.
    """

    def __init__(self, input_sizes: Sequence[int], size: int, dropout: float) -> None:
        super().__init__()
        self.projection = Projection(sum(input_sizes), size, dropout)

    def forward(self, heard: Sequence[Tensor], mask: Tensor) -> Tensor:
        """Fuses the M real utterances of a batch: (M, D) of each, mask (B, U) -> (M, H)."""
        return self.projection(torch.cat(list(heard), dim=-1))


class GatedFusion(nn.Module):
    """Weighs modalities unit by unit with gates that see all of them (Arevalo et al., 2017).

    The arguments are those of `Concatenation`.
    """

    def __init__(self, input_sizes: Sequence[int], size: int, dropout: float) -> None:
        super().__init__()
        self.projections = nn.ModuleList(Projection(n, size, dropout) for n in input_sizes)
        self.gates = nn.Linear(sum(input_sizes), len(input_sizes) * size)

    def forward(self, heard: Sequence[Tensor], mask: Tensor) -> Tensor:
        """Fuses the M real utterances of a batch: (M, D) of each, mask (B, U) -> (M, H)."""
        projected = torch.stack(
            [projection(one) for projection, one in zip(self.projections, heard, strict=True)],
            dim=1,
        )
        gates = self.gates(torch.cat(list(heard), dim=-1)).unflatten(-1, projected.shape[1:])
        return (projected * gates.softmax(dim=1)).sum(dim=1)


class CrossAttention(nn.Module):
    """Each modality attends to the others over the utterances so far (after Tsai et al., 2019).

    An utterance asks itself and what came before it, never what came after.

    Args:
        input_sizes: Features of each modality (D of each).
        size: Units of the result (H).
        dropout: On the features.
        num_heads: Heads at most; as many as divide the size.
    """

    def __init__(
        self, input_sizes: Sequence[int], size: int, dropout: float, num_heads: int = 4
    ) -> None:
        super().__init__()
        num_modalities, heads = len(input_sizes), math.gcd(size, num_heads)
        self.projections = nn.ModuleList(Projection(n, size, dropout) for n in input_sizes)
        self.norms = nn.ModuleList(nn.LayerNorm(size) for _ in input_sizes)
        self.attentions = nn.ModuleDict(
            {
                f"{asking}_to_{asked}": nn.MultiheadAttention(size, heads, batch_first=True)
                for asking in range(num_modalities)
                for asked in range(num_modalities)
                if asking != asked
            }
        )
        self.projection = Projection(num_modalities * size, size, 0.0)

    def forward(self, heard: Sequence[Tensor], mask: Tensor) -> Tensor:
        """Fuses the M real utterances of a batch: (M, D) of each, mask (B, U) -> (M, H)."""
        places = [
            _place(projection(one), mask)
            for projection, one in zip(self.projections, heard, strict=True)
        ]
        num_utterances = mask.size(1)
        is_later = torch.ones(num_utterances, num_utterances, device=mask.device).triu(1).bool()
        answered = list(places)
        for name, attention in self.attentions.items():
            asking, asked = (int(number) for number in name.split("_to_"))
            answer, _ = attention(
                places[asking],
                places[asked],
                places[asked],
                attn_mask=is_later,  # padding lies behind every real utterance
                need_weights=False,
            )
            answered[asking] = answered[asking] + answer
        normed = [norm(one[mask]) for norm, one in zip(self.norms, answered, strict=True)]
        return self.projection(torch.cat(normed, dim=-1))


JOINS = {
    "early": Concatenation,
    "late": Concatenation,
    "gated": GatedFusion,
    "cross-attention": CrossAttention,
}
"""What joins the modalities that meet before the dialogue model."""


def _place(utterances: Tensor, mask: Tensor) -> Tensor:
    """Puts the M real utterances in their places among padding: (M, H), (B, U) -> (B, U, H)."""
    placed = utterances.new_zeros(*mask.shape, utterances.size(-1))
    return placed.index_put((mask,), utterances)
