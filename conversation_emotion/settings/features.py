"""Which encoders, which of their layers, and how frames become one vector.

``A+B`` names two speech encoders whose features are concatenated.
"""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

from conversation_emotion.settings.flags import (
    check_at_least,
    check_unique,
    flag_of,
    pick,
    refuse_given,
)

ONE_LAYER = ("fbank", "mfcc", "egemaps")
"""Speech encoders without layers to choose from."""

ONE_VECTOR = ("egemaps",)
"""Speech encoders whose frames need no pooling, there being one."""


def split_encoder(name: str) -> tuple[str, ...]:
    """Splits the name of concatenated encoders; a path that exists is one encoder.

    Raises:
        ValueError: A name is empty or stands twice.
    """
    if "+" not in name or Path(name).expanduser().exists():
        return (name,)
    names = tuple(part.strip() for part in name.split("+"))
    if not all(names) or len(set(names)) < len(names):
        raise ValueError(f"concatenated encoders must be named and differ, as in A+B; got {name!r}")
    return names


def check_encoders(names: tuple[str, ...], *, concatenated: bool = True) -> None:
    """Checks the values of --speech-encoder, which may be ``concatenated`` ones or not.

    Raises:
        ValueError: There is none, one is named twice, or there are several where one is needed.
    """
    if not names:
        raise ValueError("--speech-encoder needs one encoder or more")
    check_unique("--speech-encoder", names)
    for name in names:
        if len(split_encoder(name)) > 1 and not concatenated:
            raise ValueError(f"{name} are several encoders; this experiment takes one at a time")


Layers = Literal["last", "last-4", "all"] | int
"""Hidden states that are kept: the last, the mean of the last four, all of them, or one."""

Pooling = Literal["mean", "statistics", "frames"]
"""What becomes of the frames: their mean, their mean and deviation, or every one is kept."""

Aggregator = Literal["mean", "statistics", "attention", "ecapa"]
LayerMixture = Literal["sum", "join"]
Modality = Literal["speech", "text", "speech+text"]
Standardise = Literal["train", "speaker", "corpus", "clip", "none"]

BY_GROUP = ("speaker", "corpus")
"""Standardisations by the utterances of a group, those of test included."""


def check_aggregator(aggregator: str, size: int | None) -> None:
    """Raises a `ValueError` where the aggregator has no such size."""
    if size is None:
        return
    if aggregator not in ("attention", "ecapa"):
        raise ValueError(f"--aggregator-size is for ecapa and attention, not for {aggregator}")
    step = 8 if aggregator == "ecapa" else 1
    if size < step or size % step:
        raise ValueError(f"--aggregator-size of {aggregator} must be a multiple of {step}: {size}")


@dataclass(frozen=True, kw_only=True)
class StorageSettings:
    """How features are stored."""

    half_precision: bool = False
    """Keep features on disk in 16 instead of 32 bits."""


@dataclass(frozen=True, kw_only=True)
class PoolingSettings(StorageSettings):
    """How the features of an utterance become one vector."""

    speech_layers: Layers = "last"
    """Layer to use: the last, the mean of the last four, a number, or all of them."""

    speech_components: int | None = None
    """Principal components of the speech features, of all layers together, fitted on train; none
    keeps all features."""

    aggregator: Aggregator = "mean"
    """What pools frames or tokens that were kept, within the model."""

    aggregator_size: int | None = None
    """Channels of ecapa (32 if none, 512 as published), or units of attention (128 if none)."""

    standardise: Standardise = "train"
    """Centre and scale features by the statistics of train; or by those of all utterances of their
    speaker or corpus, without labels, which is transductive: those of test count among them; or
    each clip by those of all its frames and features; or leave them."""

    def __post_init__(self) -> None:
        for name in ("speech_components", "text_components"):
            if getattr(self, name, None) is None:
                continue
            check_at_least(self, 1, name)
            if self.standardise != "train":
                raise ValueError(
                    f"{flag_of(name)} needs --standardise train, got {self.standardise}"
                )
        check_aggregator(self.aggregator, self.aggregator_size)


@dataclass(frozen=True, kw_only=True)
class FeatureSettings(PoolingSettings):
    """Which modalities and encoders the model gets of each utterance."""

    modality: Modality = "speech+text"
    """Modalities of the input."""

    speech_encoder: str = "fbank"
    """fbank, mfcc, egemaps, whisper-base-lower, emotion2vec-mini, or a checkpoint of wav2vec 2.0,
    HuBERT, WavLM, data2vec, Whisper, emotion2vec or CPC: hub id or folder; padded:NAME for Whisper
    on windows of 30 s, int8:NAME for linear maps in 8 bits on the processor, untrained:NAME for
    random weights; A+B joins two."""

    speech_pooling: Pooling = "statistics"
    """Frames pooled before training to their mean, or mean and deviation; or all of them kept."""

    text_encoder: str = "all-MiniLM-L6-v2"
    """Sentence-transformers model, or a BERT-like one (tokens:NAME for its token states): hub id or
    folder."""

    text_layers: Layers = "all"
    """As --speech-layers, for the text encoder."""

    text_pooling: Pooling = "mean"
    """As --speech-pooling, for tokens; a sentence encoder has one vector anyway."""

    text_components: int | None = None
    """Principal components of the text features, fitted on train; 378 in the published set-up."""

    layer_mixture: LayerMixture = "join"
    """How several layers become one: a learned weighted sum, or concatenated."""

    def modalities(self) -> tuple[str, ...]:
        """Returns the names of the modalities in order."""
        return tuple(self.modality.split("+"))

    def refuse_unused(self) -> None:
        """Raises a `ValueError` where a setting of a modality that is no input was given."""
        absent = tuple({"speech_", "text_"} - {f"{name}_" for name in self.modalities()})
        names = [setting.name for setting in fields(self) if setting.name.startswith(absent)]
        refuse_given(self, f"has no effect with --modality {self.modality}", *names)


@dataclass(frozen=True, kw_only=True)
class SpeechEncoderSettings(PoolingSettings):
    """Which speech encoders to compare, and what of them."""

    speech_encoder: tuple[str, ...] = ("whisper-base-lower",)
    """Encoders to compare: whisper-base-lower or emotion2vec-mini, which come with the package,
    fbank, mfcc, egemaps, or checkpoints of wav2vec 2.0, HuBERT, WavLM, data2vec, Whisper,
    emotion2vec or CPC, by hub id or folder; padded:NAME for Whisper on windows of 30 s,
    int8:NAME for linear maps in 8 bits on the processor, untrained:NAME for random weights; A+B
    concatenates two."""

    speech_pooling: Literal["auto", "mean", "statistics", "frames"] = "auto"
    """Frames pooled before training to their mean, or mean and deviation; or all of them kept. auto
    keeps them where head or aggregator needs them, else takes the mean."""

    speech_layers: Layers = "all"
    """Layer to use: the last, the mean of the last four, a number, or all of them."""

    layer_mixture: Literal["auto", "sum", "join"] = "auto"
    """How several layers become one: a learned weighted sum, or concatenated (join). auto joins
    them for --head logistic that auto chose, else sums."""

    def __post_init__(self) -> None:
        check_encoders(self.speech_encoder)
        super().__post_init__()

    def for_encoder(self, name: str, *, needs_frames: bool = False) -> FeatureSettings:
        """Returns the features of one of the encoders; a head may need frames in any case."""
        pooling = self.speech_pooling
        if pooling == "auto":
            pooling = "frames" if needs_frames or self.aggregator != "mean" else "mean"
        own = {
            "modality": getattr(self, "modality", "speech"),
            "speech_encoder": name,
            "speech_pooling": pooling,
            "layer_mixture": "sum" if self.layer_mixture == "auto" else self.layer_mixture,
        }
        return pick(FeatureSettings, self, **own)


@dataclass(frozen=True, kw_only=True)
class EncoderSettings(SpeechEncoderSettings):
    """Which encoders of one modality to compare, and what of them."""

    modality: Literal["speech", "text"] = "speech"
    """What is recognised: the voice or the words."""

    text_encoder: str = "all-MiniLM-L6-v2"
    """With --modality text: sentence-transformers model, or a BERT-like one (tokens:NAME for the
    mean of its token states), by hub id or folder."""

    text_layers: Layers = "all"
    """As --speech-layers, for the text encoder."""

    def __post_init__(self) -> None:
        super().__post_init__()
        is_text = self.modality == "text"
        absent = [name for name in vars(self) if name.startswith("speech_" if is_text else "text_")]
        names = [*absent, *(("aggregator", "aggregator_size") if is_text else ())]
        refuse_given(self, f"has no effect with --modality {self.modality}", *names)
