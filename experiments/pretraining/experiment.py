"""What both pre-training commands do with their settings; imports PyTorch only when it does it."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from conversation_emotion.settings.pretraining import PretrainingSettings

if TYPE_CHECKING:
    import optuna

    from conversation_emotion.evaluation.metrics import Interval
    from conversation_emotion.pretraining.contract import Objective
    from conversation_emotion.tracker import Memory, Validation

Settings = TypeVar("Settings", bound=PretrainingSettings)


class Pretraining(ABC, Generic[Settings]):
    """A pre-training that can be run and swept.

    Attributes:
        name: Of the MLflow experiment.
        settings: Class of its settings.
    """

    name: str
    settings: type[Settings]

    @abstractmethod
    def build(self, settings: Settings) -> "Objective":
        """Builds the objective to train."""

    @abstractmethod
    def search_space(self, trial: "optuna.trial.BaseTrial", settings: Settings) -> Settings:
        """Proposes the settings of one trial; everything else stays as configured."""

    def run(self, settings: Settings) -> Path:
        """Pre-trains, or continues an interrupted run, and returns the folder of the encoder."""
        from experiments.pretraining.command import pretrain_and_track

        return pretrain_and_track(self.name, settings, self.build(settings))

    def prepare(self, settings: Settings) -> str:
        """Finds the clips of a sweep, and returns a digest of them."""
        from experiments.pretraining import probing

        return probing.prepare(settings)

    def validate(self, settings: Settings, memory: "Memory") -> "Iterator[Validation]":
        """Pre-trains and yields the scores of a linear probe of the encoder on valid."""
        from experiments.pretraining import probing

        return probing.validate(self.run, settings, memory)

    def test(self, settings: Settings) -> "dict[str, Interval]":
        """Scores a linear probe of the encoder on test."""
        from experiments.pretraining import probing

        return probing.test(self.run, settings)
