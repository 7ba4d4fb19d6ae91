"""What a model learns from the votes of raters: targets of every row, and their loss."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from conversation_emotion.datasets.dataset import Dataset
from conversation_emotion.datasets.votes import Votes, count_votes
from conversation_emotion.evaluation.votes import jensen_shannon
from conversation_emotion.settings.votes import Target, VoteSettings
from conversation_emotion.splits.folds import Rows
from conversation_emotion.utterances.labels import IGNORED
from conversation_emotion.utterances.votes import UNNAMED


@dataclass(frozen=True, kw_only=True, eq=False)
class VotedTargets:
    """Targets of the rows of a dataset.

    Attributes:
        kind: What is learned.
        labels: Names of the classes (C).
        targets: Share of each class or, with multi-label, 1 of each above chance; NaN where a row
            has no target: (rows, C).
        kept: Rows without label that are learned from, for nobody agreed: (rows,).
        notes: What is said below tables.
        votes: The votes.
    """

    kind: Target
    labels: tuple[str, ...]
    targets: NDArray[np.float64]
    kept: NDArray[np.bool_]
    notes: tuple[str, ...] = ()
    votes: Votes | None = None

    def diverge(
        self, probabilities: NDArray[np.floating], rows: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Returns the divergence in bits of each from the votes, NaN without: (N, C), (N,)."""
        assert self.votes is not None
        found = jensen_shannon(self.votes.shares[rows], probabilities.astype(np.float64))
        return found.astype(np.float64)

    def weigh_classes(self, train: Rows, *, is_balanced: bool) -> Tensor:
        """Returns weights of the classes (C,), by which each counts alike if ``is_balanced``.

        Raises:
            ValueError: A class has no vote in train.
        """
        if not is_balanced:
            return torch.ones(len(self.labels))
        masses = np.nansum(self.targets[train], axis=0)
        if absent := [x for x, mass in zip(self.labels, masses, strict=True) if not mass]:
            raise ValueError(
                f"--targets {self.kind}: no vote of the train part is for {', '.join(absent)}; "
                "choose other --labels, another --split, or --class-weights none"
            )
        return torch.from_numpy(masses.sum() / (len(self.labels) * masses)).float()

    def measure(
        self, logits: Tensor, rows: Tensor, weights: Tensor | None, scales: Tensor | None = None
    ) -> Tensor:
        """Computes the loss of some rows, those without a target left out.

        Args:
            logits: (B, C).
            rows: Rows of the table: (B,).
            weights: Those of the classes (C,), all 1 if None.
            scales: Those of the rows (B,), all 1 if None.
        """
        targets = torch.from_numpy(self.targets).to(logits)[rows.to(logits.device)]
        weights = logits.new_ones(logits.size(-1)) if weights is None else weights.to(logits)
        scales = logits.new_ones(len(logits)) if scales is None else scales.to(logits)
        is_given = ~targets.isnan().any(dim=-1)
        # A weight for each row and class.
        both = scales[is_given, None] * weights
        loss = multi_label_loss if self.kind == "multi-label" else soft_cross_entropy
        return loss(logits[is_given], targets[is_given], both)


def soft_cross_entropy(logits: Tensor, shares: Tensor, weights: Tensor) -> Tensor:
    """Weighted cross-entropy to shares, that of classes if each is 0 or 1.

    From (B, C), (B, C), and weights of classes (C,) or of rows and classes (B, C); of R heads from
    (B, R, C), (B, R, C), and weights (B, 1, C), shares of all heads of a row adding up to 1.
    """
    weighted = shares * weights
    # Without the floor, a batch without a target would divide 0 by 0 and end the training.
    return -(weighted * logits.log_softmax(dim=-1)).sum() / weighted.sum().clamp(min=1e-6)


def multi_label_loss(logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Binary cross-entropy of "above chance" for each class, weights as in `soft_cross_entropy`.

    Its logit is that of the probability less that of 1 / C, so that it is above 0 where the
    probability is above chance: what a label of a multi-label target is. Probabilities still add up
    to 1, as those of all other models do.
    """
    others = logits.unsqueeze(-2).expand(-1, logits.size(-1), -1)
    own = torch.eye(logits.size(-1), dtype=torch.bool, device=logits.device)
    rest = others.masked_fill(own, -torch.inf).logsumexp(dim=-1)
    above = logits - rest + np.log(logits.size(-1) - 1)
    each = F.binary_cross_entropy_with_logits(above, targets, reduction="none") * weights
    return each.sum() / weights.expand_as(logits).sum().clamp(min=1e-6)


def learn_votes(dataset: Dataset, settings: VoteSettings) -> VotedTargets | None:
    """Returns what a model learns from votes; None where that is the label.

    Raises:
        ValueError: The corpus has no votes for the classes; or they name no raters, whose heads are
            asked for.
    """
    (kind,) = settings.targets
    if kind == "label":
        return None
    votes, classes = count_votes(dataset.utterances, dataset.label_map), dataset.classes()
    if kind == "annotators" and all(name.startswith(UNNAMED) for name in votes.raters):
        raise ValueError(
            f"{dataset.label_map.corpus}: the votes count raters and name none, so that none can "
            "have a head; --targets annotators needs names; choose distribution"
        )
    has_votes: NDArray[np.bool_] = ~np.isnan(votes.shares[:, 0])
    is_labelled = classes != IGNORED
    one_hot = np.eye(len(dataset.labels))
    targets = np.full_like(votes.shares, np.nan)
    targets[is_labelled] = one_hot[classes[is_labelled]]
    is_kept = (settings.no_agreement == "keep") & has_votes & ~is_labelled
    is_kept &= dataset.utterances["emotion"].isna().to_numpy()
    is_learned = has_votes & (is_labelled | is_kept)
    targets[is_learned] = _find_targets(votes, kind)[is_learned]
    return VotedTargets(
        kind=kind,
        labels=dataset.labels,
        targets=targets,
        kept=is_kept,
        notes=tuple(_describe(kind, targets, has_votes, is_labelled, is_kept)),
        votes=votes,
    )


def _find_targets(votes: Votes, kind: Target) -> NDArray[np.float64]:
    """Returns the target of every row by its votes, NaN where there is none: (rows, C)."""
    num_classes = votes.shares.shape[1]
    if kind == "majority":
        found = votes.majority()
        return np.where(found[:, None] < 0, np.nan, np.eye(num_classes)[found])
    if kind in ("distribution", "annotators"):
        return votes.shares
    return mark_above_chance(votes.shares)


def mark_above_chance(shares: NDArray[np.floating]) -> NDArray[np.float64]:
    """Marks the classes above the share of chance, 1 / C, with 1: (N, C) -> (N, C)."""
    above = (shares > 1 / shares.shape[1] + 1e-9).astype(np.float64)
    return np.where(np.isnan(shares), np.nan, above)


def _describe(
    kind: Target,
    targets: NDArray[np.float64],
    has_votes: NDArray[np.bool_],
    is_labelled: NDArray[np.bool_],
    is_kept: NDArray[np.bool_],
) -> Iterator[str]:
    if unvoted := int((is_labelled & ~has_votes).sum()):
        yield f"{kind}: {unvoted:,} labelled utterances have no vote for a class, and their label"
    if tied := int((is_labelled & np.isnan(targets).any(axis=1)).sum()):
        yield f"{kind}: {tied:,} labelled utterances have no majority, and are not learned from"
    if is_kept.any():
        yield f"{kind}: {int(is_kept.sum()):,} utterances without agreement are learned from"
