"""Experiments on ratings, step by step: read, train each fold and seed, score."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from conversation_emotion.datasets.batches import make_loader
from conversation_emotion.datasets.dataset import Corpus, read_corpus
from conversation_emotion.datasets.windows import single_utterances
from conversation_emotion.evaluation.concordance import DIMENSIONS, concordance, score_ratings
from conversation_emotion.evaluation.metrics import Interval
from conversation_emotion.models.ratings import AttentionHead, RatingModel
from conversation_emotion.settings.corpus import CorpusSettings
from conversation_emotion.splits.protocols import Fold, Rows
from conversation_emotion.tracker import Curves, Memory, Validation
from conversation_emotion.training.rating_training import (
    RatingFitSettings,
    RatingPredictions,
    fit_ratings,
    predict_ratings,
)
from conversation_emotion.utterances.labels import IGNORED
from experiments._folds import PREDICTIONS
from experiments._rating_inputs import Heard, Inputs, rated_rows
from experiments.tracking.runs import ParentRun, TrackedRun

if TYPE_CHECKING:
    from experiments.dimensional import DimensionalConfig, RatingSettings


class Rated(NamedTuple):
    """A corpus with ratings.

    Attributes:
        corpus: Utterances and folds.
        ratings: Of every row in the order of `DIMENSIONS`, NaN where there is none, (rows, 3).
    """

    corpus: Corpus
    ratings: NDArray[np.float32]

    def fingerprint(self, inputs: Inputs) -> str:
        """Digests what a run with one of the encoders depends on."""
        rows = pd.util.hash_pandas_object(self.corpus.utterances.astype(str), index=False)
        return hashlib.sha256(rows.to_numpy().tobytes() + inputs.identity().encode()).hexdigest()[
            :32
        ]


def read_rated(settings: CorpusSettings) -> Rated:
    """Reads a corpus and its ratings.

    Raises:
        ValueError: A dimension is rated nowhere.
    """
    corpus = read_corpus(settings)
    ratings = corpus.utterances[list(DIMENSIONS)].to_numpy(dtype=np.float32, na_value=np.nan)
    for dimension, column in zip(DIMENSIONS, ratings.T, strict=True):
        if np.isnan(column).all():
            raise ValueError(
                f"{settings.corpus}: no utterance has a rating of {dimension}; choose a corpus "
                "with dimensions, such as demo, iemocap, msp-improv or msp-podcast"
            )
    return Rated(corpus, ratings)


def make_inputs(config: "DimensionalConfig", rated: Rated) -> list[Inputs]:
    """Makes what hears the corpus in each row of the table."""
    return [Inputs(config, rated.corpus, name) for name in config.ratings.encoders]


def train(
    config: "DimensionalConfig",
    rated: Rated,
    inputs: Sequence[Inputs],
    parents: Sequence[ParentRun],
) -> dict[str, dict[str, Interval]]:
    """Trains each fold and seed with each encoder, and scores it under the encoder's run."""
    scores = {}
    for heard, parent in zip(inputs, parents, strict=True):
        tables = list(_run_folds(config.ratings, rated, heard, parent))
        predictions = pd.concat(tables, ignore_index=True)
        parts = {
            part: score_ratings(
                predictions[predictions["part"] == part], num_resamples=config.ratings.resamples
            )
            for part in ("valid", "test")
        }
        parent.log_table(predictions, PREDICTIONS)
        parent.log_metrics(
            {
                f"{part}/{name}{suffix}": value
                for part, intervals in parts.items()
                for name, interval in intervals.items()
                for suffix, value in zip(
                    ("", "_ci_low", "_ci_high", "_std"), interval, strict=False
                )
            }
        )
        scores[heard.encoder] = parts["test"]
    return scores


def _run_folds(
    settings: "RatingSettings", rated: Rated, inputs: Inputs, parent: ParentRun
) -> Iterator[pd.DataFrame]:
    """Trains each fold with each seed, or reads back what the run had finished."""
    folds = rated.corpus.split.folds
    bar = tqdm(total=len(folds) * settings.seeds, desc=inputs.encoder, unit="training", leave=False)
    with bar:
        for fold in folds:
            heard: Heard | None = None
            for seed in range(settings.seeds):
                name = f"{fold.name}-seed{seed}"
                table = parent.read_finished(name, PREDICTIONS)
                if table is None:
                    heard = heard or inputs.hear(fold)
                    with parent.open_child(name, {"fold": fold.name, "seed": seed}) as child:
                        table = _run_fold(settings, rated, inputs, heard, fold, seed, child)
                        child.log_table(table, PREDICTIONS)
                        child.log_text(json.dumps(heard.failures, indent=2), "failed_clips.json")
                bar.update()
                yield table


def prepare(config: "DimensionalConfig") -> str:
    """Extracts what every encoder hears, and returns a digest; mini-cpc is pre-trained too."""
    rated = read_rated(config.data)
    digests = []
    for inputs in make_inputs(config, rated):
        for fold in rated.corpus.split.folds:
            inputs.hear(fold)
        digests.append(rated.fingerprint(inputs))
    return " ".join(digests)


def validate(config: "DimensionalConfig", memory: Memory) -> Iterator[Validation]:
    """Trains each fold and seed with the one encoder and yields its mean CCC on valid."""
    rated = memory.recall(config.data, lambda: read_rated(config.data))
    settings = config.ratings
    (encoder,) = settings.encoders
    key = (config.data, config.mini, settings.of_encoder(encoder), settings.stride)
    inputs = memory.recall(key, lambda: make_inputs(config, rated)[0])
    for fold in rated.corpus.split.folds:
        heard = inputs.hear(fold)
        for seed in range(settings.seeds):
            curves = Curves()
            fitted = _fit_fold(settings, rated, inputs, heard, fold, seed, curves.log_step)
            found = _predict(fitted, "valid")
            ratings = torch.from_numpy(rated.ratings[found.judged])
            yield Validation(
                f"{fold.name}-seed{seed}",
                float(concordance(torch.from_numpy(found.ratings), ratings).mean()),
                sum(weights.numel() for weights in fitted.model.parameters()),
                curves.points,
            )


class _Fitted(NamedTuple):
    model: RatingModel
    loaders: dict[str, DataLoader[int]]
    accelerator: Accelerator


def _run_fold(
    settings: "RatingSettings",
    rated: Rated,
    inputs: Inputs,
    heard: Heard,
    fold: Fold,
    seed: int,
    child: TrackedRun,
) -> pd.DataFrame:
    """Trains one fold with one seed and returns its predictions on valid and test."""
    fitted = _fit_fold(settings, rated, inputs, heard, fold, seed, child.log_step)
    tables = []
    for part in ("valid", "test"):
        found = _predict(fitted, part)
        tables.append(_tabulate(found, rated).assign(fold=fold.name, seed=seed, part=part))
    return pd.concat(tables, ignore_index=True)


def _fit_fold(
    settings: "RatingSettings",
    rated: Rated,
    inputs: Inputs,
    heard: Heard,
    fold: Fold,
    seed: int,
    on_epoch: Callable[[int, dict[str, float]], None],
) -> _Fitted:
    """Trains one fold with one seed."""
    set_seed(seed)
    parts = _rated_parts(rated, fold)
    loaders = {
        part: _make_loader(
            rated, heard, rows, settings.batch_size, seed if part == "train" else None
        )
        for part, rows in parts.items()
    }
    front = inputs.build_front(heard.arrays, parts["train"])
    accelerator = Accelerator()
    fitted = fit_ratings(
        _build_model(front, rated.ratings[parts["train"]], settings.dropout),
        loaders["train"],
        loaders["valid"],
        torch.from_numpy(rated.ratings),
        _fit_settings(settings),
        accelerator=accelerator,
        on_epoch=on_epoch,
    )
    return _Fitted(fitted, loaders, accelerator)


def _predict(fitted: _Fitted, part: str) -> RatingPredictions:
    batches = fitted.accelerator.prepare(fitted.loaders[part])
    return predict_ratings(fitted.model, batches, fitted.accelerator)


def _rated_parts(rated: Rated, fold: Fold) -> dict[str, Rows]:
    """Keeps the rated rows of each part of a fold."""
    judged = rated_rows(rated.ratings)
    parts = {
        part: np.intersect1d(getattr(fold, part), judged) for part in ("train", "valid", "test")
    }
    for part, rows in parts.items():
        if not len(rows):
            raise ValueError(
                f"{rated.corpus.split.name}: nothing is rated in the {part} part of fold "
                f"{fold.name!r}"
            )
    return parts


def _build_model(front: nn.Module, ratings: NDArray[np.float32], dropout: float) -> RatingModel:
    """Builds a model that answers on the scale of the ratings of train, (N, 3)."""
    known = np.ma.masked_invalid(ratings)
    centre, scale = known.mean(axis=0).filled(0.0), known.std(axis=0).filled(0.0)
    size = int(front.output_size)  # type: ignore[arg-type]
    return RatingModel(
        front,
        AttentionHead(size, len(DIMENSIONS), dropout=dropout),
        torch.from_numpy(centre.astype(np.float32)),
        torch.from_numpy(np.where(scale > 0, scale, 1.0).astype(np.float32)),
    )


def _fit_settings(settings: "RatingSettings") -> RatingFitSettings:
    return RatingFitSettings(
        weights=settings.loss_weights,
        epochs=settings.epochs,
        patience=settings.patience,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
    )


def _make_loader(
    rated: Rated, heard: Heard, rows: Rows, batch_size: int, seed: int | None
) -> DataLoader[int]:
    classes = np.full(len(rated.ratings), IGNORED, dtype=np.int64)
    classes[rows] = 0  # a window wants a class; here it says that there is a rating
    windows = single_utterances(classes)
    return make_loader(windows, {"speech": heard.arrays}, classes, batch_size=batch_size, seed=seed)


def _tabulate(predictions: RatingPredictions, rated: Rated) -> pd.DataFrame:
    """Puts predictions beside ratings, a row per utterance."""
    judged = rated.corpus.utterances.iloc[predictions.judged]
    table = judged[["utterance_id", "dialogue_id", "speaker"]].reset_index(drop=True)
    for number, name in enumerate(DIMENSIONS):
        table[name] = rated.ratings[predictions.judged, number]
        table[f"predicted_{name}"] = predictions.ratings[:, number]
    return table
