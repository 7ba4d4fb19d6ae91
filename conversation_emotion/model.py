"""The conversation model: perception, fusion, dialogue, head."""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from conversation_emotion.batching import Batch
from conversation_emotion.labels import IGNORED
from conversation_emotion.perception import Perception

Fusion = Literal["early", "late"]
"""Modalities are joined before the dialogue model, or each has its own and their states join."""


class Judgement(NamedTuple):
    """What a model says of a batch.

    Attributes:
        logits: Scores of the classes to judge: (B, C).
        recognition: Scores of the emotions of the utterances heard, or None: (B, U, R).
    """

    logits: Tensor
    recognition: Tensor | None


class HistoryLabels(nn.Module):
    """Gold emotions of the past as an input, for the variant that is told them.

    The judged utterance itself is never told.

    Args:
        num_classes: Emotions that may occur in the past (R).
        size: Units of an emotion's embedding.
    """

    def __init__(self, num_classes: int, size: int = 32) -> None:
        super().__init__()
        self.embedding = nn.Embedding(num_classes + 1, size)
        self.output_size = size

    def forward(self, classes: Tensor, is_judged: Tensor) -> Tensor:
        """Embeds the classes of the utterances heard: (B, U), (B, U) -> (B, U, size)."""
        unknown = (classes == IGNORED) | is_judged
        return self.embedding(classes.masked_fill(unknown, self.embedding.num_embeddings - 1))


class Stream(nn.Module):
    """A dialogue model and the modalities that it hears joined.

    Args:
        modalities: Their names, in the order in which they are joined.
        dialogue: One of `dialogue.DIALOGUE_MODELS`.
    """

    def __init__(self, modalities: Sequence[str], dialogue: nn.Module) -> None:
        super().__init__()
        self.modalities = tuple(modalities)
        self.dialogue = dialogue


class ConversationModel(nn.Module):
    """Judges the emotion of a turn from what was heard before it.

    Early fusion is one stream of all modalities; late fusion is one stream for each, and their
    summaries are joined before the head.

    Args:
        perceptions: One per modality.
        streams: Which modalities are heard together, and by what.
        num_classes: Classes to judge (C).
        num_heard_classes: Emotions to recognise in the utterances heard (R), 0 for none.
        history_labels: Tells the past emotions, for the variant that is given them.
        dropout: Before the head.
    """

    def __init__(
        self,
        perceptions: Mapping[str, Perception],
        streams: Sequence[Stream],
        num_classes: int,
        num_heard_classes: int = 0,
        history_labels: HistoryLabels | None = None,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.perceptions = nn.ModuleDict(perceptions)
        self.streams = nn.ModuleList(streams)
        self.history_labels = history_labels
        summary_size = sum(stream.dialogue.summary_size for stream in streams)  # type: ignore[misc]
        state_size = sum(stream.dialogue.utterance_size for stream in streams)  # type: ignore[misc]
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(summary_size, num_classes)
        self.recognition = nn.Linear(state_size, num_heard_classes) if num_heard_classes else None

    def forward(self, batch: Batch) -> Judgement:
        """Judges a batch; see `Judgement` for the shapes."""
        perceived = {
            name: perception(batch.states[name], batch.frames[name])
            for name, perception in self.perceptions.items()
        }
        told = []
        if self.history_labels is not None:
            told = [self.history_labels(batch.heard_classes, batch.is_judged)]
        states = []
        for stream in self.streams:
            assert isinstance(stream, Stream)
            heard = torch.cat([perceived[name] for name in stream.modalities] + told, dim=-1)
            states.append(stream.dialogue(heard, batch.mask, batch.roles))
        summary = torch.cat([state.summary for state in states], dim=-1)
        recognition = None
        if self.recognition is not None:
            utterances = torch.cat([state.utterances for state in states], dim=-1)
            recognition = self.recognition(self.dropout(utterances))
        return Judgement(self.head(self.dropout(summary)), recognition)


def partition_modalities(modalities: Sequence[str], fusion: Fusion) -> list[tuple[str, ...]]:
    """Tells which modalities are heard together: early fusion all, late fusion none."""
    return [tuple(modalities)] if fusion == "early" else [(name,) for name in modalities]
