"""Online distillation (Ma et al., 2024): a masked student predicts a teacher, its moving average.

The student encodes about half of the frames. The teacher, an exponential moving average of the
student, encodes all of them; the student predicts its outputs at every masked frame (frame loss)
and for the clip as a whole (utterance loss). The convolutional front end belongs to the student
alone; the teacher gets its frames.

Where public code and paper leave room, this is our choice:

- The target of a frame is the mean over the top blocks of their feed-forward outputs, each
  normalised over time. Pooled over time, such a target is zero for every clip. The target of an
  utterance is therefore pooled *before* that norm, then standardised over clips by running
  statistics, so that a constant prediction explains none of it; ``channels`` normalises it over
  channels instead, ``literal`` is the zero of public code, kept for comparison.
- Both losses are means, over masked frames and over clips. In public code the utterance loss is a
  sum over clips, whose weight grows with the batch.
"""

import copy
import math
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from speech_encoders.contract import ObjectiveLoss
from speech_encoders.emotion2vec.anchor import (
    NUM_ACOUSTICS,
    Acoustics,
    Anchor,
    RunningStandard,
)
from speech_encoders.emotion2vec.feature_extraction import Emotion2vecFeatureExtractor
from speech_encoders.emotion2vec.masking import draw_masks
from speech_encoders.emotion2vec.modeling import Emotion2vecModel
from speech_encoders.emotion2vec.pretraining import (
    Emotion2vecForPreTraining,
    Emotion2vecStudentOutput,
)
from speech_encoders.settings import DistillationSettings

_EPS = 1e-5

COLD_LEARNING_RATE = 7.5e-4
"""Step size of data2vec 2.0 (Baevski et al., 2023), whose training emotion2vec's continues."""

WARM_LEARNING_RATE = 7.5e-5
"""Step size of emotion2vec (Ma et al., 2024), which starts from data2vec 2.0."""


class DistillationTargets(NamedTuple):
    """Outputs of the teacher.

    Attributes:
        frames: Target of every frame, (B, T, D).
        utterance: Mean over time and blocks of the feed-forward outputs, not normalised, (B, D).
    """

    frames: Tensor
    utterance: Tensor


class OnlineDistillation(nn.Module):
    """Student and teacher in one module, a training objective.

    Args:
        student: Model to train.
        settings: What it predicts.
        learning_rate: Peak step size.
        num_states: Hidden states of a frame of the frozen teacher, those of all its layers.

    Attributes:
        learning_rate: Peak step size.
        no_decay: Last names of weights that do not decay, besides biases and norms.

    Raises:
        ValueError: The model has fewer blocks than the targets are made of.
    """

    no_decay: tuple[str, ...] = ("alibi_scale",)

    def __init__(
        self,
        student: Emotion2vecForPreTraining,
        settings: DistillationSettings,
        learning_rate: float = COLD_LEARNING_RATE,
        num_states: int = 0,
    ) -> None:
        super().__init__()
        num_blocks = student.config.num_hidden_layers
        if settings.distils and settings.top_blocks > num_blocks:
            raise ValueError(
                f"targets of {settings.top_blocks} blocks need as many, the model has {num_blocks}"
            )
        self.settings = settings
        self.learning_rate = learning_rate
        self.student = student
        # Where only a frozen encoder is predicted, there is no moving average.
        self.teacher = make_teacher(student.emotion2vec) if settings.distils else None
        size = student.config.hidden_size
        self.standard = RunningStandard(size)
        self.acoustics = Acoustics()
        self.anchor = Anchor(size, NUM_ACOUSTICS) if settings.anchor_weight else None
        self.frozen = Anchor(size, num_states) if num_states else None

    def train(self, mode: bool = True) -> "OnlineDistillation":
        """Sets the student's mode; the teacher never has dropout."""
        super().train(mode)
        if self.teacher is not None:
            self.teacher.eval()
        return self

    def forward(self, waveforms: Tensor, seed: int, states: Tensor | None = None) -> ObjectiveLoss:
        """Computes the loss of a batch; a deviation near zero among its metrics is a collapse.

        Args:
            waveforms: Clips of one length without padding, shape (B, S).
            seed: Of the masks.
            states: Hidden states of the frozen teacher from the first sample on, (B, T', L, D),
                where there is one; frames beyond the student's are not used.

        Raises:
            ValueError: The teacher has fewer frames than the student.
        """
        settings = self.settings
        clips = F.layer_norm(waveforms, waveforms.shape[1:], eps=_EPS)
        frames = self.student.emotion2vec.front_end(clips)
        masked = self._draw_masks(frames, seed)
        num_clones = len(masked) // len(clips)
        output = self.student.predict(frames.repeat_interleave(num_clones, dim=0), masked)
        loss, metrics = frames.new_zeros(()), {}
        if self.teacher is not None:
            targets = compute_targets(self.teacher, frames.detach(), settings.top_blocks)
            loss, metrics = self._compare(output, targets, masked)
        if self.anchor is not None:
            predicted, utterances = output.predictions[masked], self._utterance(output)
            found = self.anchor(self.acoustics(clips), masked, predicted, utterances)
            loss = loss + settings.anchor_weight * sum(found)
            metrics |= _name("anchor", found)
        if self.frozen is not None:
            # From the output that features are taken from, where there is one; a decoder could
            # keep to itself what is asked of it.
            encoded = output.last_hidden_state
            given = _align(states, frames)
            found = self.frozen(given, ~masked, encoded.flatten(0, 1), encoded.float().mean(dim=1))
            loss = loss + settings.teacher_weight * sum(found)
            metrics |= _name("teacher", found)
        metrics = {name: value.detach() for name, value in {"loss": loss, **metrics}.items()}
        return ObjectiveLoss(loss, metrics)

    def _draw_masks(self, frames: Tensor, seed: int) -> Tensor:
        """Draws masks for clips: (B, T, D) -> (B * k, T); a frozen teacher alone masks nothing."""
        settings = self.settings
        if not settings.distils:
            return torch.zeros(frames.shape[:2], dtype=torch.bool, device=frames.device)
        return draw_masks(
            settings.mask,
            len(frames) * settings.num_clones,
            frames.size(1),
            share=settings.mask_share,
            length=settings.mask_length,
            generator=torch.Generator().manual_seed(seed),
        ).to(frames.device)

    def after_step(self, progress: float) -> None:
        """Moves the teacher towards the student; ``progress`` rises from 0 to 1 in the training."""
        if self.teacher is not None:
            update_teacher(self.teacher, self.student.emotion2vec, self.tau(progress))

    def tau(self, progress: float) -> float:
        """Returns the share of the teacher's weights that is kept."""
        settings = self.settings
        share = min(1.0, progress / settings.tau_anneal) if settings.tau_anneal else 1.0
        return settings.tau_start + share * (settings.tau_end - settings.tau_start)

    @property
    def least_deviations(self) -> dict[str, float]:
        """Deviations below which training has collapsed, over time as in data2vec 2.0."""
        settings = self.settings
        least = {"target_over_time": 0.1, "target_over_clips": 1e-3}
        if settings.frame_weight:
            least["prediction_over_time"] = 0.01
        # The literal target is the same for all clips, so that equal predictions are right.
        predicts_clips = settings.utterance != "none" and settings.utterance_target != "literal"
        if predicts_clips and settings.utterance_weight:
            least["prediction_over_clips"] = 1e-3
        return least

    def save(self, folder: Path) -> None:
        """Writes the student with its decoder, and the feature extractor."""
        self.student.save_pretrained(folder)
        Emotion2vecFeatureExtractor().save_pretrained(folder)

    def _compare(
        self, output: Emotion2vecStudentOutput, targets: DistillationTargets, masked: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Returns the loss of frames and utterance, and what else is reported."""
        settings = self.settings
        predictions = output.predictions.float()
        clones = targets.frames.repeat_interleave(settings.num_clones, dim=0)
        frame = distillation_distance(predictions[masked], clones[masked])
        utterances = self._utterance(output)
        goal = self._utterance_target(targets).repeat_interleave(settings.num_clones, dim=0)
        utterance = distillation_distance(utterances, goal)
        loss = settings.frame_weight * frame
        if settings.utterance != "none":
            loss = loss + settings.utterance_weight * utterance
        return loss, {
            "frame_loss": frame,
            "utterance_loss": utterance,
            "target_over_time": targets.frames.std(dim=1).mean(),
            "prediction_over_time": predictions.std(dim=1).mean(),
            "target_over_clips": _over_clips(targets.utterance),
            "prediction_over_clips": _over_clips(utterances[:: settings.num_clones]),
        }

    def _utterance(self, output: Emotion2vecStudentOutput) -> Tensor:
        """Pools the student's outputs to its prediction of the utterance: -> (B, D)."""
        if self.settings.utterance == "token":
            return output.extra_tokens[:, -1].float()
        states = output.last_hidden_state
        if self.settings.utterance == "chunk":
            states = output.extra_tokens
        return states.float().mean(dim=1)

    @torch.no_grad()
    def _utterance_target(self, targets: DistillationTargets) -> Tensor:
        """Returns the normalised target of the utterance: -> (B, D)."""
        pooled = targets.utterance
        if self.settings.utterance_target == "literal":
            return targets.frames.mean(dim=1)
        if self.settings.utterance_target == "channels":
            return F.layer_norm(pooled, pooled.shape[-1:], eps=_EPS)
        return self.standard(pooled, follows=self.training)


def _name(part: str, losses: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    """Names the losses of frames and utterances."""
    return {f"{part}_frame_loss": losses[0], f"{part}_utterance_loss": losses[1]}


def _align(states: Tensor | None, frames: Tensor) -> Tensor:
    """Gives every frame its states: (B, T', L, D), (B, T, H) -> (B, T, L * D).

    Both have a frame every 20 ms. A frame of a wav2vec 2.0 reads the same 400 samples as the
    student's, that of a Whisper is centred 12.5 ms before them.
    """
    num_frames = frames.size(1)
    if states is None or states.size(1) < num_frames:
        found = "none" if states is None else f"{states.size(1)} frames"
        raise ValueError(
            f"the teacher's hidden states of a clip of {num_frames} frames are {found}; extract "
            "them from the same clip"
        )
    return states[:, :num_frames].flatten(2).to(frames.device, torch.float32)


def make_teacher(model: Emotion2vecModel) -> Emotion2vecModel:
    """Copies the model without its front end."""
    front_end, model.front_end = model.front_end, None  # pyright: ignore[reportAttributeAccessIssue]
    teacher = copy.deepcopy(model)
    model.front_end = front_end
    return teacher.eval().requires_grad_(requires_grad=False)


@torch.no_grad()
def update_teacher(teacher: Emotion2vecModel, student: Emotion2vecModel, tau: float) -> None:
    """Moves every weight of the teacher: tau * teacher + (1 - tau) * student.

    In float32: near the end 1 - tau is 1e-5, below the precision of half-precision weights, so
    that the teacher would no longer move.
    """
    weights = dict(student.named_parameters())
    ours = dict(teacher.named_parameters())
    torch._foreach_lerp_(  # pyright: ignore[reportPrivateImportUsage]
        list(ours.values()), [weights[name].float() for name in ours], 1.0 - tau
    )


@torch.no_grad()
def compute_targets(
    teacher: Emotion2vecModel, frames: Tensor, top_blocks: int
) -> DistillationTargets:
    """Encodes whole clips: frames of the front end (B, T, D) -> targets.

    The instance norm over time gives every channel of every block the same weight in the mean, and
    a constant output the target zero (Baevski et al., 2023).
    """
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
