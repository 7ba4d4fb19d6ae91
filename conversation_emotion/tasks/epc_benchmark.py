"""Prediction in conversation as a benchmark: baselines, and a model whose inputs are perturbed."""

from collections.abc import Mapping
from functools import cached_property, partial
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from conversation_emotion.datasets.batches import Batch, WindowLoader
from conversation_emotion.datasets.dataset import Dataset
from conversation_emotion.datasets.inputs import Inputs, make_parts, visible_emotions
from conversation_emotion.datasets.perturbations import (
    REMOVALS,
    change_futures,
    swap_contents,
)
from conversation_emotion.datasets.windows import PADDING, SPEAKER, Windows
from conversation_emotion.evaluation.shift import LAST, LAST_OWN, PREDICTED, PREDICTED_OWN
from conversation_emotion.evaluation.systems import name_columns
from conversation_emotion.settings.epc_benchmark import EPCBenchmarkSettings, list_removals
from conversation_emotion.splits.folds import Fold
from conversation_emotion.tasks.baselines import (
    SMOOTHING,
    Baseline,
    Forecast,
    Markov,
    choose,
    count_priors,
    divide_by_priors,
    find_last,
    fit_last_words,
    fit_markov,
)
from conversation_emotion.tasks.emotion import MAJORITY, Predictions, TurnEmotion
from conversation_emotion.tasks.prepare import prepare_prediction
from conversation_emotion.tasks.task import collect_outputs
from conversation_emotion.tracker import Memory
from conversation_emotion.utterances.labels import IGNORED

AT_TEST, SWAPPED, FUTURE = "at_test_", "at_test_contents", "future"
"""Systems that are the trained model with other inputs: begin of what lacks something, the contents
of other utterances, and another future."""

CHANGED = "future_changed"
"""Column that marks where another future changes a probability."""


class Fitted(NamedTuple):
    """What is fitted on the train part of a fold besides the model.

    ``priors`` are the shares of the classes (C,); in ``forecasts`` each class counts alike if it
    does in the model's loss, but for the majority's; ``transitions`` are of natural frequencies.
    """

    priors: NDArray[np.float64]
    forecasts: Mapping[str, Forecast]
    transitions: Markov


class BenchmarkedPrediction(TurnEmotion):
    """The model next to fitted baselines, and what it predicts from perturbed inputs at test."""

    @cached_property
    def _fitted(self) -> dict[str, Fitted]:
        return {}

    @property
    def is_balanced(self) -> bool:
        """Whether each class counts alike, for the model as for the baselines."""
        return self.training.class_weights == "balanced"

    def _balance(
        self, probabilities: NDArray[np.floating], priors: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        if not self.is_balanced:
            return probabilities.astype(np.float64)
        return divide_by_priors(probabilities, priors)

    def fit_baselines(self, fold: Fold) -> Fitted:
        """Fits baselines on train; valid chooses smoothing and C by the metric that selects."""
        if fold.name not in self._fitted:
            self._fitted[fold.name] = self._fit_baselines(fold)
        return self._fitted[fold.name]

    def _fit_baselines(self, fold: Fold) -> Fitted:
        train, valid = (self.inputs.windows.select(rows) for rows in (fold.train, fold.valid))
        classes, num_classes = self.dataset.classes(), len(self.labels)
        priors = count_priors(train, num_classes)

        def rank(probabilities: NDArray, windows: Windows) -> float:
            found = Predictions(probabilities, windows.targets, windows.target_rows)
            return self.rank(found.scores())

        def rank_natural(probabilities: NDArray, windows: Windows) -> float:
            return rank(self._balance(probabilities, priors), windows)

        fit = partial(fit_markov, train, classes, num_classes)
        first, second = (
            choose((fit(smoothing, order) for smoothing in SMOOTHING), valid, rank_natural)
            for order in (1, 2)
        )
        forecasts: dict[str, Forecast] = {
            MAJORITY: lambda windows: np.repeat(priors[np.newaxis], len(windows), axis=0),
            "markov": lambda windows: self._balance(first(windows), priors),
            "markov_two": lambda windows: self._balance(second(windows), priors),
        }
        texts, balanced = self.dataset.utterances["text"], self.is_balanced
        words = fit_last_words(train, valid, texts, num_classes, rank, balanced=balanced)
        if texts.fillna("").str.contains(r"\w").any():  # else there is no such row
            forecasts["last_words"] = words or forecasts["majority"]
        return Fitted(priors, forecasts, first)

    def tabulate(self, predictions: Predictions, fold: Fold, part: str) -> pd.DataFrame:
        """Adds baselines with their probabilities, and what the context of a target is like."""
        windows = self.inputs.windows.select(getattr(fold, part))
        fitted, columns = self.fit_baselines(fold), {}
        for name, forecast in fitted.forecasts.items():
            columns |= name_columns(name, self.labels, forecast(windows))
        classes, table = self.dataset.classes(), super().tabulate(predictions, fold, part)
        columns[LAST] = find_last(windows, classes)
        columns[LAST_OWN] = find_last(windows, classes, of_speaker=True)
        columns["own_emotion"] = self._fill(columns[LAST_OWN], fitted)
        columns |= describe_context(self.dataset.utterances, windows)
        # At once: with many classes there are a hundred columns, which one by one are slow.
        return pd.concat([table, pd.DataFrame(columns).drop(columns=MAJORITY)], axis=1)

    def _fill(self, classes: NDArray[np.int64], fitted: Fitted) -> NDArray[np.int64]:
        return np.where(classes == IGNORED, fitted.priors.argmax(), classes)

    def probe(self, model: nn.Module, fold: Fold, part: str) -> dict[str, NDArray]:
        """Predicts from perturbed inputs, and recognises the emotions of the last turn.

        Raises:
            RuntimeError: What follows a target changes what is predicted for it.
        """
        columns = self._recognise(model, fold, part) if self.model.recognition_weight else {}
        changes = {
            f"{AT_TEST}{name}": REMOVALS[name] for name in list_removals(self.features.modalities())
        }
        for name, change in {**changes, SWAPPED: swap_contents}.items():
            found = self.predict(model, self._load(change(self.inputs), fold, part))
            columns |= name_columns(name, self.labels, found.probabilities)
        return columns | self._change_future(model, fold, part)

    def _load(self, inputs: Inputs, fold: Fold, part: str) -> WindowLoader:
        return make_parts(inputs, fold, 0, None, evaluation_size=self.evaluation_size)[part]

    def _recognise(self, model: nn.Module, fold: Fold, part: str) -> dict[str, NDArray]:
        """Recognises the last utterance of each context, and the last of the target's speaker."""
        loader, fitted = self._load(self.inputs, fold, part), self.fit_baselines(fold)
        latest, own, has_own = collect_outputs(model, loader, partial(recognise_last, model))
        natural, own = (sum_classes(self.dataset, one) for one in (latest, own))
        found = self._balance(natural, fitted.priors)
        followed = self._balance(natural @ fitted.transitions.table[:-1], fitted.priors)
        own = np.where(has_own, self._balance(own, fitted.priors).argmax(axis=1), IGNORED)
        return {
            **name_columns(PREDICTED, self.labels, found),
            **name_columns("markov_predicted", self.labels, followed),
            PREDICTED_OWN: own,
            "own_predicted": self._fill(own, fitted),
        }

    def _change_future(self, model: nn.Module, fold: Fold, part: str) -> dict[str, NDArray]:
        windows = self.inputs.windows.select(getattr(fold, part))
        probabilities = np.zeros((len(windows), len(self.labels)))
        changed = np.zeros(len(windows), dtype=bool)
        for some, inputs in change_futures(self.inputs, windows, self.model):
            chosen = np.searchsorted(windows.target_rows, some.target_rows)
            # Batches of the same windows, so that not even the last digit may differ.
            before, after = (
                self.predict(model, self._load_windows(some, one, fold, part)).probabilities
                for one in (self.inputs, inputs)
            )
            probabilities[chosen] = after
            changed[chosen] = (before != after).any(axis=1)
        if changed.any():
            raise RuntimeError(
                f"{int(changed.sum())} of {len(windows)} predictions change with what follows "
                f"their target, fold {fold.name}, {part}; the model sees the future"
            )
        return {**name_columns(FUTURE, self.labels, probabilities), CHANGED: changed}

    def _load_windows(
        self, windows: Windows, inputs: Inputs, fold: Fold, part: str
    ) -> WindowLoader:
        emotions = visible_emotions(inputs.dataset.emotion_classes, fold, part)
        arrays, size = inputs.arrays[fold.name], self.evaluation_size
        return WindowLoader(windows, arrays, emotions, batch_size=size)


class RetrainedPrediction(TurnEmotion):
    """A model that is trained and tested on perturbed inputs, without baselines of its own."""

    @property
    def baselines(self) -> dict[str, Baseline]:
        """None: they stand beside the model that lacks nothing."""
        return {}


def prepare_benchmark(row: EPCBenchmarkSettings, memory: Memory) -> TurnEmotion:
    """Prepares one training: of the model, or of what is trained beside it."""
    task = prepare_prediction(row.data, row.features, row.model_of_row(), row.training, memory)
    given = task.features, task.model, task.training
    if not row.retrain:
        return BenchmarkedPrediction(task.inputs, *given)
    (name,) = row.retrain
    inputs = task.inputs if name in ("gold", "all") else REMOVALS[name](task.inputs)
    return RetrainedPrediction(inputs, *given)


def recognise_last(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Returns logits of the last utterance and of the target speaker's last, and if there is one.

    From a batch of B windows: (B, R), (B, R), (B,).
    """
    recognised = model(batch).recognition
    places = torch.arange(batch.mask.size(1), device=batch.mask.device)
    is_own = batch.mask & (batch.roles == SPEAKER)
    found = []
    for mask in (batch.mask, is_own):
        last = (places * mask).max(dim=1).values
        found.append(recognised[torch.arange(len(last), device=last.device), last])
    return found[0], found[1], is_own.any(dim=1)


def sum_classes(dataset: Dataset, logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Returns the probabilities of the classes from logits of all emotions: (N, R) -> (N, C)."""
    odds = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    sums = np.zeros((len(odds), len(dataset.labels)))
    for number, emotion in enumerate(dataset.emotion_labels):
        if (label := dataset.label_map.classes.get(emotion)) is not None:
            sums[:, dataset.labels.index(label)] += odds[:, number]
    return sums / sums.sum(axis=1, keepdims=True)


def describe_context(utterances: pd.DataFrame, windows: Windows) -> dict[str, NDArray]:
    """Describes what targets have before them: turn of the target, utterances, who spoke last.

    ``turn_number`` counts those of the dialogue from 1, ``context_size`` the utterances of the
    window, and ``next_speaker`` is the ``same`` as of its latest turn, a ``listener`` who spoke
    before in it, or ``new``.
    """
    who = utterances[["dialogue_id", "speaker"]]
    begins = (who != who.shift()).any(axis=1).astype(int)
    turns = begins.groupby(utterances["dialogue_id"], sort=False).cumsum().to_numpy()
    is_real = windows.rows != PADDING
    last = is_real.sum(axis=1) - 1
    is_own = is_real & (windows.roles == SPEAKER)
    is_same = is_own[np.arange(len(windows)), last]
    return {
        "turn_number": turns[windows.target_rows],
        "context_size": is_real.sum(axis=1),
        "next_speaker": np.select([is_same, is_own.any(axis=1)], ["same", "listener"], "new"),
    }
