"""Probes at the same stage of training: what their first linear layer makes of held-out speech."""

import dataclasses
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from conversation_emotion.datasets.batches import make_loader
from conversation_emotion.evaluation.separation import Separation, measure_separation
from conversation_emotion.models.conversation import UtteranceModel
from conversation_emotion.settings.corpus import CorpusSettings
from conversation_emotion.splits.protocols import Fold
from conversation_emotion.training.fit import predict
from conversation_emotion.utterances.arousal import find_arousal_levels
from experiments import _utterances
from experiments._folds import Prepared, train_fold
from experiments.tracking.runs import ParentRun

if TYPE_CHECKING:
    from experiments.visualise import VisualiseConfig

SPLITS = {"emodb": "speaker-k-fold", "iemocap": "leave-one-session-out"}
"""The protocol of a picture where none is named and that of the scores shows too few utterances:
sessions of IEMOCAP as published, eight of EmoDB's ten speakers against two."""

REPRESENTATIONS = "representations.parquet"

EMOTION, AROUSAL = "emotion", "arousal"
"""What utterances are coloured and parted by."""


class Represented(NamedTuple):
    """What an encoder's probes make of the test part of each fold and seed.

    Attributes:
        encoder: Name of the encoder.
        prepared: The corpus with its folds.
        tables: A row per test utterance by fold and seed: its ``row`` in the corpus, the class that
            was ``predicted``, and the units of the layer, ``h0``, ``h1``, ...
    """

    encoder: str
    prepared: Prepared
    tables: dict[tuple[str, int], pd.DataFrame]

    def separate(self, fold: Fold, seed: int) -> dict[str, Separation]:
        """Measures how well the classes part in one fold, by emotion and by arousal."""
        table = self.tables[fold.name, seed]
        values, rows = read_units(table), table["row"].to_numpy()
        corpus = self.prepared.corpus
        levels, _ = find_arousal_levels(corpus.utterances, fold.train)
        return {
            AROUSAL: measure_separation(values, levels[rows]),
            EMOTION: measure_separation(values, corpus.classes()[rows]),
        }


def read_units(table: pd.DataFrame) -> NDArray[np.float32]:
    """Returns the units of the layer of each utterance: (N, H)."""
    return table.filter(regex=r"^h\d+$").to_numpy(dtype=np.float32)


def prepare(config: "VisualiseConfig") -> dict[str, Prepared]:
    """Reads the corpus and extracts its features with each encoder, before any training."""
    data = suit(config.data)
    return {
        encoder: _utterances.prepare(config.probe(data, encoder))[encoder]
        for encoder in config.stage.encoders
    }


def suit(data: CorpusSettings) -> CorpusSettings:
    """Chooses the protocol of a picture, unless one is named."""
    name = SPLITS.get(data.corpus, "auto") if data.split == "auto" else data.split
    return dataclasses.replace(data, split=name)  # type: ignore[arg-type]


def find_fold(config: "VisualiseConfig", prepared: dict[str, Prepared]) -> Fold:
    """Finds the fold to show.

    Raises:
        ValueError: The protocol has no fold of that name.
    """
    split = next(iter(prepared.values())).corpus.split
    wanted = config.picture.fold or split.folds[0].name
    for fold in split.folds:
        if fold.name == wanted:
            return fold
    names = ", ".join(fold.name for fold in split.folds)
    raise ValueError(f"--fold {wanted}: {split.name} has the folds {names}")


def represent(
    config: "VisualiseConfig", encoder: str, prepared: Prepared, parent: ParentRun
) -> Represented:
    """Trains each fold and seed to the stage, or reads what an interrupted run finished."""
    jobs = [
        (fold, seed) for fold in prepared.corpus.split.folds for seed in range(config.stage.seeds)
    ]
    tables = {}
    for fold, seed in tqdm(jobs, desc=encoder, unit="training", leave=False):
        name = f"{fold.name}-seed{seed}"
        table = parent.read_finished(name, REPRESENTATIONS)
        if table is None:
            with parent.open_child(name, {"fold": fold.name, "seed": seed}) as child:
                settings = config.probe(config.data, encoder)
                features = _utterances.features_of(settings, encoder)
                recipe = _utterances.make_recipe(settings, prepared, features)
                recipe = recipe._replace(fit=dataclasses.replace(recipe.fit, average_best=0))
                trained = train_fold(prepared, recipe, fold, seed, on_epoch=child.log_step)
                table = _read_layer(trained.model, prepared, fold)
                child.log_table(table, REPRESENTATIONS)
        tables[fold.name, seed] = table
    return Represented(encoder, prepared, tables)


def _read_layer(model: nn.Module, prepared: Prepared, fold: Fold) -> pd.DataFrame:
    """Reads the first linear layer, averaged over frames, for each utterance of the test part."""
    assert isinstance(model, UtteranceModel)
    windows = prepared.windows.select(fold.test)
    arrays = prepared.arrays[fold.name]
    batches = make_loader(windows, arrays, prepared.corpus.heard_classes, batch_size=256)
    units: list[NDArray[np.float32]] = []

    def keep(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        units.append(output.float().cpu().numpy())

    hook = model.projection.register_forward_hook(keep)
    try:
        predictions = predict(model, batches)
    finally:
        hook.remove()
    values = np.concatenate(units)
    return pd.DataFrame(
        {
            "row": predictions.judged,
            "predicted": predictions.probabilities.argmax(axis=1),
            **{f"h{number}": values[:, number] for number in range(values.shape[1])},
        }
    )
