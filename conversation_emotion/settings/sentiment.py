"""Settings of sentiment: which rows its table has, and how each is trained."""

from dataclasses import dataclass, field

from conversation_emotion.settings.corpus import CorpusSettings
from conversation_emotion.settings.features import (
    ONE_LAYER,
    FeatureSettings,
    LayerMixture,
    Layers,
    Modality,
    StorageSettings,
    check_encoders,
)
from conversation_emotion.settings.flags import (
    check_at_least,
    check_share,
    check_unique,
    pick,
    refuse_given,
)
from conversation_emotion.settings.models import DialogueModel, LinearModelSettings
from conversation_emotion.settings.recognition import RegistrySettings
from conversation_emotion.settings.training import TrainingSettings


@dataclass(frozen=True, kw_only=True)
class ModalitySettings(StorageSettings):
    """Modalities and encoders: the rows of the table."""

    modality: tuple[Modality, ...] = ("speech", "text", "speech+text")
    """Modalities to compare, a row each."""

    speech_encoder: tuple[str, ...] = ("emotion2vec-mini",)
    """Speech encoders to compare, a row each: fbank, mfcc, egemaps, emotion2vec-mini, or
    checkpoints by hub id or folder."""

    text_encoder: str = "all-MiniLM-L6-v2"
    """Sentence-transformers model, or a BERT-like one (tokens:NAME): hub id or folder."""

    speech_layers: Layers = "last-4"
    """The last layer, the mean of the last four, a number, or a learned sum of all; fbank, mfcc and
    egemaps have but the last."""

    text_layers: Layers = "last-4"
    """As --speech-layers, for the text encoder."""

    layer_mixture: LayerMixture = "sum"
    """How several layers become one: a learned weighted sum, or concatenated."""

    def __post_init__(self) -> None:
        check_encoders(self.speech_encoder)
        if not self.modality:
            raise ValueError("--modality needs one or more")
        check_unique("--modality", self.modality)

    def for_row(self) -> FeatureSettings:
        """Returns the feature settings of a row, which has one modality and one encoder."""
        (modality,), (encoder,) = self.modality, self.speech_encoder
        return pick(
            FeatureSettings,
            self,
            modality=modality,
            speech_encoder=encoder,
            speech_layers="last" if encoder in ONE_LAYER else self.speech_layers,
            speech_pooling="mean",
        )


@dataclass(frozen=True, kw_only=True)
class SentimentSettings(RegistrySettings, LinearModelSettings):
    """Settings of one table of sentiment."""

    data: CorpusSettings = field(default_factory=CorpusSettings)

    features: ModalitySettings = field(default_factory=ModalitySettings)

    training: TrainingSettings = field(
        default_factory=lambda: TrainingSettings(epochs=100, patience=20, class_weights="none")
    )

    regression: bool = False
    """Predict the number from -3 to 3 by least squares; scores are Pearson's r, error and CCC."""

    history: int = 0
    """Turns of context; 0 classifies each utterance by itself, with the linear head."""

    dialogue_model: DialogueModel = "hierarchical"
    """With context: Shi et al. 2023, Shi et al. 2020, or Shahriar and Kim 2019."""

    state_dropout: float = 0.5
    """With context: on the inputs of the GRUs and before the head."""

    def __post_init__(self) -> None:
        if self.data.labels not in ("auto", "all"):
            raise ValueError(
                f"--labels {self.data.labels} are emotions; sentiment has auto, negative and "
                "positive, or all, neutral as well"
            )
        super().__post_init__()
        LinearModelSettings.__post_init__(self)
        check_at_least(self, 0, "history")
        check_share(self, "state_dropout")
        self._refuse_unused()
        if self.register is not None:
            self._check_registered()

    def _check_registered(self) -> None:
        """Raises a `ValueError` where the table has no model to register, or several."""
        if self.regression:
            raise ValueError("--register keeps a model of classes; leave out --regression")
        modalities, encoders = self.features.modality, self.features.speech_encoder
        if len(modalities) > 1:
            raise ValueError(f"--register needs one --modality, got {' '.join(modalities)}")
        if len(encoders) > 1 and modalities != ("text",):
            raise ValueError(f"--register needs one --speech-encoder, got {len(encoders)}")

    def _refuse_unused(self) -> None:
        """Raises a `ValueError` where a setting of another variant was given."""
        if not self.history:
            refuse_given(self, "needs --history of 1 or more", "dialogue_model", "state_dropout")
        if self.regression and self.training.class_weights != "none":
            raise ValueError(
                "--class-weights has no effect with --regression, which has no classes"
            )
        if self.regression:
            why = "has no effect with --regression, which has no classes"
            names = ("reweight_groups", "certainty", "loss", "sampling", "mixup")
            refuse_given(self.training, why, *names)
        if self.regression and self.data.labels != "auto":
            raise ValueError("--labels has no effect with --regression, which has no classes")
