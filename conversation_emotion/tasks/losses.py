"""Losses of classes: cross-entropy, focal, adjusted by frequencies, and of mixed pairs."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from conversation_emotion.settings.training import LearningSettings
from conversation_emotion.utterances.labels import IGNORED

Measure = Callable[[Tensor, Tensor, Tensor, Tensor | None], Tensor]
"""From logits (B, C), classes (B,), weights of classes (C,) and scales (B,) or None to a number."""

FOCUS = 2.0
"""Exponent of the focal loss, the best of Lin et al. (2017)."""


def make_measure(settings: LearningSettings, counts: Tensor) -> Measure:
    """Returns the loss of the settings.

    Args:
        settings: Which loss, and whether of mixed pairs.
        counts: Examples of each class in train (C,), all above 0.
    """
    measure = focal_loss if settings.loss == "focal" else cross_entropy
    if settings.loss == "logit-adjusted":
        measure = _adjust(cross_entropy, (counts / counts.sum()).log())
    return _mix(measure, settings.mixup) if settings.mixup else measure


def refuse_mixup(training: LearningSettings, absent: Tensor | None) -> None:
    """Raises a `ValueError` where utterances would be mixed that do not have the same classes."""
    if training.mixup and absent is not None:
        raise ValueError(
            "--mixup mixes utterances of all corpora, and some of these lack a class; leave it "
            "out, or choose --labels that all of them have"
        )


def cross_entropy(
    logits: Tensor, classes: Tensor, weights: Tensor | None = None, scales: Tensor | None = None
) -> Tensor:
    """Weighted mean over what is labelled, zero if nothing is: (..., C), (...), (C,) -> scalar.

    ``scales`` are further weights, of each target (...).
    """
    logits, classes = logits.flatten(end_dim=-2), classes.flatten()
    weights = logits.new_ones(logits.size(-1)) if weights is None else weights
    total = nn.functional.cross_entropy(
        logits,
        classes,
        weight=weights,
        ignore_index=IGNORED,
        reduction="sum" if scales is None else "none",
    )
    weight = weights[classes.clamp(min=0)] * (classes != IGNORED)
    if scales is not None:
        total, weight = (total * scales.flatten()).sum(), weight * scales.flatten()
    # Without the floor, a batch without a label would divide 0 by 0 and end the training.
    return total / weight.sum().clamp(min=1e-6)


def focal_loss(
    logits: Tensor, classes: Tensor, weights: Tensor, scales: Tensor | None = None
) -> Tensor:
    """Weighted mean of (1 - p) ** `FOCUS` times the cross-entropy (Lin et al., 2017).

    Arguments are those of `Measure`.
    """
    chosen = classes.clamp(min=0)
    logs = logits.log_softmax(dim=-1).gather(-1, chosen[:, None]).squeeze(-1)
    weight = weights[chosen] * (classes != IGNORED)
    weight = weight if scales is None else weight * scales
    total = -(weight * (1 - logs.exp()) ** FOCUS * logs).sum()
    return total / weight.sum().clamp(min=1e-6)


def _adjust(measure: Measure, log_shares: Tensor) -> Measure:
    """Returns the loss of logits to which the logarithm of the share of their class is added."""

    def adjusted(logits: Tensor, classes: Tensor, weights: Tensor, scales: Tensor | None) -> Tensor:
        return measure(logits + log_shares.to(logits), classes, weights, scales)

    return adjusted


def _mix(measure: Measure, concentration: float) -> Measure:
    """Returns the loss of mixed pairs of the labelled targets of a batch (Zhang et al., 2018).

    The last map of every model is linear, so that the logits of mixed features are mixed logits.
    """

    def mixed(logits: Tensor, classes: Tensor, weights: Tensor, scales: Tensor | None) -> Tensor:
        labelled = torch.nonzero(classes != IGNORED).flatten()
        logits, classes = logits[labelled], classes[labelled]
        scales = None if scales is None else scales[labelled]
        share = float(torch.distributions.Beta(concentration, concentration).sample())
        other = torch.randperm(len(labelled)).to(logits.device)
        pairs = share * logits + (1 - share) * logits[other]
        theirs = None if scales is None else scales[other]
        first = measure(pairs, classes, weights, scales)
        return share * first + (1 - share) * measure(pairs, classes[other], weights, theirs)

    return mixed
