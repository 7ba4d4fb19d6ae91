"""Numbers as a task: activation, valence and dominance, or the strength of a sentiment."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from conversation_emotion.datasets.batches import Batch
from conversation_emotion.datasets.inputs import Inputs
from conversation_emotion.evaluation.concordance import (
    DIMENSIONS,
    REGRESSION_METRICS,
    concordance_loss,
    jackknife_ratings,
    jackknife_regression,
    ratings_differ,
    score_concordance,
    score_ratings,
    score_regression,
)
from conversation_emotion.evaluation.groups import Measure
from conversation_emotion.models.perception import LayerSum, fit_on_rows
from conversation_emotion.models.ratings import (
    AttentionHead,
    FeatureFront,
    RatingModel,
    ScaledOutput,
)
from conversation_emotion.settings.training import FitSettings
from conversation_emotion.splits.folds import Fold
from conversation_emotion.tasks.task import MODEL, Loss, Scores, WindowTask, collect_outputs

MEAN = "mean of train"
"""Baseline that predicts the same of every utterance."""


_FAR = 10
"""Spreads from the median beyond which a number is taken not to be on the scale of the others."""


def refuse_outliers(name: str, ratings: NDArray[np.float32], ids: pd.Series) -> None:
    """Refuses numbers far outside the scale of the others, such as 999 for a missing one.

    Args:
        name: Name of the dimension.
        ratings: Those of each utterance, NaN where there is none: (rows,).
        ids: Utterance ids: (rows,).

    Raises:
        ValueError: A number lies more than 10 spreads from the median, a spread being twice the
            median distance from it, or the middle 90 % where half of the numbers are equal.
    """
    given = ratings[~np.isnan(ratings)]
    if not len(given):
        return
    least, middle, most = np.quantile(given, (0.05, 0.5, 0.95))
    # The median distance stays that of the scale while less than half of the numbers are outside.
    spread = 2 * np.median(np.abs(given - middle)) or most - least or max(abs(middle), 1.0)
    is_far = np.abs(ratings - middle) > _FAR * spread
    if is_far.any():
        near = given[np.abs(given - middle) <= _FAR * spread]
        first = np.flatnonzero(is_far)[0]
        raise ValueError(
            f"{is_far.sum():,} ratings of {name} are far outside the scale of the others, "
            f"{near.min():g} to {near.max():g}: first {ratings[first]:g} of {ids.iloc[first]!r}; "
            "leave out what is no rating"
        )


class RatingPredictions(NamedTuple):
    """Ratings (N, D) in each dimension, and row numbers (N,), of N utterances."""

    ratings: NDArray[np.float32]
    target_rows: NDArray[np.int64]


@dataclass(eq=False, repr=False)
class Regression(WindowTask):
    """Numbers in one dimension or several, on the corpus' own scale.

    ``targets`` are those of every row, NaN where there is none: (rows, D) by the names in
    ``columns``, or (rows,) of one.
    """

    columns: ClassVar[tuple[str, ...]]

    inputs: Inputs
    training: FitSettings
    targets: NDArray[np.float32]

    def __post_init__(self) -> None:
        super().__init__(self.inputs, self.training)
        self.targets = self.targets.reshape(-1, len(self.columns))
        for name, ratings in zip(self.columns, self.targets.T, strict=True):
            refuse_outliers(name, ratings, self.dataset.utterances["utterance_id"])

    @abstractmethod
    def measure(self, predictions: Tensor, targets: Tensor) -> Tensor:
        """Computes the loss of a batch: (B, D), (B, D) with NaN where there is none -> scalar."""

    def loss(self, fold: Fold, device: torch.device) -> Loss:
        """Returns the loss; it needs no statistics of the fold."""
        targets = torch.from_numpy(self.targets).to(device)

        def loss(model: nn.Module, batch: Batch) -> Tensor:
            return self.measure(model(batch), targets[batch.target_rows])

        return loss

    def predict(self, model: nn.Module, batches: Iterable[Batch]) -> RatingPredictions:
        """Predicts every utterance once."""
        parts = collect_outputs(
            model, batches, lambda batch: (model(batch).float(), batch.target_rows)
        )
        return RatingPredictions(*parts)

    def tabulate(self, predictions: RatingPredictions, fold: Fold, part: str) -> pd.DataFrame:
        """Returns ``NAME`` and ``predicted_NAME`` of each dimension, a row per utterance."""
        table = self.describe(predictions.target_rows)
        for number, name in enumerate(self.columns):
            table[name] = self.targets[predictions.target_rows, number]
            table[f"predicted_{name}"] = predictions.ratings[:, number]
        return table

    def notes(self) -> Iterator[str]:
        """Names the folds that have no score of a dimension."""
        folds = self.dataset.split.folds
        tested = [self.inputs.windows.select(fold.test).target_rows for fold in folds]
        differ = [ratings_differ(torch.from_numpy(self.targets[rows])) for rows in tested]
        for number, name in enumerate(self.columns):
            absent = [fold.name for fold, has in zip(folds, differ, strict=True) if not has[number]]
            if absent:
                yield (
                    f"{name}: no two ratings differ in the test part of {len(absent)} of "
                    f"{len(folds)} folds, left out of its mean: {', '.join(absent)}"
                )

    def train_scale(self, fold: Fold) -> tuple[Tensor, Tensor]:
        """Returns mean and deviation of the numbers of train, (D,) each; 1 where they are equal."""
        given = np.ma.masked_invalid(self.targets[self.train_rows(fold)])
        centre, scale = given.mean(axis=0).filled(0.0), given.std(axis=0).filled(0.0)
        numbers = np.stack([centre, np.where(scale > 0, scale, 1.0)]).astype(np.float32)
        return torch.from_numpy(numbers[0]), torch.from_numpy(numbers[1])


@dataclass(eq=False, repr=False)
class DimensionalEmotion(Regression):
    """Activation, valence and dominance, with the recogniser and the loss of Li et al. (2021).

    ``loss_weights`` are those of each CCC; every ``stride`` frames are averaged to one.
    ``make_front`` makes an untrained encoder that is trained with the recogniser; None reads
    stored hidden states.
    """

    name: ClassVar[str] = "dimensional_emotion"
    version = 2
    metrics = ("ccc_mean", "ccc_arousal", "ccc_valence", "ccc_dominance")
    columns = DIMENSIONS

    _: KW_ONLY
    loss_weights: Sequence[float] = (1 / 3, 1 / 3, 1 / 3)
    dropout: float = 0.2
    stride: int = 4
    make_front: Callable[[int], nn.Module] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        # As in training: frames take memory.
        self.evaluation_size = self.training.batch_size or 64

    def build(self, fold: Fold) -> nn.Module:
        """Builds a recogniser that predicts on the scale of the ratings of train."""
        if self.make_front is None:
            arrays = self.inputs.arrays[fold.name]["speech"]
            standardisation = fit_on_rows(arrays, self.train_rows(fold))
            mixture = LayerSum(arrays.num_layers, arrays.size)
            front = FeatureFront(standardisation, mixture, self.stride)
        else:
            front = self.make_front(self.stride)
        size = int(front.output_size)  # type: ignore[arg-type]
        head = AttentionHead(size, len(DIMENSIONS), dropout=self.dropout)
        return ScaledOutput(RatingModel(front, head), *self.train_scale(fold))

    def measure(self, predictions: Tensor, targets: Tensor) -> Tensor:
        """Returns one minus the weighted CCC of the batch."""
        return concordance_loss(predictions, targets, targets.new_tensor(self.loss_weights))

    def score(self, predictions: RatingPredictions) -> dict[str, float]:
        """Scores the CCC of each dimension over all utterances at once, and their mean."""
        targets = torch.from_numpy(self.targets[predictions.target_rows])
        found = score_concordance(torch.from_numpy(predictions.ratings), targets)
        named = zip(DIMENSIONS, found.tolist(), strict=True)
        return {"ccc_mean": float(found.nanmean()), **{f"ccc_{name}": ccc for name, ccc in named}}

    def group_measure(self) -> Measure:
        """Returns the mean CCC."""
        return Measure(
            metric="ccc_mean",
            jackknife=lambda table: jackknife_ratings(table).only(len(DIMENSIONS)),
        )

    def evaluate(self, predictions: pd.DataFrame) -> Scores:
        """Scores the model."""
        return {MODEL: score_ratings(predictions)}


@dataclass(eq=False, repr=False)
class SentimentStrength(Regression):
    """The strength of a sentiment, by least squares.

    ``build_head`` builds a model of a fold with one output.
    """

    name: ClassVar[str] = "sentiment_strength"
    metrics = ("ccc", "pearson", "mae")
    columns = ("sentiment",)

    build_head: Callable[[Fold], nn.Module]

    def build(self, fold: Fold) -> nn.Module:
        """Builds a model that predicts on the scale of the numbers of train."""
        return ScaledOutput(self.build_head(fold), *self.train_scale(fold))

    def measure(self, predictions: Tensor, targets: Tensor) -> Tensor:
        """Returns the mean squared error over given targets."""
        is_given = ~targets.isnan()
        missed = torch.where(is_given, predictions.float() - torch.nan_to_num(targets), 0.0)
        return (missed.square().sum(dim=0) / is_given.sum(dim=0).clamp(min=1)).sum()

    def score(self, predictions: RatingPredictions) -> dict[str, float]:
        """Scores all utterances at once."""
        found = predictions.ratings[:, 0].astype(np.float64)
        targets = self.targets[predictions.target_rows, 0].astype(np.float64)
        ccc = score_concordance(
            torch.from_numpy(predictions.ratings),
            torch.from_numpy(self.targets[predictions.target_rows]),
        )
        pearson = float(np.corrcoef(found, targets)[0, 1]) if found.std() and targets.std() else 0.0
        return {
            "ccc": float(ccc),
            "pearson": pearson if targets.std() else np.nan,
            "mae": float(np.abs(found - targets).mean()),
        }

    def tabulate(self, predictions: RatingPredictions, fold: Fold, part: str) -> pd.DataFrame:
        """Adds the mean of train to the columns of every regression."""
        table = super().tabulate(predictions, fold, part)
        return table.assign(**{MEAN: float(self.targets[self.train_rows(fold)].mean())})

    def group_measure(self) -> Measure:
        """Returns the CCC."""
        (name,) = self.columns
        place = REGRESSION_METRICS.index("ccc")
        return Measure(
            metric="ccc",
            jackknife=lambda table: jackknife_regression(table, name, f"predicted_{name}").only(
                place
            ),
        )

    def evaluate(self, predictions: pd.DataFrame) -> Scores:
        """Scores the model and the mean of train."""
        (name,) = self.columns
        return {
            system: score_regression(predictions, name, column)
            for system, column in ((MODEL, f"predicted_{name}"), (MEAN, MEAN))
        }
