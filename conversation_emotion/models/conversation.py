"""The models: perception, fusion, dialogue, head; or perception and a head that may be solved."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from conversation_emotion.datasets.batches import Batch
from conversation_emotion.datasets.windows import PADDING
from conversation_emotion.models.dialogue import DialogueState
from conversation_emotion.models.dropout import BitDropout
from conversation_emotion.models.perception import Perception
from conversation_emotion.utterances.labels import IGNORED

FARTHEST = 7
"""Turns back beyond which distances share one vector."""

NEVER = -1e4
"""Score of a class of which train has no example; its probability is zero."""

COSTS = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""What C of a solved head is chosen from, as in the baselines of ComParE challenges."""

Solution: TypeAlias = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Weights (C, D) and biases (C,) of a linear map."""

Fit: TypeAlias = Callable[..., Solution]
"""From vectors (N, D), their classes (N,) and the number of classes to a linear map; and where they
have any from their weights, as ``scales`` (N,)."""


class Outputs(NamedTuple):
    """Logits of the classes of each target (B, C), and of auxiliary heads or None.

    Those are of all emotions that the corpus names: of the target (B, R), and as ``recognition`` of
    each utterance of the context (B, U, R). ``members`` are the probabilities of each network of a
    committee (M, B, C); ``streams`` logits of the classes by one modality alone (B, C), of those
    that have a head of their own.
    """

    logits: Tensor
    emotions: Tensor | None
    recognition: Tensor | None
    members: Tensor | None = None
    streams: Mapping[str, Tensor] = {}
    heads: Tensor | None = None


class RaterHeads(nn.Linear):
    """A linear map to C classes for each of R raters or more of them (Davani et al., 2022).

    What they predict together is the mean of their probabilities, as logits of C classes.
    """

    def __init__(self, input_size: int, num_classes: int, num_heads: int) -> None:
        super().__init__(input_size, num_heads * num_classes)
        self.num_classes = num_classes

    def split(self, vectors: Tensor) -> Tensor:
        """Returns the logits of each head: (B, D) -> (B, R, C)."""
        return super().forward(vectors).unflatten(-1, (-1, self.num_classes))

    def forward(self, input: Tensor) -> Tensor:
        """Predicts together: (B, D) -> (B, C)."""
        return average_heads(self.split(input))


def average_heads(heads: Tensor) -> Tensor:
    """Returns logits of the mean probability: (B, R, C) -> (B, C)."""
    logarithms = heads.float().log_softmax(dim=-1)
    return logarithms.logsumexp(dim=-2) - math.log(heads.size(-2))


def make_head(input_size: int, num_classes: int, num_heads: int) -> nn.Linear:
    """Builds a linear map to the classes, or several as one."""
    if num_heads > 1:
        return RaterHeads(input_size, num_classes, num_heads)
    return nn.Linear(input_size, num_classes)


def ask_head(head: nn.Linear, vectors: Tensor) -> tuple[Tensor, Tensor | None]:
    """Returns logits (B, C), and where there are several heads, those of each (B, R, C)."""
    if not isinstance(head, RaterHeads):
        return head(vectors), None
    heads = head.split(vectors)
    return average_heads(heads), heads


class HistoryLabels(nn.Module):
    """Gold emotions of the context (R) as embeddings; that of the target is never given."""

    def __init__(self, num_classes: int, size: int = 32) -> None:
        super().__init__()
        self.embedding = nn.Embedding(num_classes + 1, size)
        self.output_size = size

    def forward(self, classes: Tensor, is_target: Tensor) -> Tensor:
        """Embeds the emotions of the context: (B, U), (B, U) -> (B, U, size)."""
        unknown = (classes == IGNORED) | is_target
        return self.embedding(classes.masked_fill(unknown, self.embedding.num_embeddings - 1))


class Stream(nn.Module):
    """Modalities that one dialogue model reads, as vectors of ``size`` features.

    They are joined in the order given by one of `fusion.JOINS`. Learned vectors of who speaks and
    how many turns ago are added.
    """

    def __init__(
        self, modalities: Sequence[str], join: nn.Module, size: int, dialogue: nn.Module
    ) -> None:
        super().__init__()
        self.modalities = tuple(modalities)
        self.join = join
        self.place = nn.ModuleDict(
            {"roles": nn.Embedding(3, size), "turns": nn.Embedding(FARTHEST + 1, size)}
        )
        self.dialogue = dialogue

    def forward(self, inputs: Sequence[Tensor], places: Tensor, batch: Batch) -> DialogueState:
        """Reads the windows of a batch: (M, D) of each modality, their places (B, U)."""
        placed = self.place["roles"](batch.roles.clamp(min=0))  # padding gets any vector
        placed = placed + self.place["turns"](batch.turns_back.clamp(0, FARTHEST))
        placed = placed + self.join(inputs, places)
        state: DialogueState = self.dialogue(placed, batch.mask, batch.roles)
        return state


class ConversationModel(nn.Module):
    """Predicts the emotion of a turn from its visible context.

    Each distinct utterance of a batch is perceived, dropped out and projected once, and then put
    into all windows that it belongs to: in training they share one mask of the input dropout.

    Late fusion is one stream for each modality, whose summaries are joined before the head; all
    other fusions are one stream, see `conversation_emotion.models.fusion`. There are C classes, and
    R emotions that the corpus names, for the auxiliary heads; with 0 there are no such heads.
    ``own_heads`` names the modalities of late fusion that have a head of the classes of their own.
    ``history_labels`` embeds the gold emotions of the context, for the variant with them.
    """

    def __init__(
        self,
        perceptions: Mapping[str, Perception],
        streams: Sequence[Stream],
        num_classes: int,
        num_emotions: int = 0,
        history_labels: HistoryLabels | None = None,
        dropout: float = 0.5,
        own_heads: Sequence[str] = (),
        num_heads: int = 1,
    ) -> None:
        super().__init__()
        self.perceptions = nn.ModuleDict(perceptions)
        self.streams = nn.ModuleList(streams)
        self.history_labels = history_labels
        summary_size = sum(stream.dialogue.summary_size for stream in streams)  # type: ignore[misc]
        state_size = sum(stream.dialogue.utterance_size for stream in streams)  # type: ignore[misc]
        self.dropout = BitDropout(dropout)
        self.head = make_head(summary_size, num_classes, num_heads)
        self.emotions = nn.Linear(summary_size, num_emotions) if num_emotions else None
        self.recognition = nn.Linear(state_size, num_emotions) if num_emotions else None
        sizes = {one.modalities[0]: one.dialogue.summary_size for one in streams}
        self.own_heads = nn.ModuleDict(
            {name: nn.Linear(sizes[name], num_classes) for name in own_heads}  # type: ignore[arg-type]
        )

    def forward(self, batch: Batch) -> Outputs:
        """Predicts a batch; see `Outputs` for the shapes."""
        perceived, places, labels = perceive(self.perceptions, batch), batch.places, []
        if self.history_labels is not None:  # which differ from window to window
            labels = [self.history_labels(batch.context_emotions, batch.is_target)[batch.mask]]
            perceived = {name: one[places[batch.mask]] for name, one in perceived.items()}
            places = (batch.mask.flatten().cumsum(0) - 1).view_as(places)
            places = places.masked_fill(~batch.mask, PADDING)
        states: list[DialogueState] = []
        for stream in self.streams:
            assert isinstance(stream, Stream)
            inputs = [perceived[name] for name in stream.modalities] + labels
            states.append(stream(inputs, places, batch))
        summary = self.dropout(torch.cat([state.summary for state in states], dim=-1))
        logits, heads = ask_head(self.head, summary)
        own = {}
        for stream, state in zip(self.streams, states, strict=True):
            assert isinstance(stream, Stream)
            if (name := stream.modalities[0]) in self.own_heads:
                own[name] = self.own_heads[name](self.dropout(state.summary))
        if self.emotions is None or self.recognition is None:
            return Outputs(logits, None, None, streams=own, heads=heads)
        utterances = self.dropout(torch.cat([state.utterances for state in states], dim=-1))
        emotions, recognition = self.emotions(summary), self.recognition(utterances)
        return Outputs(logits, emotions, recognition, streams=own, heads=heads)


class UtteranceModel(nn.Module):
    """Predicts the emotion of a single utterance: perception and one or two linear maps.

    With two this is the probe of SUPERB (Yang et al., 2021), which maps every frame linearly to 256
    units, averages the frames and maps the average to the classes. What is linear can be averaged
    before as well as after, so that utterances averaged beforehand give the same function. Where
    the perception maps frames itself, one linear map follows: ``hidden_size`` is then None.
    """

    def __init__(
        self,
        perceptions: Mapping[str, Perception],
        hidden_size: int | None,
        num_classes: int,
        dropout: float = 0.0,
        num_heads: int = 1,
    ) -> None:
        super().__init__()
        self.perceptions = nn.ModuleDict(perceptions)
        self.dropout = BitDropout(dropout)
        size = sum(perception.output_size for perception in perceptions.values())
        self.projection = nn.Identity() if hidden_size is None else nn.Linear(size, hidden_size)
        self.head = make_head(hidden_size or size, num_classes, num_heads)

    def forward(self, batch: Batch) -> Outputs:
        """Predicts a batch in which each window is one utterance; see `Outputs` for the shapes."""
        perceived = self.dropout(self.perceive(batch))
        logits, heads = ask_head(self.head, self.projection(perceived))
        return Outputs(logits, None, None, heads=heads)

    def perceive(self, batch: Batch) -> Tensor:
        """Concatenates the vectors of all modalities: (B, D)."""
        assert batch.mask.size(1) == 1, "an utterance model takes no context"
        return torch.cat([*perceive(self.perceptions, batch).values()], dim=-1)


def perceive(perceptions: nn.ModuleDict, batch: Batch) -> dict[str, Tensor]:
    """Perceives each distinct utterance, unless a batch has the vectors: (M, D) by modality."""
    return {
        name: batch.vectors[name]
        if name in batch.vectors
        else perception(batch.states[name], batch.frames[name])
        for name, perception in perceptions.items()
    }


def solve_head(
    model: UtteranceModel, batches: Iterable[Batch], fit: Fit, scales: Tensor | None = None
) -> UtteranceModel:
    """Solves the one linear map of a model from the vectors of some batches and their classes.

    ``scales`` are the weights of all rows of the table, (rows,); with None each counts alike.
    """
    model.eval()
    with torch.inference_mode():
        parts = [(model.perceive(batch), batch.targets, batch.target_rows) for batch in batches]
    vectors, targets, rows = (torch.cat(tensors).cpu() for tensors in zip(*parts, strict=True))
    given = {} if scales is None else {"scales": scales[rows].numpy()}
    weights, biases = fit(vectors.numpy(), targets.numpy(), model.head.out_features, **given)
    with torch.no_grad():
        model.head.weight.copy_(torch.from_numpy(weights))
        model.head.bias.copy_(torch.from_numpy(biases))
    return model


def fit_discriminants(
    vectors: NDArray[np.floating],
    targets: NDArray[np.int64],
    num_classes: int,
    *,
    is_balanced: bool,
) -> Solution:
    """Fits a discriminant for each class, with the covariance of Ledoit and Wolf (2004).

    How far the covariance is drawn towards a diagonal follows from the vectors, so that nothing is
    left to select by valid. With ``is_balanced`` each class is as probable as any other, else as
    frequent as in train.

    Returns:
        From vectors (N, D) and their classes (N,) weights (C, D) and biases (C,), whose softmax is
        the probability of each class.

    Raises:
        ValueError: There are fewer than two classes in train.
    """
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis  # if it is fitted

    present = _find_classes(targets)
    priors = np.full(len(present), 1 / len(present)) if is_balanced else None
    analysis = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto", priors=priors)
    analysis.fit(vectors.astype(np.float64), targets)
    return _spread(analysis.coef_, analysis.intercept_, present, num_classes)


def fit_margins(
    vectors: NDArray[np.floating],
    targets: NDArray[np.int64],
    num_classes: int,
    *,
    is_balanced: bool,
    cost: float,
    scales: NDArray[np.floating] | None = None,
) -> Solution:
    """Fits a linear support vector machine, one class against the others (Fan et al., 2008).

    With ``is_balanced`` the ``cost`` (C) of an error is larger for a rare class, else the same;
    ``scales`` (N,) are factors of it.

    Returns:
        From vectors (N, D) and their classes (N,) weights (C, D) and biases (C,), whose largest
        sum is the class; their softmax orders the classes alike, but is no calibrated probability.

    Raises:
        ValueError: There are fewer than two classes in train.
    """
    from sklearn.svm import LinearSVC  # if it is fitted

    present = _find_classes(targets)
    weight = "balanced" if is_balanced else None
    # The seed is that of the order in which the dual problem visits the vectors.
    machine = LinearSVC(C=cost, class_weight=weight, dual="auto", max_iter=20_000, random_state=0)
    machine.fit(vectors.astype(np.float64), targets, sample_weight=scales)
    return _spread(machine.coef_, np.asarray(machine.intercept_), present, num_classes)


def fit_logistic(
    vectors: NDArray[np.floating],
    targets: NDArray[np.int64],
    num_classes: int,
    *,
    is_balanced: bool,
    cost: float,
    scales: NDArray[np.floating] | None = None,
) -> Solution:
    """Fits a multinomial logistic regression, whose weights are kept small by 1 / ``cost``.

    With ``is_balanced`` each class counts alike, else each utterance, by its ``scales`` (N,) if
    there are any.

    Returns:
        From vectors (N, D) and their classes (N,) weights (C, D) and biases (C,), whose softmax is
        the probability of each class.

    Raises:
        ValueError: There are fewer than two classes in train.
    """
    from sklearn.linear_model import LogisticRegression  # if it is fitted

    present = _find_classes(targets)
    weight = "balanced" if is_balanced else None
    regression = LogisticRegression(C=cost, class_weight=weight, max_iter=1_000)
    regression.fit(vectors, targets, sample_weight=scales)
    return _spread(regression.coef_, np.asarray(regression.intercept_), present, num_classes)


def _find_classes(targets: NDArray[np.int64]) -> NDArray[np.int64]:
    present = np.unique(targets)
    if len(present) < 2:
        raise ValueError(f"discriminants need two classes in train, got {len(present)}")
    return present


def _spread(
    found: NDArray[np.floating],
    offsets: NDArray[np.floating],
    present: NDArray[np.int64],
    num_classes: int,
) -> Solution:
    """Spreads the maps of the classes that are present over all; the others never win."""
    if len(present) == 2:  # one map, of the second class against the first
        found, offsets = np.stack([0 * found[0], found[0]]), np.array([0.0, offsets[0]])
    weights = np.zeros((num_classes, found.shape[1]), dtype=np.float32)
    biases = np.full(num_classes, NEVER, dtype=np.float32)
    weights[present], biases[present] = found, offsets
    return weights, biases
