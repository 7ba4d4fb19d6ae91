"""Settings of conversation models as commands declare them, until tasks take their place."""

from typing import Literal, Protocol

from conversation_emotion.models.dialogue import DialogueModel
from conversation_emotion.models.fusion import Fusion
from conversation_emotion.settings.corpus import CorpusSettings
from conversation_emotion.settings.features import FeatureSettings
from conversation_emotion.settings.training import TrainingSettings
from conversation_emotion.training.fit import FitSettings


class ConversationConfig(Protocol):
    """What a conversation experiment has to say; `experiments.epc.EPCConfig` explains each."""

    @property
    def data(self) -> CorpusSettings: ...
    @property
    def features(self) -> FeatureSettings: ...
    @property
    def training(self) -> TrainingSettings: ...
    @property
    def horizon(self) -> int: ...
    @property
    def history(self) -> int: ...
    @property
    def history_labels(self) -> Literal["none", "gold"]: ...
    @property
    def dialogue_model(self) -> DialogueModel: ...
    @property
    def fusion(self) -> Fusion: ...
    @property
    def hidden_size(self) -> int: ...
    @property
    def num_layers(self) -> int: ...
    @property
    def dropout(self) -> float: ...
    @property
    def input_dropout(self) -> float: ...
    @property
    def recognition_weight(self) -> float: ...
    @property
    def emotion_weight(self) -> float: ...
    @property
    def learn_from(self) -> Literal["judged", "every"]: ...


def fit_settings(
    training: TrainingSettings, *, recognition_weight: float = 0.0, emotion_weight: float = 0.0
) -> FitSettings:
    """Collects what `fit` needs; the weights are those of the auxiliary tasks."""
    return FitSettings(
        epochs=training.epochs,
        updates=training.updates,
        evaluate_every=training.evaluate_every,
        patience=training.patience,
        select_by="uar" if training.select_by == "auto" else training.select_by,  # type: ignore[arg-type]
        optimizer=training.optimizer,
        schedule=training.schedule,
        learning_rate=training.learning_rate,
        weight_decay=training.weight_decay,
        recognition_weight=recognition_weight,
        emotion_weight=emotion_weight,
        average_best=training.average_best,
    )
