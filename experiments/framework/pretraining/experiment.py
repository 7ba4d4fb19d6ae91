"""A pre-training as an experiment: run it, or sweep it, scored by a linear probe of the encoder."""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from conversation_emotion.features.key import text_digest
from conversation_emotion.settings.corpus import CorpusSettings
from conversation_emotion.settings.features import EncoderSettings
from conversation_emotion.settings.pretraining import PretrainingSettings
from conversation_emotion.settings.recognition import SERSettings
from conversation_emotion.settings.space import Trial
from experiments.framework import commandline
from experiments.ser import EXPERIMENT as SER

if TYPE_CHECKING:
    from conversation_emotion.evaluation.metrics import Interval
    from conversation_emotion.features.encoders import SpeechEncoder
    from conversation_emotion.pretraining.loop import Objective
    from conversation_emotion.tracker import Memory, Validation

Settings = TypeVar("Settings", bound=PretrainingSettings)


class Pretraining(ABC, Generic[Settings]):
    """A pre-training that can be run and swept; PyTorch is imported when it is.

    Attributes:
        name: Of the MLflow experiment.
        settings: Class of its settings.
    """

    name: str
    settings: type[Settings]

    def main(self) -> None:
        """Runs the pre-training from the command line."""
        commandline.launch(self.run, self.settings, self.name)

    @abstractmethod
    def build(self, settings: Settings) -> "tuple[Objective, SpeechEncoder | None]":
        """Builds the objective to train, and the frozen teacher whose states it needs, if any."""

    @abstractmethod
    def search_space(self, trial: Trial, settings: Settings) -> Settings:
        """Proposes the settings of one trial; everything else stays as configured."""

    def run(self, settings: Settings) -> Path:
        """Pre-trains, or continues an interrupted run, and returns the folder of the encoder."""
        from experiments.framework.pretraining.command import pretrain_and_track

        return pretrain_and_track(self.name, settings, *self.build(settings))

    def prepare(self, settings: Settings) -> str:
        """Finds the clips of pre-training and probe, and returns a digest of both.

        Raises:
            ValueError: The pre-trainings would have no common end, or one common folder.
        """
        from conversation_emotion.pretraining.recordings import find_sources

        training = settings.training
        if training.steps is None and training.max_minutes is None:
            raise ValueError(
                "a sweep of pre-trainings needs --steps or --max-minutes for each of them"
            )
        if training.output is not None:
            raise ValueError("--output would be one folder for all trials of a sweep; leave it out")
        digest = text_digest(repr([source.clips for source in find_sources(settings.audio)]))
        return f"{digest} {SER.prepare(_probe(settings, 'fbank'))}"

    def validate(self, settings: Settings, memory: "Memory") -> "Iterator[Validation]":
        """Pre-trains an encoder and yields the scores of its probe on valid."""
        yield from SER.validate(_probe(settings, self._find_encoder(settings)), memory)

    def test(self, settings: Settings) -> "dict[str, Interval]":
        """Scores the probe of an encoder on test; the encoder is pre-trained if it was not yet."""
        return SER.test(_probe(settings, self._find_encoder(settings)))

    def _find_encoder(self, settings: Settings) -> str:
        """Returns the folder of a setting's encoder, the same for the same setting."""
        place = Path.cwd() / "mlruns" / "pretraining" / f"sweep-{text_digest(repr(settings))[:16]}"
        if not (place / "preprocessor_config.json").is_file():
            training = dataclasses.replace(settings.training, output=place)
            self.run(dataclasses.replace(settings, training=training))
        return str(place)


def _probe(settings: PretrainingSettings, encoder: str) -> SERSettings:
    probe, default = settings.probe, SERSettings()
    return dataclasses.replace(
        default,
        data=CorpusSettings(corpus=probe.probe_corpus, root=probe.probe_root),
        features=EncoderSettings(speech_encoder=(encoder,), speech_layers="all"),
        training=dataclasses.replace(default.training, seeds=probe.probe_seeds),
    )
