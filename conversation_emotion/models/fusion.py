"""Fusion: how modalities, or several encoders, of an utterance become one vector.

                     modalities of a turn                     frames of encoders of an utterance
    early            concatenated, then projected             concatenated, then one aggregator
    late             a dialogue model each, states joined     an aggregator each, vectors joined
    gated            weighed unit by unit by gates            the same vectors, weighed by gates
    cross-attention  each attends to those of the others, of modalities up to its own utterance

Gates see all that they weigh. With one modality all fusions before the dialogue model (`JOINS`) are
the same but for the names of its layers. Of frames (`FRAME_FUSIONS`), early is "+" and late "&" in
Morais et al. (2022); their rates differ, and tokens have none. Early fusion stretches each sequence
over the longest of the utterance: frame ``t`` of N takes frame ``floor((t + 1/2) n / N)`` of n, the
nearest in relative time. Tokens are thereby spread evenly over the speech, without an alignment.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import permutations

import torch
from torch import Tensor, nn

from conversation_emotion.datasets.batches import Batch
from conversation_emotion.datasets.windows import PADDING
from conversation_emotion.models.conversation import Outputs
from conversation_emotion.models.dialogue import place
from conversation_emotion.models.dropout import BitDropout
from conversation_emotion.models.perception import Frames
from conversation_emotion.settings.models import Fusion


def partition_modalities(modalities: Sequence[str], fusion: Fusion) -> list[tuple[str, ...]]:
    """Returns the modalities that are fused before the dialogue model: none under late fusion."""
    return [(name,) for name in modalities] if fusion == "late" else [tuple(modalities)]


class Projection(nn.Sequential):
    """Dropout, a linear map and GELU: (..., D) -> (..., H)."""

    def __init__(self, input_size: int, size: int, dropout: float) -> None:
        super().__init__(BitDropout(dropout), nn.Linear(input_size, size), nn.GELU())


class Concatenation(nn.Module):
    """Early fusion: all modalities concatenated, then one projection to H units (``size``)."""

    def __init__(self, input_sizes: Sequence[int], size: int, dropout: float) -> None:
        super().__init__()
        self.projection = Projection(sum(input_sizes), size, dropout)

    def forward(self, inputs: Sequence[Tensor], places: Tensor) -> Tensor:
        """Fuses M utterances and puts them in their places: (M, D) each, (B, U) -> (B, U, H)."""
        return place(self.projection(torch.cat(list(inputs), dim=-1)), places)


class GatedFusion(nn.Module):
    """Weighs modalities unit by unit with gates that see all of them (Arevalo et al., 2017).

    The arguments are those of `Concatenation`.
    """

    def __init__(self, input_sizes: Sequence[int], size: int, dropout: float) -> None:
        super().__init__()
        self.projections = nn.ModuleList(Projection(n, size, dropout) for n in input_sizes)
        self.gates = nn.Linear(sum(input_sizes), len(input_sizes) * size)

    def forward(self, inputs: Sequence[Tensor], places: Tensor) -> Tensor:
        """Fuses M utterances and puts them in their places: (M, D) each, (B, U) -> (B, U, H)."""
        pairs = zip(self.projections, inputs, strict=True)
        projected = torch.stack([projection(one) for projection, one in pairs], dim=1)
        gates = self.gates(torch.cat(list(inputs), dim=-1)).unflatten(-1, projected.shape[1:])
        return place((projected * gates.softmax(dim=1)).sum(dim=1), places)


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

    def forward(self, inputs: Sequence[Tensor], places: Tensor) -> Tensor:
        """Fuses M utterances and puts them in their places: (M, D) each, (B, U) -> (B, U, H)."""
        pairs = zip(self.projections, inputs, strict=True)
        placed = [place(projection(one), places) for projection, one in pairs]
        num_utterances, mask = places.size(1), places != PADDING
        is_later = torch.ones(num_utterances, num_utterances, device=mask.device).triu(1).bool()
        attended = list(placed)
        for name, attention in self.attentions.items():
            query, key = (int(number) for number in name.split("_to_"))
            found, _ = attention(
                placed[query],
                placed[key],
                placed[key],
                attn_mask=is_later,  # padding lies behind every real utterance
                need_weights=False,
            )
            attended[query] = attended[query] + found
        normed = [norm(one) for norm, one in zip(self.norms, attended, strict=True)]
        return self.projection(torch.cat(normed, dim=-1)) * mask.unsqueeze(-1)


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


class FrameConcatenation(nn.Module):
    """Early fusion: all sequences stretched over the longest of the utterance, then concatenated.

    ``sizes`` are the features of each source.
    """

    def __init__(self, sizes: Mapping[str, int]) -> None:
        super().__init__()
        self.output_sizes = {"joined": sum(sizes.values())}

    def forward(self, sources: Mapping[str, Frames]) -> dict[str, Frames]:
        """Concatenates the frames of all sources to those of one stream, ``joined``."""
        counts = torch.stack([frames.mask.sum(dim=-1) for frames in sources.values()])
        longest = counts.amax(dim=0)
        mask = torch.arange(max(1, int(longest.max())), device=longest.device) < longest[:, None]
        joined = [stretch(frames, mask) for frames in sources.values()]
        return {"joined": Frames(torch.cat(joined, dim=-1), mask)}


class SeparateStreams(nn.Module):
    """Late and gated fusion: a stream for each source, with features of the sizes given."""

    def __init__(self, sizes: Mapping[str, int]) -> None:
        super().__init__()
        self.output_sizes = dict(sizes)

    def forward(self, sources: Mapping[str, Frames]) -> dict[str, Frames]:
        """Leaves the frames as they are."""
        return dict(sources)


class FrameAttention(nn.Module):
    """Each source's frames attend to those of the others, in H units (after Tsai et al., 2019)."""

    def __init__(self, sizes: Mapping[str, int], size: int = 64, num_heads: int = 4) -> None:
        super().__init__()
        self.output_sizes = dict.fromkeys(sizes, size)
        self.projections = nn.ModuleDict({name: nn.Linear(n, size) for name, n in sizes.items()})
        self.norms = nn.ModuleDict({name: nn.LayerNorm(size) for name in sizes})
        self.attention = pairwise_attention(sizes, " of ", size, num_heads)

    def forward(self, sources: Mapping[str, Frames]) -> dict[str, Frames]:
        """Adds to each frame its attention over the others; nothing where they are missing."""
        states = {name: self.projections[name](one.states) for name, one in sources.items()}
        fused = dict(states)
        for pair, attention in self.attention.items():
            query, key = pair.split(" of ")
            mask = sources[key].mask
            is_there = mask.any(dim=-1)
            attended, _ = attention(
                states[query],
                states[key],
                states[key],
                key_padding_mask=~mask & is_there[:, None],  # softmax over no frame is undefined
                need_weights=False,
            )
            fused[query] = fused[query] + attended * is_there[:, None, None]
        return {n: Frames(self.norms[n](fused[n]), one.mask) for n, one in sources.items()}


FRAME_FUSIONS = {
    "early": FrameConcatenation,
    "late": SeparateStreams,
    "gated": SeparateStreams,
    "cross-attention": FrameAttention,
}
"""How the frames of several encoders are fused."""


class FusionModel(nn.Module):
    """Predicts the class of an utterance from several encoders.

    A source whose modality an utterance lacks is zero, with a flag of its presence. ``sources``
    make frames of an encoder's states: (M, L, T, D) -> (M, T, D'); ``fuse_frames``, one of
    `FRAME_FUSIONS`, fuses them to streams, each with an aggregator, whose utterance vectors are
    fused by gates or concatenated.

    ``source_dropout`` is the chance for each source that an utterance loses it in training, but
    never all that it has, so that none is left untrained behind one that fits train more easily
    (Neverova et al., 2016); sources that are not named stay.
    """

    def __init__(
        self,
        sources: Mapping[str, nn.Module],
        fuse_frames: nn.Module,
        aggregators: Mapping[str, nn.Module],
        *,
        fusion: Fusion,
        num_classes: int,
        dropout: float = 0.0,
        source_dropout: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__()
        self.source_dropout = dict(source_dropout or {})
        self.sources = nn.ModuleDict(sources)
        self.meeting = fuse_frames  # by this name in saved weights
        self.aggregators = nn.ModuleDict(aggregators)
        sizes = [int(aggregator.output_size) for aggregator in aggregators.values()]  # type: ignore[arg-type]
        self.gates = GatedFusion(sizes, max(sizes), dropout) if fusion == "gated" else None
        size = sum(sizes) if self.gates is None else max(sizes)
        self.dropout = BitDropout(dropout)
        self.head = nn.Linear(size + len(sources), num_classes)

    def forward(self, batch: Batch) -> Outputs:
        """Predicts a batch in which each window is one utterance; see `Outputs` for the shapes."""
        assert batch.mask.size(1) == 1, "an utterance model takes no context"
        masks = {name: batch.frames[name] for name in self.sources}
        if self.training and self.source_dropout:
            masks = drop_sources(masks, self.source_dropout)
        frames = {
            name: Frames(source(batch.states[name]) * masks[name].unsqueeze(-1), masks[name])
            for name, source in self.sources.items()
        }
        vectors = [
            self.aggregators[name](one.states, one.mask) * one.mask.any(dim=-1, keepdim=True)
            for name, one in self.meeting(frames).items()
        ]
        joined = (
            torch.cat(vectors, dim=-1)
            if self.gates is None
            else self.gates(vectors, batch.places).squeeze(1)
        )
        flags = torch.stack([one.mask.any(dim=-1) for one in frames.values()], dim=-1)
        vector = torch.cat([self.dropout(joined), flags.to(joined.dtype)], dim=-1)
        return Outputs(self.head(vector), None, None)


def drop_sources(masks: Mapping[str, Tensor], shares: Mapping[str, float]) -> dict[str, Tensor]:
    """Removes each source from its share of the utterances, never all of one: masks of (M, T)."""
    is_there = torch.stack([mask.any(dim=-1) for mask in masks.values()], dim=-1)
    chances = torch.tensor([shares.get(name, 0.0) for name in masks], device=is_there.device)
    is_left = is_there & (torch.rand_like(is_there, dtype=torch.float32) >= chances)
    is_kept = torch.where(is_left.any(dim=-1, keepdim=True), is_left, is_there)
    return {name: mask & is_kept[:, [n]] for n, (name, mask) in enumerate(masks.items())}


def stretch(frames: Frames, mask: Tensor) -> Tensor:
    """Stretches sequences over longer ones: frames of n, mask (M, N) -> (M, N, D), else zero."""
    count, longest = frames.mask.sum(dim=-1, keepdim=True), mask.sum(dim=-1, keepdim=True)
    place = torch.arange(mask.size(-1), device=mask.device)[None]
    # In whole numbers: floor((t + 1/2) n / N).
    nearest = (2 * place + 1) * count // (2 * longest.clamp(min=1))
    nearest = nearest.clamp(max=frames.states.size(1) - 1)
    index = nearest.unsqueeze(-1).expand(-1, -1, frames.states.size(-1))
    return frames.states.gather(1, index) * (mask & (count > 0)).unsqueeze(-1)
