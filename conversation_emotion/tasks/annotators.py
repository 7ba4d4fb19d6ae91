"""Learning from each rater: a head for those who named enough of train, one for all others."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor

from conversation_emotion.splits.folds import Rows
from conversation_emotion.tasks.voted import VotedTargets, soft_cross_entropy
from conversation_emotion.utterances.votes import UNNAMED

LEAST_RATED = 20
"""Utterances of train that a rater with a head of their own has named."""


@dataclass(frozen=True, kw_only=True, eq=False)
class RaterTargets:
    """Targets of the heads of a fold (R), by the votes of train alone.

    Attributes:
        raters: Those who have a head each, in this order.
        num_others: Raters of train who share the last head; without any there is none.
        shares: What the raters of each head named, all heads of a row adding up to 1 by the weights
            of the votes: (rows, R C).
    """

    raters: tuple[str, ...]
    num_others: int
    shares: csr_array

    @property
    def num_heads(self) -> int:
        """Heads: one of each of the raters, and that of all others if there are any."""
        return len(self.raters) + (self.num_others > 0)

    def measure(
        self, logits: Tensor, rows: Tensor, weights: Tensor, scales: Tensor | None = None
    ) -> Tensor:
        """Computes the mean loss of the raters of each row, with that of `VotedTargets.measure`.

        Logits are those of each head, (B, R, C), or of one (B, C).
        """
        logits = logits.reshape(len(logits), self.num_heads, -1)
        shares = self.shares[rows.cpu().numpy()].toarray()
        targets = torch.from_numpy(shares).to(logits).view_as(logits)
        scales = logits.new_ones(len(logits)) if scales is None else scales.to(logits)
        return soft_cross_entropy(logits, targets, scales[:, None, None] * weights.to(logits))


def assign_heads(voted: VotedTargets, train: Rows, fold: str = "only") -> RaterTargets:
    """Gives each rater of train a head, and each vote that of its rater.

    A row with a target and without votes has its label as the target of all heads.

    Raises:
        ValueError: No rater named enough of train.
    """
    votes = voted.votes
    assert votes is not None
    is_learned = np.zeros(len(voted.targets), dtype=bool)
    is_learned[train] = ~np.isnan(voted.targets[train]).any(axis=1)
    own = np.flatnonzero(is_learned[votes.rows])
    names, numbers, counts = np.unique(
        np.array(votes.raters, dtype=object)[own].astype(str),
        return_inverse=True,
        return_counts=True,
    )
    is_named = ~np.char.startswith(names, UNNAMED)
    has_head = is_named & (counts >= LEAST_RATED)
    if not has_head.any():
        raise ValueError(
            f"--targets annotators: no rater named {LEAST_RATED} utterances of train in fold "
            f"{fold}, the most is {counts[is_named].max(initial=0)}; choose --targets distribution"
        )
    places = np.where(has_head, np.cumsum(has_head) - 1, has_head.sum())[numbers]
    num_heads = int(has_head.sum() + (~has_head).any())
    return RaterTargets(
        raters=tuple(map(str, names[has_head])),
        num_others=int((~has_head).sum()),
        shares=_share(voted, is_learned, own, places, num_heads),
    )


def _share(
    voted: VotedTargets,
    is_learned: NDArray[np.bool_],
    own: NDArray[np.int64],
    places: NDArray[np.int64],
    num_heads: int,
) -> csr_array:
    """Returns `RaterTargets.shares` by the ballots of train, and the head of each."""
    votes, num_classes = voted.votes, len(voted.labels)
    assert votes is not None
    ballots, rows = votes.ballots[own], votes.rows[own]
    totals = np.bincount(rows, ballots.sum(axis=1), minlength=len(is_learned))
    ballots = ballots / totals[rows, np.newaxis]
    unvoted = np.flatnonzero(is_learned & (totals == 0))
    labels = np.tile(voted.targets[unvoted] / num_heads, num_heads)
    columns = places[:, np.newaxis] * num_classes + np.arange(num_classes)
    size = num_heads * num_classes
    found = (
        np.concatenate([ballots.ravel(), labels.ravel()]),
        (
            np.concatenate([rows.repeat(num_classes), unvoted.repeat(size)]),
            np.concatenate([columns.ravel(), np.tile(np.arange(size), len(unvoted))]),
        ),
    )
    return csr_array(found, shape=(len(is_learned), size))  # adds the votes of one head


def describe_heads(found: list[RaterTargets]) -> str:
    """Describes the heads of all folds."""
    raters = _describe_range([len(heads.raters) for heads in found])
    others = _describe_range([heads.num_others for heads in found])
    return (
        f"annotators: {raters} raters named {LEAST_RATED} utterances of train or more and have a "
        f"head each, {others} others share one; the prediction is the mean of the heads"
    )


def _describe_range(counts: list[int]) -> str:
    low, high = min(counts), max(counts)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
