"""Settings of dimensional emotion: encoders, recogniser, loss, and CPC's pre-training in a fold."""

from dataclasses import dataclass, field

from conversation_emotion.settings.corpus import CorpusSettings
from conversation_emotion.settings.features import (
    FeatureSettings,
    Layers,
    StorageSettings,
    check_encoders,
)
from conversation_emotion.settings.flags import check_at_least, check_share, pick, refuse_given
from conversation_emotion.settings.training import FitSettings

END_TO_END, MINI_CPC = "end-to-end", "mini-cpc"
"""Rows that are no frozen encoder."""


@dataclass(frozen=True, kw_only=True)
class RatingSettings(StorageSettings):
    """Inputs, recogniser and loss."""

    speech_encoder: tuple[str, ...] = ("mfcc",)
    """Rows of the table: end-to-end, mini-cpc, or encoders by name, hub id or folder."""

    speech_layers: Layers = "last"
    """Layer to use: the last, the mean of the last four, a number, or a learned sum of all."""

    stride: int = 4
    """Frames averaged to one before the attention; 1 as published, at many times the cost."""

    dropout: float = 0.2
    """After each of the two layers."""

    loss_weights: tuple[float, float, float] = (1 / 3, 1 / 3, 1 / 3)
    """Weights of activation, valence and dominance in the loss; those of the paper are unknown."""

    def __post_init__(self) -> None:
        check_encoders(self.speech_encoder, concatenated=False)
        check_at_least(self, 1, "stride")
        check_share(self, "dropout")
        if min(self.loss_weights) < 0 or not sum(self.loss_weights):
            raise ValueError("--loss-weights must be 0 or more, and one of them above 0")

    def features_of(self, name: str) -> FeatureSettings:
        """Returns the features of one of the encoders; an encoder that is trained gets samples."""
        return pick(
            FeatureSettings,
            self,
            modality="speech",
            speech_encoder="samples" if name == END_TO_END else name,
            speech_pooling="frames",
            layer_mixture="sum",
        )


@dataclass(frozen=True, kw_only=True)
class MiniSettings:
    """How mini-cpc is pre-trained on each fold."""

    mini_steps: int = 300
    """Updates of the pre-training on each train part."""

    mini_crop_seconds: float = 2.0
    """Length of its clips, 10 in the paper."""

    mini_clips: int = 16
    """Clips of an update."""

    def __post_init__(self) -> None:
        check_at_least(self, 1, "mini_steps", "mini_clips")
        check_at_least(self, 0.1, "mini_crop_seconds")


@dataclass(frozen=True, kw_only=True)
class DimensionalSettings:
    """Settings of one comparison of encoders."""

    data: CorpusSettings = field(default_factory=CorpusSettings)

    features: RatingSettings = field(default_factory=RatingSettings)

    mini: MiniSettings = field(default_factory=MiniSettings)

    training: FitSettings = field(
        default_factory=lambda: FitSettings(
            optimizer="adam",
            learning_rate=2e-4,
            weight_decay=1e-5,
            batch_size=64,
            patience=15,
            average_best=1,
        )
    )

    def __post_init__(self) -> None:
        refuse_given(self.training, "is of classes, and ratings have none", "certainty")
        if MINI_CPC not in self.features.speech_encoder and self.mini != MiniSettings():
            raise ValueError(
                "--mini-... settings have an effect with --speech-encoder mini-cpc alone"
            )
