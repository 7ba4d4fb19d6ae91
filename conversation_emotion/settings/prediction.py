"""Settings of recognition and prediction in a conversation."""

from dataclasses import dataclass, field

from conversation_emotion.settings.corpus import CorpusSettings
from conversation_emotion.settings.features import FeatureSettings
from conversation_emotion.settings.models import ConversationModelSettings
from conversation_emotion.settings.recognition import check_registered_name
from conversation_emotion.settings.training import TrainingSettings


@dataclass(frozen=True, kw_only=True)
class EPCSettings:
    """Settings of one emotion-prediction run."""

    data: CorpusSettings = field(default_factory=CorpusSettings)

    features: FeatureSettings = field(default_factory=FeatureSettings)

    model: ConversationModelSettings = field(default_factory=ConversationModelSettings)

    training: TrainingSettings = field(default_factory=lambda: TrainingSettings(learning_rate=5e-4))

    register: str | None = None
    """Name in MLflow's model registry under which to register the model of the training that is
    best on valid; experiments.predict uses it."""

    def __post_init__(self) -> None:
        self.features.refuse_unused()
        check_registered_name(self.register)
        if self.register is not None and self.model.history_labels == "gold":
            raise ValueError(
                "--register needs --history-labels none: in use the past has no labels"
            )
