"""Prepares dimensional emotion: stored features, waveforms, or CPC that each fold pre-trains."""

from pathlib import Path

import numpy as np
import pandas as pd
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import nn

from conversation_emotion.datasets.dataset import Dataset
from conversation_emotion.datasets.inputs import extract_features, prepare_inputs
from conversation_emotion.datasets.windows import single_utterances
from conversation_emotion.evaluation.concordance import DIMENSIONS
from conversation_emotion.features.extract import Features
from conversation_emotion.features.key import text_digest
from conversation_emotion.models.ratings import WaveformFront
from conversation_emotion.pretraining.batches import ClipStream
from conversation_emotion.pretraining.collapse import CollapseMonitor
from conversation_emotion.pretraining.loop import pretrain
from conversation_emotion.pretraining.recordings import utterance_recordings
from conversation_emotion.settings.dimensional import (
    END_TO_END,
    MINI_CPC,
    DimensionalSettings,
    MiniSettings,
)
from conversation_emotion.settings.pretraining import AudioSettings, LoopSettings
from conversation_emotion.tasks.prepare import prepare_dataset
from conversation_emotion.tasks.ratings import DimensionalEmotion
from conversation_emotion.tracker import Memory
from conversation_emotion.utterances.audio import SAMPLE_RATE
from conversation_emotion.utterances.labels import IGNORED
from experiments.framework.pretraining import objectives
from experiments.framework.pretraining.settings import CpcSettings
from speech_encoders.cpc import CpcConfig, CpcModel
from speech_encoders.cpc.modeling import RECEPTIVE_FIELD

_MAX_SECONDS = 30.0


def prepare_ratings(settings: DimensionalSettings, memory: Memory) -> DimensionalEmotion:
    """Prepares the row of one encoder.

    Raises:
        ValueError: A dimension is rated nowhere.
    """
    (encoder,) = settings.features.speech_encoder
    data, max_folds = settings.data, settings.training.max_folds
    dataset = prepare_dataset(data, max_folds, memory)
    ratings = _read_ratings(dataset)
    # A window wants a class; here it marks that there is a rating.
    classes = np.where(np.isnan(ratings).all(axis=1), IGNORED, 0)
    windows = single_utterances(classes)
    key = ("ratings", data, max_folds, settings.mini, settings.features.features_of(encoder))
    found = memory.recall(key, lambda: _extract(settings, dataset, encoder))
    return DimensionalEmotion(
        prepare_inputs(dataset, windows, windows, found),
        settings.training,
        ratings,
        loss_weights=settings.features.loss_weights,
        dropout=settings.features.dropout,
        stride=settings.features.stride,
        make_front=_make_front if encoder == END_TO_END else None,
    )


def _read_ratings(dataset: Dataset) -> NDArray[np.float32]:
    """Reads the ratings of every row in the order of `DIMENSIONS`, NaN where there is none."""
    ratings = dataset.utterances[list(DIMENSIONS)].to_numpy(dtype=np.float32, na_value=np.nan)
    for dimension, column in zip(DIMENSIONS, ratings.T, strict=True):
        if np.isnan(column).all():
            raise ValueError(
                f"{dataset.label_map.corpus}: no utterance has a rating of {dimension}; choose a "
                "corpus with dimensions, such as demo, iemocap, msp-improv or msp-podcast"
            )
    return ratings


def _extract(settings: DimensionalSettings, dataset: Dataset, encoder: str) -> dict[str, Features]:
    strict = settings.data.strict
    if encoder != MINI_CPC:
        return extract_features(dataset, settings.features.features_of(encoder), strict=strict)
    folds = {}
    for fold in dataset.split.folds:
        folder = pretrain_mini(settings.mini, dataset.utterances.iloc[fold.train])
        features = settings.features.features_of(str(folder))
        (folds[fold.name],) = extract_features(dataset, features, strict=strict).values()
    failures = {key: why for found in folds.values() for key, why in found.failures.items()}
    key = " ".join(found.key for found in folds.values())
    recordings = next(iter(folds.values())).recordings
    return {"speech": Features([], failures, key, folds, recordings)}


def _make_front(stride: int) -> nn.Module:
    """Makes an untrained CPC, which is trained with the recogniser."""
    encoder = CpcModel(CpcConfig())
    return WaveformFront(encoder, encoder.config.hidden_size, RECEPTIVE_FIELD, stride)


def pretrain_mini(settings: MiniSettings, train: pd.DataFrame) -> Path:
    """Pre-trains CPC on the speech of a train part, unless that was done -> the encoder's folder.

    The same part and settings give the same folder; an interrupted pre-training continues.
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
    objective = objectives.build_cpc(CpcSettings(), seed=0)
    audio = AudioSettings(
        max_seconds=_MAX_SECONDS,
        crop_seconds=crop,
        batch_samples=round(settings.mini_clips * crop * SAMPLE_RATE),
    )
    progress = pretrain(
        objective,
        ClipStream([source], audio, seed=0),
        LoopSettings(weight_decay=1e-5, steps=settings.mini_steps),
        folder,
        monitor=CollapseMonitor(objective.least_deviations),
        accelerator=Accelerator(),
        broken=source.broken,
    )
    hours = progress.audio_seconds / 3600
    print(f"mini-cpc: {progress.step} updates on {hours:.2f} hours of speech")
    objective.save(encoder)
    return encoder
