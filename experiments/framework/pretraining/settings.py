"""Settings of what is pre-trained: those of the objective, and of the model."""

from dataclasses import dataclass

from speech_encoders.settings import ContrastSettings, DistillationSettings, Size


@dataclass(frozen=True, kw_only=True)
class CpcSettings(ContrastSettings):
    """Settings of the model and its objective."""

    norms: bool = True
    """Normalise the channels of each convolution; Li et al. mention no norms, but without them
    training is slow to begin."""


@dataclass(frozen=True, kw_only=True)
class Emotion2vecSettings(DistillationSettings):
    """Settings of the model and its objective."""

    size: Size = "mini"
    """Size of the model: 8, 94 or 165 million parameters."""

    start: str | None = None
    """Initial weights: a folder that this command wrote, a data2vec-audio checkpoint (folder or hub
    id), or a released .pt of emotion2vec or data2vec 2.0; none is a cold start."""

    frozen_convolutions: int = 0
    """Lowest of the seven convolutions to keep as --start has them; three save a third of the
    computation."""

    dropout: float = 0.1
    """Of the student: inputs, attention, outputs of each block, and before the decoder."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.frozen_convolutions <= 7:
            raise ValueError(
                f"--frozen-convolutions must lie in [0, 7], got {self.frozen_convolutions}"
            )
        if self.frozen_convolutions and self.start is None:
            raise ValueError(
                f"--frozen-convolutions {self.frozen_convolutions} would keep random weights; "
                "pass --start with a checkpoint"
            )
