"""The models: perception, fusion, dialogue, head; or perception and head for one utterance."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from conversation_emotion.datasets.batches import Batch
from conversation_emotion.models.dialogue import DialogueState
from conversation_emotion.models.perception import Perception
from conversation_emotion.utterances.labels import IGNORED


class Outputs(NamedTuple):
    """What a model says of a batch.

    Attributes:
        logits: Scores of the classes to judge: (B, C).
        emotions: Scores of all emotions that the corpus names, or None: (B, R).
        recognition: Scores of the emotions of the utterances heard, or None: (B, U, R).
    """

    logits: Tensor
    emotions: Tensor | None
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

    def forward(self, classes: Tensor, is_target: Tensor) -> Tensor:
        """Embeds the classes of the utterances heard: (B, U), (B, U) -> (B, U, size)."""
        unknown = (classes == IGNORED) | is_target
        return self.embedding(classes.masked_fill(unknown, self.embedding.num_embeddings - 1))


class Stream(nn.Module):
    """Modalities heard together: joined, placed in the dialogue, read.

    Args:
        modalities: Their names, in the order in which they are joined.
        join: One of `fusion.JOINS` for their sizes.
        size: Features that the dialogue model reads.
        dialogue: One of `dialogue.DIALOGUE_MODELS` for that size.
    """

    def __init__(
        self, modalities: Sequence[str], join: nn.Module, size: int, dialogue: nn.Module
    ) -> None:
        super().__init__()
        self.modalities = tuple(modalities)
        self.join = join
        self.place = Place(size)
        self.dialogue = dialogue

    def forward(self, heard: Sequence[Tensor], batch: Batch) -> DialogueState:
        """Reads the real utterances of a batch: (M, D) of each modality."""
        placed = self.place(batch.roles, batch.turns_back)
        joined = self.join(heard, batch.mask)
        placed = placed.index_put((batch.mask,), joined, accumulate=True)
        state: DialogueState = self.dialogue(placed, batch.mask, batch.roles)
        return state


class Place(nn.Module):
    """Who speaks and how many turns ago, as learned vectors that are added to an utterance.

    Args:
        size: Features of an utterance.
        farthest: Turns beyond which no difference is made.
    """

    def __init__(self, size: int, farthest: int = 7) -> None:
        super().__init__()
        self.farthest = farthest
        self.roles = nn.Embedding(3, size)
        self.turns = nn.Embedding(farthest + 1, size)

    def forward(self, roles: Tensor, turns_back: Tensor) -> Tensor:
        """Embeds (B, U) roles and distances -> (B, U, size); padding gets any vector."""
        return self.roles(roles.clamp(min=0)) + self.turns(turns_back.clamp(0, self.farthest))


class ConversationModel(nn.Module):
    """Judges the emotion of a turn from what was heard before it.

    Late fusion is one stream for each modality, whose summaries are joined before the head; all
    other fusions are one stream, see `conversation_emotion.models.fusion`.

    Args:
        perceptions: One per modality.
        streams: Which modalities are heard together, and by what.
        num_classes: Classes to judge (C).
        num_emotions: Emotions that the corpus names (R), for the auxiliary heads; 0 for none.
        history_labels: Tells the past emotions, for the variant that is given them.
        dropout: Before the heads.
    """

    def __init__(
        self,
        perceptions: Mapping[str, Perception],
        streams: Sequence[Stream],
        num_classes: int,
        num_emotions: int = 0,
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
        self.emotions = nn.Linear(summary_size, num_emotions) if num_emotions else None
        self.recognition = nn.Linear(state_size, num_emotions) if num_emotions else None

    def forward(self, batch: Batch) -> Outputs:
        """Judges a batch; see `Outputs` for the shapes."""
        perceived = {
            name: perception(batch.states[name], batch.frames[name])
            for name, perception in self.perceptions.items()
        }
        told = []
        if self.history_labels is not None:
            told = [self.history_labels(batch.context_emotions, batch.is_target)[batch.mask]]
        states: list[DialogueState] = []
        for stream in self.streams:
            assert isinstance(stream, Stream)
            heard = [perceived[name] for name in stream.modalities] + told
            states.append(stream(heard, batch))
        summary = self.dropout(torch.cat([state.summary for state in states], dim=-1))
        logits = self.head(summary)
        if self.emotions is None or self.recognition is None:
            return Outputs(logits, None, None)
        utterances = self.dropout(torch.cat([state.utterances for state in states], dim=-1))
        return Outputs(logits, self.emotions(summary), self.recognition(utterances))


class UtteranceModel(nn.Module):
    """Judges the emotion of an utterance by itself: perception and one or two linear maps.

    With two this is the probe of SUPERB (Yang et al., 2021), which maps every frame linearly to 256
    units, averages the frames and maps the average to the classes. What is linear can be averaged
    before as well as after, so that utterances averaged beforehand give the same function. Where
    the perception maps frames itself, one linear map follows.

    Args:
        perceptions: One per modality.
        hidden_size: Units between the maps, None for one map.
        num_classes: Classes to judge (C).
        dropout: On what is perceived.
    """

    def __init__(
        self,
        perceptions: Mapping[str, Perception],
        hidden_size: int | None,
        num_classes: int,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.perceptions = nn.ModuleDict(perceptions)
        self.dropout = nn.Dropout(dropout)
        size = sum(perception.output_size for perception in perceptions.values())
        self.projection = nn.Identity() if hidden_size is None else nn.Linear(size, hidden_size)
        self.head = nn.Linear(hidden_size or size, num_classes)

    def forward(self, batch: Batch) -> Outputs:
        """Judges a batch in which each window is one utterance; see `Outputs` for the shapes."""
        heard = self.dropout(self.perceive(batch))
        return Outputs(self.head(self.projection(heard)), None, None)

    def perceive(self, batch: Batch) -> Tensor:
        """Puts what is perceived by all modalities side by side: (B, D)."""
        assert batch.mask.size(1) == 1, "an utterance model hears no context"
        perceived = [
            perception(batch.states[name], batch.frames[name])
            for name, perception in self.perceptions.items()
        ]
        return torch.cat(perceived, dim=-1)
