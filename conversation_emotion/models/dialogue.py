"""Dialogue models: from the context so far to the state of the conversation.

All read a window from its oldest utterance to its latest and never look ahead: the state of an
utterance depends on it and on those before it.
"""

import math
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from conversation_emotion.datasets.windows import INTERLOCUTOR, PADDING, SPEAKER
from conversation_emotion.models.dropout import BitDropout
from conversation_emotion.models.packed_gru import pack, read_packed


class DialogueState(NamedTuple):
    """State of the conversation before the target (B, H'), and after each utterance (B, U, H).

    The latter are zero at padded utterances.
    """

    summary: Tensor
    utterances: Tensor


class RoleReader(nn.Module):
    """The utterances of one role: a GRU of H units, and the mean of self-attention over its states.

    Without ``attends`` its last state is taken.
    """

    def __init__(self, size: int, num_layers: int, dropout: float, attends: bool) -> None:
        super().__init__()
        self.gru = _gru(size, size, num_layers, dropout)
        self.attention = nn.Linear(size, 3 * size) if attends else None

    def forward(self, states: Tensor, chosen: Tensor) -> Tensor:
        """Reads the chosen utterances: (B, U, H), (B, U) -> (B, H); zero where none is chosen."""
        packing = pack(chosen)
        states, mask = read_packed(self.gru, states, packing), packing.places != PADDING
        if self.attention is None:
            return last_state(place(states, packing.places), mask)
        # Only what is real is mapped: of one batch, half may be padding.
        mapped = place(self.attention(states), packing.places)
        queries, keys, values = mapped.chunk(3, dim=-1)
        # An empty row attends to its padding, so that softmax stays defined, and is zeroed below.
        visible = (mask | ~mask.any(dim=1, keepdim=True)).unsqueeze(1)
        scores = queries @ keys.transpose(1, 2) / math.sqrt(queries.size(-1))
        shares = scores.masked_fill(~visible, -math.inf).softmax(dim=-1) * mask.unsqueeze(-1)
        # The mean over queries comes before the sum over values, of which it leaves one a window.
        shares = shares.sum(dim=1, keepdim=True) / mask.sum(dim=1).clamp(min=1)[:, None, None]
        return (shares @ values).squeeze(1)


class HierarchicalGRU(nn.Module):
    """Utterances, then roles, then the conversation (Shi et al., 2023).

    An interaction GRU reads all utterances. Its states go to a reader of the target's speaker and
    to one of their interlocutor; a spectator has none and counts through the last interaction
    state. The three are concatenated. Utterances have D features, each GRU H units; dropout is
    between layers and on the inputs of the GRUs.
    """

    other_role: ClassVar[str] = "interlocutor"
    attends: ClassVar[bool] = True

    def __init__(
        self, input_size: int, hidden_size: int = 256, num_layers: int = 2, dropout: float = 0.5
    ) -> None:
        super().__init__()
        self.dropout = BitDropout(dropout)
        self.interaction = _gru(input_size, hidden_size, num_layers, dropout)
        self.speaker = RoleReader(hidden_size, num_layers, dropout, self.attends)
        # By this name in saved weights.
        self.add_module(self.other_role, RoleReader(hidden_size, num_layers, dropout, self.attends))
        self.utterance_size = hidden_size
        self.summary_size = (3 if self.attends else 2) * hidden_size

    def forward(self, utterances: Tensor, mask: Tensor, roles: Tensor) -> DialogueState:
        """Reads (B, U, D) utterances, their mask (B, U) and roles (B, U)."""
        states = read(self.interaction, self.dropout(utterances), mask)
        routed = self.dropout(states)
        is_other = roles == INTERLOCUTOR if self.attends else roles != SPEAKER
        other = self.get_submodule(self.other_role)
        summary = [self.speaker(routed, mask & (roles == SPEAKER)), other(routed, mask & is_other)]
        if self.attends:
            summary.append(last_state(states, mask))
        return DialogueState(torch.cat(summary, dim=-1), states)


class TwoRoleGRU(HierarchicalGRU):
    """The target's speaker and all others, without attention (Shi et al., 2020)."""

    other_role = "others"
    attends = False


class SingleGRU(nn.Module):
    """One GRU over all utterances and its last state (Shahriar and Kim, 2019).

    The arguments are those of `HierarchicalGRU`.
    """

    def __init__(
        self, input_size: int, hidden_size: int = 256, num_layers: int = 2, dropout: float = 0.5
    ) -> None:
        super().__init__()
        self.dropout = BitDropout(dropout)
        self.gru = _gru(input_size, hidden_size, num_layers, dropout)
        self.utterance_size = self.summary_size = hidden_size

    def forward(self, utterances: Tensor, mask: Tensor, roles: Tensor) -> DialogueState:
        """Reads (B, U, D) utterances and their mask (B, U); roles are not used."""
        del roles
        states = read(self.gru, self.dropout(utterances), mask)
        return DialogueState(last_state(states, mask), states)


DIALOGUE_MODELS = {"hierarchical": HierarchicalGRU, "two-role": TwoRoleGRU, "single": SingleGRU}


def read(gru: nn.GRU, states: Tensor, mask: Tensor) -> Tensor:
    """Reads what is real, which lies in front: (B, U, D), (B, U) -> (B, U, H), else zero.

    Windows are packed: of one batch they differ in length, and half of it may be padding.
    """
    packing = pack(mask)
    read = place(read_packed(gru, states, packing), packing.places)
    return nn.functional.pad(read, (0, 0, 0, mask.size(1) - read.size(1)))


def place(utterances: Tensor, places: Tensor) -> Tensor:
    """Puts utterances in their places: (M, H), (B, U) -> (B, U, H), zero where `PADDING`."""
    # A lookup of vectors: its gradient adds up whole rows, that of an index one number at a time.
    with_zero = nn.functional.pad(utterances, (0, 0, 0, 1))  # which is the row -1
    return nn.functional.embedding(places.remainder(len(with_zero)), with_zero)


def last_state(states: Tensor, mask: Tensor) -> Tensor:
    """Takes the state of the last real utterance: (B, U, H), (B, U) -> (B, H); zero if none.

    The mask must have its real utterances in front.
    """
    counts = mask.sum(dim=1)
    last = states[torch.arange(len(states), device=states.device), (counts - 1).clamp(min=0)]
    return last * (counts > 0).unsqueeze(-1)


def _gru(input_size: int, hidden_size: int, num_layers: int, dropout: float) -> nn.GRU:
    between = dropout if num_layers > 1 else 0.0
    return nn.GRU(input_size, hidden_size, num_layers, batch_first=True, dropout=between)
