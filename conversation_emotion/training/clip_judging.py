"""Judging clips: settings of a tuning, its loss, and what a model says of the rows of a part."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from conversation_emotion.datasets.clip_batches import ClipBatch, Clips, plan_batches
from conversation_emotion.evaluation.metrics import (
    count_confusions,
    unweighted_average_recall,
    weighted_accuracy,
)
from conversation_emotion.models.fine_tuned import ClipJudgement

BLANK = 0
"""Index of CTC's blank among the characters."""


@dataclass(frozen=True, kw_only=True)
class TuningSettings:
    """How an encoder is tuned.

    Attributes:
        epochs: Passes over train at most.
        patience: Epochs without a better valid score after which to stop.
        learning_rate: Highest step size of the last block.
        head_learning_rate: Highest step size of the heads.
        layer_decay: Factor from the step size of a block to that of the block below.
        weight_decay: Of AdamW.
        warmup: Share of the updates in which the step size rises.
        batch_size: Clips of a batch at most.
        batch_seconds: Audio of a batch at most.
        accumulate: Batches of an update.
        max_gradient_norm: Longer gradients are shortened to this.
        transcript_weight: Weight of spelling beside judging (alpha).
        select_by: What ranks the checkpoints on valid.
        keep: Checkpoints to keep, the best.
        is_bf16: Whether training multiplies in bfloat16; judging never does.
        seed: Of order, dropout and masks.
    """

    epochs: int = 8
    patience: int = 8
    learning_rate: float = 3e-4
    head_learning_rate: float = 1e-3
    layer_decay: float = 1.0
    weight_decay: float = 1e-2
    warmup: float = 0.1
    batch_size: int = 16
    batch_seconds: float = 60.0
    accumulate: int = 1
    max_gradient_norm: float = 1.0
    transcript_weight: float = 0.0
    select_by: Literal["accuracy", "uar"] = "accuracy"
    keep: int = 5
    is_bf16: bool = False
    seed: int = 0


class Judged(NamedTuple):
    """What a model says of some rows, in their order.

    Attributes:
        probabilities: Of each class: (N, C).
        targets: Right classes: (N,).
        loss: Mean loss.
        spelt: Most probable character of every frame of each clip; empty without that head.
    """

    probabilities: NDArray[np.float32]
    targets: NDArray[np.int64]
    loss: float
    spelt: list[NDArray[np.int64]]

    def scores(self) -> dict[str, float]:
        """Gives accuracy and UAR of the most probable classes."""
        predicted = self.probabilities.argmax(axis=1)
        counts = count_confusions(self.targets, predicted, self.probabilities.shape[1])
        return {
            "accuracy": float(weighted_accuracy(counts)),
            "uar": float(unweighted_average_recall(counts)),
        }


def judge(
    model: nn.Module,
    clips: Clips,
    rows: NDArray[np.int64],
    settings: TuningSettings,
    accelerator: Accelerator,
) -> Judged:
    """Judges every row once, in evaluation mode; the result is in the order of the rows."""
    model.eval()
    place = {int(row): number for number, row in enumerate(rows)}
    probabilities: list[NDArray[np.float32]] = [np.empty(0, dtype=np.float32)] * len(rows)
    spelt: list[NDArray[np.int64]] = [np.empty(0, dtype=np.int64)] * len(rows)
    total = 0.0
    plan = plan_batches(
        clips,
        rows,
        batch_size=2 * settings.batch_size,
        batch_seconds=2 * settings.batch_seconds,
    )
    with torch.inference_mode():
        for some in plan:
            batch = clips.gather(some).to(accelerator.device)
            judgement: ClipJudgement = model(batch.inputs, batch.lengths)
            total += float(tuning_loss(judgement, batch, None, settings)) * len(some)
            chosen = judgement.logits.float().softmax(dim=-1).cpu().numpy()
            for number, row in enumerate(some.tolist()):
                probabilities[place[row]] = chosen[number]
                if judgement.characters is not None:
                    frames = judgement.characters[number, : int(judgement.num_frames[number])]
                    spelt[place[row]] = frames.argmax(dim=-1).cpu().numpy()
    return Judged(np.stack(probabilities), clips.classes[rows], total / len(rows), spelt)


def tuning_loss(
    judgement: ClipJudgement,
    batch: ClipBatch,
    class_weights: Tensor | None,
    settings: TuningSettings,
) -> Tensor:
    """Gives the cross-entropy of the classes plus alpha times that of spelling (CTC).

    CTC is the negative logarithm of a transcript's probability, averaged over clips and not over
    characters; clips without a transcript, or with more characters than frames can spell, give 0.
    """
    logits = judgement.logits.float()
    weights = None if class_weights is None else class_weights.to(logits.dtype)
    loss = F.cross_entropy(logits, batch.targets, weight=weights)
    if not settings.transcript_weight or judgement.characters is None:
        return loss
    log_probabilities = judgement.characters.float().log_softmax(dim=-1).transpose(0, 1)
    spelling = F.ctc_loss(
        log_probabilities,
        batch.spellings,
        judgement.num_frames,
        batch.spelling_lengths,
        blank=BLANK,
        reduction="none",
        zero_infinity=True,
    )
    spelling = spelling * (batch.spelling_lengths > 0)
    return loss + settings.transcript_weight * spelling.mean()
