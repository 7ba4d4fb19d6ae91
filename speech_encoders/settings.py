"""Sizes of emotion2vec and settings of the pre-training objectives, importable without PyTorch."""

from dataclasses import dataclass
from typing import Literal

Size = Literal["mini", "base", "large"]
"""Sizes of emotion2vec: 8, 94 or 165 million parameters."""

MaskKind = Literal["blocks", "spans"]
"""Ways to draw masks: exactly the share, or data2vec's overlapping spans."""

NegativeSource = Literal["same", "other"]
"""Where negatives come from: the target's own clip, or the other clips of the batch."""


@dataclass(frozen=True, kw_only=True)
class ContrastSettings:
    """Settings of contrastive predictive coding."""

    negatives: int = 50
    """Frames that each coming frame is distinguished from."""

    negatives_from: NegativeSource = "same"
    """Where they come from: the same clip, or the other clips of the batch."""

    temperature: float = 1.0
    """Divides the inner products of predictions and frames."""

    def __post_init__(self) -> None:
        if self.negatives < 1:
            raise ValueError(f"--negatives must be 1 or more, got {self.negatives}")
        if self.temperature <= 0:
            raise ValueError(f"--temperature must be above 0, got {self.temperature:g}")


@dataclass(frozen=True, kw_only=True)
class DistillationSettings:
    """Settings of emotion2vec's online distillation."""

    mask: MaskKind = "blocks"
    """How masked frames are drawn: exactly the share, or data2vec's overlapping spans."""

    mask_share: float = 0.5
    """Share of the frames to mask."""

    mask_length: int = 5
    """Frames of a masked block."""

    num_clones: int = 8
    """Masks of each clip; front end and teacher are computed once for all of them."""

    top_blocks: int = 8
    """Blocks of the teacher whose mean is the target, the last ones."""

    utterance: Literal["token", "chunk", "global", "none"] = "chunk"
    """What predicts the utterance: one token, the mean of ten, the mean of the frames, nothing."""

    utterance_target: Literal["clips", "channels", "literal"] = "clips"
    """Its target, pooled before the norm over time, standardised over clips or channels; literal is
    pooled after it, zero for every clip, as in public code."""

    frame_weight: float = 1.0
    """Weight of the frame loss; 0 leaves it out."""

    utterance_weight: float = 1.0
    """Weight of the utterance loss, alpha in the paper."""

    anchor_weight: float = 0.0
    """Weight of predicting spectrum and pitch as well, our addition that repairs cold starts of
    small models; 0 in the paper."""

    tau_start: float = 0.999
    """Share of the teacher's weights that is kept at the first update."""

    tau_end: float = 0.99999
    """The same after --tau-anneal."""

    tau_anneal: float = 0.2
    """Share of the training in which it moves from one to the other, linearly."""

    def __post_init__(self) -> None:
        for name in ("num_clones", "top_blocks", "mask_length"):
            if (number := getattr(self, name)) < 1:
                raise ValueError(f"--{name.replace('_', '-')} must be 1 or more, got {number}")
        if not 0 <= self.tau_start <= self.tau_end <= 1:
            raise ValueError(
                "--tau-start and --tau-end must rise within [0, 1], got "
                f"{self.tau_start} to {self.tau_end}"
            )
        for name in ("frame_weight", "utterance_weight", "anchor_weight"):
            if (weight := getattr(self, name)) < 0:
                raise ValueError(f"--{name.replace('_', '-')} must be 0 or more, got {weight}")
        if self.frame_weight == 0 and (self.utterance_weight == 0 or self.utterance == "none"):
            raise ValueError(
                "neither frames nor utterances are predicted; set --frame-weight or "
                "--utterance-weight above 0"
            )
