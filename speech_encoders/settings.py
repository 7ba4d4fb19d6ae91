"""Sizes of emotion2vec and settings of the pre-training objectives, importable without PyTorch."""

import re
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

    teacher: str | None = None
    """Frozen encoder whose hidden states the student also predicts, of 50 frames a second; any that
    --speech-encoder takes. With --frame-weight 0 --utterance none it is the only teacher: whole
    clips are encoded, nothing is masked."""

    teacher_layers: str = "all"
    """Its layers to predict, counted from 0: all, one (3), or neighbours (2-4)."""

    teacher_weight: float = 1.0
    """Weight of predicting them; 0 leaves the teacher out."""

    tau_start: float = 0.999
    """Share of the teacher's weights that is kept at the first update."""

    tau_end: float = 0.99999
    """The same after --tau-anneal."""

    tau_anneal: float = 0.2
    """Share of the training in which it moves from one to the other, linearly."""

    def __post_init__(self) -> None:
        for name in ("num_clones", "top_blocks", "mask_length"):
            if (number := getattr(self, name)) < 1:
                raise ValueError(f"{_flag(name)} must be 1 or more, got {number}")
        if not 0 <= self.tau_start <= self.tau_end <= 1:
            raise ValueError(
                "--tau-start and --tau-end must rise within [0, 1], got "
                f"{self.tau_start} to {self.tau_end}"
            )
        for name in ("frame_weight", "utterance_weight", "anchor_weight", "teacher_weight"):
            if (weight := getattr(self, name)) < 0:
                raise ValueError(f"{_flag(name)} must be 0 or more, got {weight}")
        self._check_teacher()

    def _check_teacher(self) -> None:
        parse_layers(self.teacher_layers)
        if self.teacher is None:
            self._refuse("has no effect without --teacher", "teacher_layers", "teacher_weight")
        if self.distils:
            return
        if not self.has_teacher:
            raise ValueError(
                "neither frames nor utterances are predicted; set --frame-weight or "
                "--utterance-weight above 0, or pass a --teacher"
            )
        alone = "has no effect where --teacher alone is predicted, whose clips are not masked"
        self._refuse(alone, *_OF_DISTILLATION)

    def _refuse(self, why: str, *names: str) -> None:
        for name in names:
            if (value := getattr(self, name)) != getattr(DistillationSettings, name):
                raise ValueError(f"{_flag(name)} {value} {why}; leave it out")

    @property
    def distils(self) -> bool:
        """Whether outputs of the moving average are predicted."""
        predicts_utterance = self.utterance != "none" and self.utterance_weight > 0
        return self.frame_weight > 0 or predicts_utterance

    @property
    def has_teacher(self) -> bool:
        """Whether hidden states of a frozen encoder are predicted."""
        return self.teacher is not None and self.teacher_weight > 0


_OF_DISTILLATION = (
    *("mask", "mask_share", "mask_length", "num_clones", "top_blocks", "utterance_target"),
    *("anchor_weight", "tau_start", "tau_end", "tau_anneal"),
)
"""Settings that nothing but online distillation reads."""


def parse_layers(layers: str) -> tuple[int, int] | None:
    """Returns the first and the last of the layers, None for all.

    Raises:
        ValueError: The text is neither ``all``, a number, nor two numbers that rise.
    """
    if layers == "all":
        return None
    found = re.fullmatch(r"(\d+)(?:-(\d+))?", layers)
    first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
    if first > last:
        raise ValueError(
            f"--teacher-layers must be all, a layer or a range such as 2-4, got {layers!r}"
        )
    return first, last


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
