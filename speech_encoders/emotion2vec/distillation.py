"""Online distillation (Ma et al., 2024): a masked student predicts what its own average hears.

The student hears about half of the frames and predicts what the teacher, a moving average of the
student, makes of all of them: at every hidden frame (frame loss), and of the clip as a whole
(utterance loss). The convolutional front end is the student's alone; the teacher hears its frames.

Where public code and paper leave room, this is our choice:

- The target of a frame is the mean over the top blocks of their feed-forward outputs, each
  normalised over time. Pooled over time, such a target is zero for every clip. The target of an
  utterance is therefore pooled *before* that norm, then standardised over clips by running
  statistics, so that a constant answer explains none of it; ``channels`` normalises it over
  channels instead, ``literal`` is the zero of public code, kept for comparison.
- Both losses are means, over hidden frames and over clips. In public code the utterance loss is a
  sum over clips, whose weight grows with the batch.
"""

import copy
import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from speech_encoders.emotion2vec.anchor import AcousticAnchor
from speech_encoders.emotion2vec.front_end import count_frames
from speech_encoders.emotion2vec.masking import MaskKind, draw_masks
from speech_encoders.emotion2vec.modeling import Emotion2vecModel
from speech_encoders.emotion2vec.pretraining import (
    Emotion2vecForPreTraining,
    Emotion2vecStudentOutput,
)
from speech_encoders.emotion2vec.running import RunningStandard

_EPS = 1e-5


@dataclass(frozen=True, kw_only=True)
class DistillationSettings:
    """What is predicted from what.

    Attributes:
        mask: How hidden frames are drawn, see `masking`.
        mask_share: Share of the frames to hide.
        mask_length: Frames of a hidden block.
        num_clones: Masks of each clip; front end and teacher are computed once for all of them.
        top_blocks: Blocks, the last of the teacher, whose feed-forward outputs make the target.
        utterance: What predicts the utterance: the last extra token, the mean of all of them
            (``chunk``), the mean of the kept frames (``global``), or nothing.
        utterance_target: What it predicts, see above.
        frame_weight: Weight of the frame loss; 0 leaves it out.
        utterance_weight: Weight of the utterance loss, alpha in the paper.
        anchor_weight: Weight of what is measured, see `anchor`; 0 in the paper.
        tau_start: Share of the teacher that stays at the first step.
        tau_end: The same behind the anneal.
        tau_anneal: Share of the training in which it moves from one to the other, linearly.
    """

    mask: MaskKind = "blocks"
    mask_share: float = 0.5
    mask_length: int = 5
    num_clones: int = 8
    top_blocks: int = 8
    utterance: Literal["token", "chunk", "global", "none"] = "chunk"
    utterance_target: Literal["clips", "channels", "literal"] = "clips"
    frame_weight: float = 1.0
    utterance_weight: float = 1.0
    anchor_weight: float = 0.0
    tau_start: float = 0.999
    tau_end: float = 0.99999
    tau_anneal: float = 0.2

    def __post_init__(self) -> None:
        for name in ("num_clones", "top_blocks", "mask_length"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, got {getattr(self, name)}")
        if not 0 <= self.tau_start <= self.tau_end <= 1:
            raise ValueError(f"tau must rise within [0, 1], got {self.tau_start} to {self.tau_end}")
        if min(self.frame_weight, self.utterance_weight, self.anchor_weight) < 0:
            raise ValueError("weights of losses must be 0 or more")
        if self.frame_weight == 0 and (self.utterance_weight == 0 or self.utterance == "none"):
            raise ValueError("neither frames nor utterances are to be predicted; weigh one above 0")


class DistillationTargets(NamedTuple):
    """What the teacher hears.

    Attributes:
        frames: Target of every frame, (B, T, D).
        utterance: Mean over time and blocks of the feed-forward outputs, not normalised, (B, D).
    """

    frames: Tensor
    utterance: Tensor


class DistillationOutput(NamedTuple):
    """Loss of a batch and what is to be watched.

    Attributes:
        loss: Weighted sum to minimise.
        metrics: Losses and deviations by name; a deviation near zero is a collapse.
    """

    loss: Tensor
    metrics: dict[str, Tensor]


class OnlineDistillation(nn.Module):
    """Student and teacher in one module, a training objective.

    Args:
        student: The model to train.
        settings: What is predicted from what.

    Raises:
        ValueError: The model has fewer blocks than the targets are made of.
    """

    def __init__(self, student: Emotion2vecForPreTraining, settings: DistillationSettings) -> None:
        super().__init__()
        num_blocks = student.config.num_hidden_layers
        if settings.top_blocks > num_blocks:
            raise ValueError(
                f"targets of {settings.top_blocks} blocks need as many, the model has {num_blocks}"
            )
        self.settings = settings
        self.student = student
        self.teacher = make_teacher(student.emotion2vec)
        size = student.config.hidden_size
        self.standard = RunningStandard(size)
        self.anchor = AcousticAnchor(size) if settings.anchor_weight else None

    def train(self, mode: bool = True) -> "OnlineDistillation":
        """Sets the student's mode; the teacher hears without noise at all times."""
        super().train(mode)
        self.teacher.eval()
        return self

    def forward(self, waveforms: Tensor, seed: int) -> DistillationOutput:
        """Computes the loss of a batch.

        Args:
            waveforms: Clips of one length without padding, shape (B, S).
            seed: Of the masks.
        """
        settings = self.settings
        clips = F.layer_norm(waveforms, waveforms.shape[1:], eps=_EPS)
        frames = self.student.emotion2vec.front_end(clips)
        targets = compute_targets(self.teacher, frames.detach(), settings.top_blocks)
        masked = draw_masks(
            settings.mask,
            len(clips) * settings.num_clones,
            count_frames(clips.size(1)),
            share=settings.mask_share,
            length=settings.mask_length,
            generator=torch.Generator().manual_seed(seed),
        ).to(clips.device)
        output = self.student.predict(frames.repeat_interleave(settings.num_clones, dim=0), masked)
        compared = self._compare(output, targets, masked)
        if self.anchor is None:
            return compared
        heard = self._hear_utterance(output)
        losses = self.anchor(clips, output.predictions, heard, masked)
        metrics = {"anchor_frame_loss": losses.frames, "anchor_utterance_loss": losses.utterance}
        loss = compared.loss + settings.anchor_weight * (losses.frames + losses.utterance)
        told = {name: value.detach() for name, value in {**metrics, "loss": loss}.items()}
        return DistillationOutput(loss, {**compared.metrics, **told})

    def after_step(self, progress: float) -> None:
        """Lets the teacher follow the student; ``progress`` runs from 0 to 1 over the training."""
        update_teacher(self.teacher, self.student.emotion2vec, self.tau(progress))

    def tau(self, progress: float) -> float:
        """Returns the share of the teacher that stays."""
        settings = self.settings
        share = min(1.0, progress / settings.tau_anneal) if settings.tau_anneal else 1.0
        return settings.tau_start + share * (settings.tau_end - settings.tau_start)

    def _compare(
        self, output: Emotion2vecStudentOutput, targets: DistillationTargets, masked: Tensor
    ) -> DistillationOutput:
        settings = self.settings
        predictions = output.predictions.float()
        clones = targets.frames.repeat_interleave(settings.num_clones, dim=0)
        frame = distillation_distance(predictions[masked], clones[masked])
        heard = self._hear_utterance(output)
        goal = self._utterance_target(targets).repeat_interleave(settings.num_clones, dim=0)
        utterance = distillation_distance(heard, goal)
        loss = settings.frame_weight * frame
        if settings.utterance != "none":
            loss = loss + settings.utterance_weight * utterance
        metrics = {
            "loss": loss,
            "frame_loss": frame,
            "utterance_loss": utterance,
            "target_over_time": targets.frames.std(dim=1).mean(),
            "prediction_over_time": predictions.std(dim=1).mean(),
            "target_over_clips": _over_clips(targets.utterance),
            "prediction_over_clips": _over_clips(heard[:: settings.num_clones]),
        }
        return DistillationOutput(loss, {name: value.detach() for name, value in metrics.items()})

    def _hear_utterance(self, output: Emotion2vecStudentOutput) -> Tensor:
        """Gives what predicts the utterance: -> (B, D)."""
        if self.settings.utterance == "token":
            return output.extra_tokens[:, -1].float()
        states = output.last_hidden_state
        if self.settings.utterance == "chunk":
            states = output.extra_tokens
        return states.float().mean(dim=1)

    @torch.no_grad()
    def _utterance_target(self, targets: DistillationTargets) -> Tensor:
        """Normalises what is to be predicted of the utterance: -> (B, D)."""
        pooled = targets.utterance
        if self.settings.utterance_target == "literal":
            return targets.frames.mean(dim=1)
        if self.settings.utterance_target == "channels":
            return F.layer_norm(pooled, pooled.shape[-1:], eps=_EPS)
        return self.standard(pooled, follows=self.training)


def make_teacher(model: Emotion2vecModel) -> Emotion2vecModel:
    """Copies what the teacher has of its own: all but the front end."""
    front_end, model.front_end = model.front_end, None  # pyright: ignore[reportAttributeAccessIssue]
    teacher = copy.deepcopy(model)
    model.front_end = front_end
    return teacher.eval().requires_grad_(requires_grad=False)


@torch.no_grad()
def update_teacher(teacher: Emotion2vecModel, student: Emotion2vecModel, tau: float) -> None:
    """Moves every weight of the teacher towards the student's: tau * teacher + (1 - tau) * it."""
    weights = dict(student.named_parameters())
    ours = dict(teacher.named_parameters())
    torch._foreach_lerp_(  # pyright: ignore[reportPrivateImportUsage]
        list(ours.values()), [weights[name].float() for name in ours], 1.0 - tau
    )


@torch.no_grad()
def compute_targets(
    teacher: Emotion2vecModel, frames: Tensor, top_blocks: int
) -> DistillationTargets:
    """Hears whole clips: frames of the front end (B, T, D) -> targets."""
    outputs = teacher.encode(frames + teacher.positional(frames), with_feed_forward=True)
    num_tokens = teacher.config.num_extra_tokens
    layers = [f[:, num_tokens:].float() for f in outputs.feed_forward[-top_blocks:]]
    normed = [F.instance_norm(f.transpose(1, 2), eps=_EPS).transpose(1, 2) for f in layers]
    utterance = torch.stack([layer.mean(dim=1) for layer in layers]).mean(dim=0)
    return DistillationTargets(torch.stack(normed).mean(dim=0), utterance)


def distillation_distance(predictions: Tensor, targets: Tensor) -> Tensor:
    """Squared distance over the root of the size, mean over rows: (N, D), (N, D) -> scalar."""
    squares = (predictions - targets).square().sum(dim=-1)
    return squares.mean() / math.sqrt(predictions.size(-1))


def _over_clips(utterances: Tensor) -> Tensor:
    """Deviation over clips as a share of the root mean square: (B, D) -> scalar."""
    deviation = utterances.var(dim=0, correction=0).mean().sqrt()
    return deviation / utterances.square().mean().sqrt().clamp_min(1e-12)
