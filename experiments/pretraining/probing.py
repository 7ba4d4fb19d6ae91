"""Sweeps of pre-training: an encoder is scored by a linear probe of its hidden states."""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from conversation_emotion.evaluation.metrics import Interval
from conversation_emotion.features.key import text_digest
from conversation_emotion.pretraining.recordings import find_sources
from conversation_emotion.settings.corpus import CorpusSettings
from conversation_emotion.settings.features import EncoderSettings
from conversation_emotion.settings.pretraining import PretrainingSettings, ProbeSettings
from conversation_emotion.settings.recognition import SERSettings
from conversation_emotion.tracker import Memory, Validation
from experiments.ser import EXPERIMENT as SER

Settings = TypeVar("Settings", bound=PretrainingSettings)


def prepare(settings: PretrainingSettings) -> str:
    """Finds the clips of pre-training and probe, and returns a digest of both.

    Raises:
        ValueError: The pre-trainings would have no common end, or one common folder.
    """
    training = settings.training
    if training.steps is None and training.max_minutes is None:
        raise ValueError("a sweep of pre-trainings needs --steps or --max-minutes for each of them")
    if training.output is not None:
        raise ValueError("--output would be one folder for all trials of a sweep; leave it out")
    digest = text_digest(repr([source.clips for source in find_sources(settings.audio)]))
    return f"{digest} {SER.prepare(_probe(settings.probe, 'fbank'))}"


def validate(
    pretrain: Callable[[Settings], Path], settings: Settings, memory: Memory
) -> Iterator[Validation]:
    """Pre-trains an encoder and yields the scores of its probe on valid."""
    encoder = _find_encoder(pretrain, settings)
    yield from SER.validate(_probe(settings.probe, str(encoder)), memory)


def test(pretrain: Callable[[Settings], Path], settings: Settings) -> dict[str, Interval]:
    """Scores the probe of an encoder on test; the encoder is pre-trained if it was not yet."""
    return SER.test(_probe(settings.probe, str(_find_encoder(pretrain, settings))))


def _find_encoder(pretrain: Callable[[Settings], Path], settings: Settings) -> Path:
    """Returns the folder of a setting's encoder, the same for the same setting."""
    place = Path.cwd() / "mlruns" / "pretraining" / f"sweep-{text_digest(repr(settings))[:16]}"
    if not (place / "preprocessor_config.json").is_file():
        training = dataclasses.replace(settings.training, output=place)
        pretrain(dataclasses.replace(settings, training=training))
    return place


def _probe(settings: ProbeSettings, encoder: str) -> SERSettings:
    default = SERSettings()
    return dataclasses.replace(
        default,
        data=CorpusSettings(corpus=settings.probe_corpus, root=settings.probe_root),
        features=EncoderSettings(speech_encoder=(encoder,), speech_layers="all"),
        training=dataclasses.replace(default.training, seeds=settings.probe_seeds),
    )
