"""Settings that several experiments share: which corpus, which features, which training."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from experiments._encoder_names import check_encoders

CorpusName = Literal[
    "aesdd",
    "audformat",
    "baum-1",
    "cafe",
    "casia",
    "cmu-mosei",
    "cmu-mosi",
    "crema-d",
    "demo",
    "emodb",
    "emovo",
    "enterface",
    "esd",
    "huggingface",
    "iemocap",
    "jl-corpus",
    "m3ed",
    "manifest",
    "mead",
    "meld",
    "msp-improv",
    "msp-podcast",
    "ravdess",
    "ravdess-song",
    "resd",
    "savee",
    "shemo",
    "subesco",
    "tess",
    "urdu",
]
"""The corpora that can be read, those of `conversation_emotion.corpora.CORPORA`."""


@dataclass(frozen=True, kw_only=True)
class CorpusSettings:
    """Which data, which classes, which protocol."""

    corpus: CorpusName = "demo"
    """Corpus to train and test on; demo is built in, manifest is a table of your own."""

    root: Path | None = None
    """Folder of the corpus as distributed, or the manifest file; demo needs none."""

    labels: Literal["auto", "4-class", "5-class", "6-class", "7-class", "8-class", "all"] = "auto"
    """Classes to judge; all takes every emotion that the corpus names. auto is 4-class for demo,
    iemocap, manifest, meld and msp-improv, 5-class for jl-corpus, 7-class for emodb, 8-class for
    msp-podcast, else all."""

    scenario: Literal["all", "improvised", "scripted"] = "all"
    """Which dialogues of IEMOCAP to use."""

    split: Literal[
        "auto",
        "official",
        "leave-one-session-out",
        "leave-one-speaker-out",
        "speaker-k-fold",
        "superb",
        "emotion2vec-session",
        "emotion2vec-speaker",
        "emobox",
        "recording-prefix",
    ] = "auto"
    """Protocol; the last five are those of single utterances, as published. auto is
    leave-one-speaker-out for iemocap and for corpora of up to ten speakers, leave-one-session-out
    for demo and msp-improv, and the official split where there is one; else, and for esd,
    speaker-k-fold."""

    valid: Literal["auto", "share", "speaker", "fold"] = "auto"
    """What selects the epoch where the protocol leaves it open: a fifth of the train dialogues, all
    those of one train speaker, or the fold after the tested, which is not learnt from; auto is
    speaker for emodb, else share."""

    num_folds: int = 5
    """Folds of speaker-k-fold."""

    superb_folds: Path | None = None
    """s3prl's downstream/emotion/meta_data folder, which the split superb reads."""

    emobox_folds: Path | None = None
    """EmoBox's data/CORPUS folder, which the split emobox reads; without it the folds are drawn by
    EmoBox's rule."""

    speeds: tuple[float, ...] = ()
    """Learn also from copies of all that trains, played so many times as fast, such as 0.9 1.1."""

    strict: bool = False
    """Stop at a clip that is missing or broken, instead of naming it and masking its speech."""

    def __post_init__(self) -> None:
        if self.num_folds < 2:
            raise ValueError(f"--num-folds must be 2 or more, got {self.num_folds}")
        if not all(0.5 <= x <= 2 and x != 1 and self.speeds.count(x) == 1 for x in self.speeds):
            raise ValueError(f"--speeds must differ, lie in [0.5, 2], not be 1; got {self.speeds}")
        if self.corpus != "demo" and self.root is None:
            raise ValueError(f"--corpus {self.corpus} needs --root")
        if self.split == "superb" and self.superb_folds is None:
            raise ValueError("--split superb needs --superb-folds")
        if self.scenario != "all" and self.corpus != "iemocap":
            raise ValueError(f"--scenario {self.scenario} is for iemocap, not {self.corpus}")


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
class PoolingSettings:
    """How the features of an utterance become one vector."""

    speech_components: int | None = None
    """Principal components of the speech features, of all layers together, fitted on train; none
    keeps all features."""

    aggregator: Literal["mean", "statistics", "attention", "ecapa"] = "mean"
    """What pools frames or tokens that were kept, within the model."""

    aggregator_size: int | None = None
    """Channels of ecapa (32 if none, 512 as published), or units of attention (128 if none)."""

    standardise: Literal["train", "clip", "none"] = "train"
    """Centre and scale features by the statistics of train; or each clip by those of all its
    frames and features; or leave them."""

    half_precision: bool = False
    """Keep features on disk in 16 instead of 32 bits."""

    def __post_init__(self) -> None:
        for name in ("speech_components", "text_components"):
            number, flag = getattr(self, name, None), f"--{name.replace('_', '-')}"
            if number is not None and number < 1:
                raise ValueError(f"{flag} must be 1 or more, got {number}")
            if number is not None and self.standardise != "train":
                raise ValueError(f"{flag} needs --standardise train, got {self.standardise}")
        check_aggregator(self.aggregator, self.aggregator_size)


@dataclass(frozen=True, kw_only=True)
class FeatureSettings(PoolingSettings):
    """What the model perceives of each utterance."""

    modality: Literal["speech", "text", "speech+text"] = "speech+text"
    """Modalities to hear and read."""

    speech_encoder: str = "fbank"
    """fbank, mfcc, egemaps, or a checkpoint of wav2vec 2.0, HuBERT, WavLM, data2vec, Whisper,
    emotion2vec or CPC: hub id or folder; untrained:NAME for random weights; A+B for two side by
    side."""

    speech_layers: Literal["last", "last-4", "all"] | int = "last"
    """Layer to use: the last, the mean of the last four, a number, or all of them."""

    speech_pooling: Literal["mean", "statistics", "frames"] = "statistics"
    """Frames pooled before training to their mean, or mean and deviation; or all of them kept."""

    text_encoder: str = "all-MiniLM-L6-v2"
    """Sentence-transformers model, or a BERT-like one (tokens:NAME for its token states): hub id or
    folder."""

    text_layers: Literal["last", "last-4", "all"] | int = "all"
    """As --speech-layers, for the text encoder."""

    text_pooling: Literal["mean", "statistics", "frames"] = "mean"
    """As --speech-pooling, for tokens; a sentence encoder has one vector anyway."""

    text_components: int | None = None
    """Principal components of the text features, fitted on train; 378 in the published set-up."""

    layer_mixture: Literal["sum", "join"] = "join"
    """How several layers become one: a learned weighted sum, or beside each other."""

    def modalities(self) -> tuple[str, ...]:
        """Returns the names of the modalities in order."""
        return tuple(self.modality.split("+"))


@dataclass(frozen=True, kw_only=True)
class EncoderSettings(PoolingSettings):
    """Which speech encoders to compare, and what of them."""

    encoders: Annotated[tuple[str, ...], tyro.conf.arg(aliases=["--encoder"])] = ("fbank",)
    """Encoders to compare: fbank, mfcc, egemaps, or checkpoints of wav2vec 2.0, HuBERT, WavLM,
    data2vec, Whisper, emotion2vec or CPC, by hub id or folder; untrained:NAME for random
    weights; A+B for two side by side."""

    speech_layers: Literal["last", "last-4", "all"] | int = "last"
    """Layer to use: the last, the mean of the last four, a number, or all of them."""

    speech_pooling: Literal["auto", "mean", "statistics", "frames"] = "auto"
    """Frames pooled before training to their mean, or mean and deviation; or all of them kept. auto
    keeps them where head or aggregator needs them, else takes the mean."""

    layer_mixture: Literal["sum", "join"] = "sum"
    """How several layers become one: a learned weighted sum, or beside each other."""

    def __post_init__(self) -> None:
        check_encoders(self.encoders)
        super().__post_init__()

    def of_encoder(self, name: str, *, needs_frames: bool = False) -> FeatureSettings:
        """Returns what to extract with one of the encoders.

        Args:
            name: The encoder.
            needs_frames: Whether the head does, whatever the aggregator.
        """
        pooling = self.speech_pooling
        if pooling == "auto":
            pooling = "frames" if needs_frames or self.aggregator != "mean" else "mean"
        return FeatureSettings(
            modality="speech",
            speech_encoder=name,
            speech_layers=self.speech_layers,
            speech_pooling=pooling,
            speech_components=self.speech_components,
            layer_mixture=self.layer_mixture,
            aggregator=self.aggregator,
            aggregator_size=self.aggregator_size,
            standardise=self.standardise,
            half_precision=self.half_precision,
        )


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """How each model is trained and how often."""

    learning_rate: float = 1e-3
    """Step size."""

    weight_decay: float = 1e-2
    """Weight decay of the optimizer."""

    optimizer: Literal["adamw", "adam", "rmsprop"] = "adamw"
    """What takes the steps; rmsprop with a momentum of 0.9."""

    schedule: Literal["constant", "cyclic", "cosine"] = "constant"
    """Step size over the epochs: constant; to twice as much and back, ten epochs each way; or down
    to zero along half a cosine."""

    class_weights: Literal["balanced", "none"] = "balanced"
    """Let each class count alike in the loss, or each utterance."""

    select_by: Literal["uar", "wa"] = "uar"
    """Score on valid that chooses the weights."""

    batch_size: int | None = None
    """Windows in a batch; none takes a thirty-second part of what is learnt from, 64 to 256."""

    epochs: int = 50
    """Passes over train at most."""

    updates: int | None = None
    """Updates at most in the place of --epochs; an epoch is then --evaluate-every of them."""

    evaluate_every: int = 1000
    """Updates between two looks at valid, where --updates is given."""

    patience: int = 5
    """Epochs without a better valid score after which training stops."""

    average_best: int = 3
    """Average the weights of this many best epochs by the valid score."""

    seeds: int = 1
    """How many times each fold is trained, with the seeds 0, 1, 2, ..."""

    resamples: int = 2000
    """Bootstrap resamples behind each 95 % interval."""

    def __post_init__(self) -> None:
        if not 0 < self.learning_rate < 1:
            raise ValueError(f"--learning-rate must lie in (0, 1), got {self.learning_rate}")
        if not 0 <= self.weight_decay < 1:
            raise ValueError(f"--weight-decay must lie in [0, 1), got {self.weight_decay}")
        counts = ("batch_size", "epochs", "updates", "evaluate_every", "patience", "average_best")
        for name in (*counts, "seeds", "resamples"):
            number = getattr(self, name)
            if number is not None and number < 1:
                flag = "--" + name.replace("_", "-")
                raise ValueError(f"{flag} must be 1 or more, got {number}")
