"""Settings of prediction in conversation as a benchmark: how far ahead, and what is left out."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

from conversation_emotion.settings.corpus import CorpusSettings
from conversation_emotion.settings.features import FeatureSettings
from conversation_emotion.settings.flags import check_unique, refuse_given
from conversation_emotion.settings.models import ConversationModelSettings
from conversation_emotion.settings.training import TrainingSettings

Removal = Literal["context", "order", "speakers", "speech", "text"]
"""What a model can be without: the turns before the latest, their order, who spoke, a modality."""

Retrained = Literal["all", "gold", Removal]


def list_removals(modalities: Sequence[str]) -> tuple[Removal, ...]:
    """Lists what a model of some modalities can be without."""
    absent = {"speech", "text"} - {*modalities}
    return tuple(one for one in get_args(Removal) if one not in absent)


@dataclass(frozen=True, kw_only=True)
class EPCBenchmarkSettings:
    """Settings of the benchmark of emotion prediction in conversation."""

    data: CorpusSettings = field(default_factory=CorpusSettings)

    features: FeatureSettings = field(default_factory=FeatureSettings)

    model: ConversationModelSettings = field(default_factory=ConversationModelSettings)

    training: TrainingSettings = field(default_factory=lambda: TrainingSettings(learning_rate=5e-4))

    horizons: tuple[int, ...] = (1, 2, 3, 4)
    """How many turns ahead to predict, a training for each."""

    retrain: tuple[Retrained, ...] = ("all",)
    """What is trained beside the model at each horizon: gold is given the emotions of the past, an
    upper reference; the others lack the context before the latest turn, its order, who spoke, or a
    modality. all is every one that the modality has; with none the model alone is trained."""

    def __post_init__(self) -> None:
        self.features.refuse_unused()
        if not self.horizons or min(self.horizons) < 1:
            given = " ".join(map(str, self.horizons)) or "none"
            raise ValueError(f"--horizons must be 1 or more turns ahead, got {given}")
        check_unique("--horizons", self.horizons)
        check_unique("--retrain", self.retrain)
        refuse_given(self.model, "is for one horizon: this command takes --horizons", "horizon")
        why = "makes every row an upper reference: this command has --retrain gold"
        refuse_given(self.model, why, "history_labels")
        if absent := [name for name in self.retrain if name not in ("all", "gold", *self.removals)]:
            raise ValueError(
                f"--retrain {absent[0]}: --modality {self.features.modality} has "
                f"{', '.join(self.removals)}"
            )

    @property
    def removals(self) -> tuple[Removal, ...]:
        """What the model can be without."""
        return list_removals(self.features.modalities())

    @property
    def trainings(self) -> tuple[tuple[Retrained, ...], ...]:
        """What is trained at each horizon, as `retrain` of a row: the model, and one for each."""
        names = ("gold", *self.removals) if "all" in self.retrain else self.retrain
        return ((), *((name,) for name in names))

    def for_row(self, horizon: int, *retrain: Retrained) -> "EPCBenchmarkSettings":
        """Returns the settings of one training: of the model, or of what is trained beside it."""
        return replace(self, horizons=(horizon,), retrain=retrain)

    def model_of_row(self) -> ConversationModelSettings:
        """Returns the model of the one training."""
        history_labels = "gold" if self.retrain == ("gold",) else "none"
        return replace(self.model, horizon=self.horizons[0], history_labels=history_labels)
