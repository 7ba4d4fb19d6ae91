"""What a recogniser of ratings hears in a fold: stored features, waveforms, or mini-CPC's own."""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from accelerate import Accelerator
from torch import nn

from conversation_emotion.datasets.batches import ModalityArrays
from conversation_emotion.datasets.dataset import Corpus
from conversation_emotion.features.extract import Features
from conversation_emotion.features.key import text_digest
from conversation_emotion.models.perception import LayerSum, fit_standardisation
from conversation_emotion.models.ratings import FeatureFront, WaveformFront
from conversation_emotion.models.tuned import find_family
from conversation_emotion.pretraining.batches import ClipStream
from conversation_emotion.pretraining.collapse import CollapseMonitor
from conversation_emotion.pretraining.loop import pretrain
from conversation_emotion.pretraining.recordings import utterance_recordings
from conversation_emotion.settings.pretraining import AudioSettings, LoopSettings
from conversation_emotion.splits.protocols import Fold, Rows
from experiments._features import extract_features
from experiments.pretrain_cpc import CpcSettings
from experiments.pretraining import objectives as _objectives
from speech_encoders import load_speech_encoder
from speech_encoders.cpc import CpcConfig, CpcModel
from speech_encoders.cpc.modeling import RECEPTIVE_FIELD

if TYPE_CHECKING:
    from experiments.dimensional import DimensionalConfig, MiniSettings

END_TO_END, MINI_CPC = "end-to-end", "mini-cpc"
"""Rows that are no frozen encoder."""

_MAX_SECONDS = 30.0


class Heard(NamedTuple):
    """The speech of a corpus as the recogniser of a fold hears it.

    Attributes:
        arrays: Hidden states or samples of every row of the table.
        failures: Why a clip could not be used, by utterance id.
        found: All that was extracted.
    """

    arrays: ModalityArrays
    failures: dict[str, str]
    found: Features


class Inputs:
    """Hears a corpus with one of the encoders; what does not depend on the fold is heard once.

    Args:
        config: The experiment's settings.
        corpus: Utterances and folds.
        encoder: A row of the table to print.
    """

    def __init__(self, config: "DimensionalConfig", corpus: Corpus, encoder: str) -> None:
        self.config = config
        self.corpus = corpus
        self.utterances = corpus.utterances
        self.encoder = encoder
        self._heard: Heard | None = None

    def identity(self) -> str:
        """Tells all that the encoder's states depend on, before any is extracted."""
        if self.encoder in (END_TO_END, MINI_CPC):
            return self.encoder
        family = find_family(self.encoder, self.corpus)
        names = map(str, family.values()) if family else [self.encoder]
        return " ".join(load_speech_encoder(name).identity for name in names)

    def hear(self, fold: Fold) -> Heard:
        """Extracts what the fold's recogniser hears."""
        if self.encoder == MINI_CPC:
            train = self.utterances.iloc[fold.train]
            return self._extract(str(pretrain_mini(self.config.mini, train)), fold)
        if self._heard is None or self._heard.found.folds:
            name = "samples" if self.encoder == END_TO_END else self.encoder
            self._heard = self._extract(name, fold)
        return self._heard

    def build_front(self, arrays: ModalityArrays, train: Rows) -> nn.Module:
        """Builds the untrained first part of a model, with statistics of the train part."""
        settings = self.config.ratings
        if self.encoder == END_TO_END:
            encoder = CpcModel(CpcConfig())
            size = encoder.config.hidden_size
            return WaveformFront(encoder, size, RECEPTIVE_FIELD, settings.stride)
        standardisation = fit_standardisation(arrays.stack_frames(train))
        mixture = LayerSum(arrays.num_layers, standardisation.output_size)
        return FeatureFront(standardisation, mixture, settings.stride)

    def _extract(self, encoder: str, fold: Fold) -> Heard:
        features = self.config.ratings.of_encoder(encoder)
        found = extract_features(
            self.utterances, features, strict=self.config.data.strict, corpus=self.corpus
        )
        speech = found["speech"]
        return Heard(ModalityArrays(speech.of_fold(fold.name), "speech"), speech.failures, speech)


def pretrain_mini(settings: "MiniSettings", train: pd.DataFrame) -> Path:
    """Pre-trains CPC on the speech of a train part, unless that was done -> the encoder's folder.

    The same part and settings give the same folder; an interrupted pre-training goes on.
    """
    crop = settings.mini_crop_seconds
    source = utterance_recordings(
        MINI_CPC, train, min_seconds=min(0.5, crop), max_seconds=_MAX_SECONDS
    )
    digest = text_digest(repr((source.clips, settings)))[:16]
    folder = Path.cwd() / "mlruns" / "pretraining" / f"{MINI_CPC}-{digest}"
    encoder = folder / "encoder"
    if (encoder / "preprocessor_config.json").is_file():
        return encoder
    objective = _objectives.build_cpc(CpcSettings(), seed=0)
    batch_samples = round(16_000 * settings.mini_clips * crop)
    audio = AudioSettings(crop_seconds=crop, batch_samples=batch_samples, workers=0)
    progress = pretrain(
        objective,
        ClipStream([source], audio),
        LoopSettings(weight_decay=1e-5, steps=settings.mini_steps),
        folder,
        monitor=CollapseMonitor(objective.least_deviations),
        accelerator=Accelerator(),
        broken=source.broken,
    )
    print(f"mini-cpc: {progress.step} updates, {progress.audio_seconds / 3600:.2f} hours heard")
    objective.save(encoder)
    return encoder


def rated_rows(ratings: np.ndarray) -> Rows:
    """Finds the rows that have a rating in any dimension: (rows, D) -> (N,)."""
    return np.flatnonzero(~np.isnan(ratings).all(axis=1)).astype(np.int64)
