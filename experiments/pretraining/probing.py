"""Sweeps of pre-training: encoders judged by what a linear probe tells from them."""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol, TypeVar

from conversation_emotion.evaluation.metrics import Interval
from conversation_emotion.features.key import text_digest
from conversation_emotion.pretraining.recordings import find_recordings
from conversation_emotion.settings.corpus import CorpusSettings
from conversation_emotion.settings.features import EncoderSettings
from conversation_emotion.tracker import Memory, Validation
from experiments import _utterances, ser
from experiments.pretraining.settings import AudioSettings, LoopSettings, ProbeSettings


class ProbedConfig(Protocol):
    """What a pre-training experiment has to say to be swept."""

    @property
    def audio(self) -> AudioSettings: ...
    @property
    def training(self) -> LoopSettings: ...
    @property
    def probe(self) -> ProbeSettings: ...


Config = TypeVar("Config", bound=ProbedConfig)


def prepare(config: ProbedConfig) -> str:
    """Finds the clips to learn from and those of the probe, and returns a digest of both.

    Raises:
        ValueError: The pre-trainings would have no common end, or one common folder.
    """
    audio, training = config.audio, config.training
    if training.steps is None and training.max_minutes is None:
        raise ValueError("a sweep of pre-trainings needs --steps or --max-minutes for each of them")
    if training.out is not None:
        raise ValueError("--out would be one folder for all trials of a sweep; leave it out")
    sources = [
        find_recordings(root, min_seconds=audio.min_seconds, max_seconds=audio.max_seconds)
        for root in audio.root
    ]
    digest = text_digest(repr([source.clips for source in sources]))
    return f"{digest} {ser.prepare(_probe(config.probe, 'fbank'))}"


def validate(
    pretrain: Callable[[Config], Path], config: Config, memory: Memory
) -> Iterator[Validation]:
    """Pre-trains an encoder and yields how its probe does on valid."""
    encoder = _find_encoder(pretrain, config)
    yield from _utterances.validate(_probe(config.probe, str(encoder)), memory)


def test(pretrain: Callable[[Config], Path], config: Config) -> dict[str, Interval]:
    """Scores the probe of an encoder on test, which is pre-trained if it was not yet."""
    return ser.test(_probe(config.probe, str(_find_encoder(pretrain, config))))


def _find_encoder(pretrain: Callable[[Config], Path], config: Config) -> Path:
    """Returns the encoder of a setting; the same setting gives the same folder."""
    place = Path.cwd() / "mlruns" / "pretraining" / f"sweep-{text_digest(repr(config))[:16]}"
    if not (place / "preprocessor_config.json").is_file():
        training = dataclasses.replace(config.training, out=place)
        pretrain(dataclasses.replace(config, training=training))  # type: ignore[type-var]
    return place


def _probe(settings: ProbeSettings, encoder: str) -> ser.SERConfig:
    default = ser.SERConfig()
    return dataclasses.replace(
        default,
        data=CorpusSettings(corpus=settings.probe_corpus, root=settings.probe_root),
        features=EncoderSettings(encoders=(encoder,), speech_layers="all"),
        training=dataclasses.replace(default.training, seeds=settings.probe_seeds),
    )
