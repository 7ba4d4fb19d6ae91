"""Trains on planted conversations of IEMOCAP's size, by the engine or by a plain loop.

Run as a script with the source of any commit on the path; see `benchmarks.training_speed`.
"""

import sys
from collections.abc import Mapping
from itertools import product

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from conversation_emotion.datasets.batches import ModalityArrays
from conversation_emotion.datasets.dataset import Dataset
from conversation_emotion.datasets.inputs import Inputs
from conversation_emotion.datasets.windows import Windows, build_windows
from conversation_emotion.features.extract import Features
from conversation_emotion.settings.features import FeatureSettings
from conversation_emotion.settings.models import ConversationModelSettings
from conversation_emotion.settings.training import TrainingSettings
from conversation_emotion.splits.folds import Fold
from conversation_emotion.splits.protocols import Split
from conversation_emotion.tasks.class_weights import balanced_class_weights
from conversation_emotion.tasks.emotion import TurnEmotion
from conversation_emotion.tracker import MemoryTracker
from conversation_emotion.training.cross_validation import cross_validate
from conversation_emotion.utterances.labels import LabelMap, Targets
from conversation_emotion.utterances.table import build_utterances

LABELS = ("angry", "happy", "neutral", "sad")
NUM_DIALOGUES, NUM_UTTERANCES, NUM_LABELLED = 151, 10_039, 5_531
SIZES = {"speech": 768, "text": 384}


def plant(
    num_folds: int,
    training: TrainingSettings,
    *,
    num_utterances: int = NUM_UTTERANCES,
    sizes: Mapping[str, int] = SIZES,
) -> TurnEmotion:
    """Plants conversations whose features hint at the emotion of their utterance.

    An emotion is that of the utterance two before in six cases of ten, else any. Dialogues are as
    long, and as many of their utterances labelled, as IEMOCAP's.
    """
    generator = np.random.default_rng(0)
    num_dialogues = max(NUM_DIALOGUES * num_utterances // NUM_UTTERANCES, 10)
    num_labelled = NUM_LABELLED * num_utterances // NUM_UTTERANCES
    dialogues = np.sort(np.arange(num_utterances) % num_dialogues)
    turns = generator.integers(0, 2, num_utterances).cumsum()  # half of all begin a turn
    rows = [
        {
            "utterance_id": f"u{row:05}",
            "dialogue_id": f"d{dialogue:03}",
            "order": row - int(np.searchsorted(dialogues, dialogue)),
            "speaker": f"s{dialogue % 10}{'FM'[turns[row] % 2]}",
        }
        for row, dialogue in enumerate(dialogues)
    ]
    table = build_utterances(rows, "planted")
    emotions = generator.integers(0, 4, num_utterances)
    for row in range(2, num_utterances):
        if generator.random() < 0.6:
            emotions[row] = emotions[row - 2]
    classes = emotions.copy()
    classes[generator.permutation(num_utterances)[num_labelled:]] = -100
    arrays = {
        name: ModalityArrays(_make_features(generator, emotions, size), name)
        for name, size in sizes.items()
    }
    people = dialogues % 10
    folds = tuple(_make_fold(people, fold) for fold in range(num_folds))
    dataset = Dataset(
        table,
        LabelMap(
            corpus="planted", label_set="4", labels=LABELS, classes={name: name for name in LABELS}
        ),
        Targets(pd.Series(classes), {}, num_utterances - num_labelled),
        LABELS,
        emotions,
        Split(name="planted", folds=folds, validation="the next speakers"),
    )
    windows = build_windows(table, classes)
    inputs = Inputs(dataset, windows, windows, {f.name: arrays for f in folds}, {}, "planted")
    return TurnEmotion(inputs, FeatureSettings(), ConversationModelSettings(), training)


def _make_features(generator: np.random.Generator, emotions: np.ndarray, size: int) -> Features:
    centres = generator.normal(size=(4, size))
    values = 0.2 * centres[emotions] + generator.normal(size=(len(emotions), size))
    return Features([one[None, None] for one in values.astype(np.float32)], {})


def _make_fold(people: np.ndarray, number: int) -> Fold:
    is_test, is_valid = people == number, people == (number + 1) % 10
    train, valid, test = (np.flatnonzero(x) for x in (~is_test & ~is_valid, is_valid, is_test))
    return Fold(name=f"fold{number}", train=train, valid=valid, test=test)


class PlainModel(nn.Module):
    """Dropout and a projection of every padded utterance, three GRUs, their last states, a head."""

    def __init__(self, settings: ConversationModelSettings) -> None:
        super().__init__()
        size = settings.hidden_size
        self.project = nn.Sequential(
            nn.Dropout(settings.input_dropout), nn.Linear(sum(SIZES.values()), size), nn.GELU()
        )
        self.all, self.own, self.other = (nn.GRU(size, size, batch_first=True) for _ in range(3))
        self.head = nn.Sequential(nn.Dropout(settings.dropout), nn.Linear(3 * size, len(LABELS)))

    def forward(self, features: Tensor, roles: Tensor) -> Tensor:
        """Predicts padded windows: (B, U, D), (B, U) -> (B, C)."""
        states = self.all(self.project(features))[0]
        last = ((roles >= 0).sum(dim=1) - 1)[:, None, None].expand(-1, 1, states.size(2))
        found = [states.gather(1, last)[:, 0]]
        for gru, role in ((self.own, 0), (self.other, 1)):
            found.append(gru(states * (roles == role).unsqueeze(-1))[0].gather(1, last)[:, 0])
        return self.head(torch.cat(found, dim=-1))


def train_plainly(task: TurnEmotion) -> None:
    """Trains as the field's scripts do: one model after another, windows padded to the longest."""
    arrays = next(iter(task.inputs.arrays.values()))
    rows = np.arange(NUM_UTTERANCES)
    joined = np.concatenate([array.stack_frames(rows)[:, 0] for array in arrays.values()], axis=1)
    for fold, seed in product(task.dataset.split.folds, range(task.training.seeds)):
        torch.manual_seed(seed)
        centre, scale = joined[fold.train].mean(axis=0), joined[fold.train].std(axis=0)
        features = torch.from_numpy((joined - centre) / scale)
        parts = [task.inputs.windows.select(rows) for rows in (fold.train, fold.valid, fold.test)]
        model, epochs = PlainModel(task.model), task.training.epochs
        optimizer = torch.optim.AdamW(model.parameters(), task.training.learning_rate)
        weights = balanced_class_weights(parts[0].targets, LABELS)
        for _ in range(epochs):
            model.train()
            for numbers in torch.randperm(len(parts[0])).split(256):
                targets = torch.from_numpy(parts[0].targets)[numbers]
                loss = F.cross_entropy(
                    _predict(model, features, parts[0], numbers), targets, weights
                )
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
            model.eval()
            with torch.inference_mode():
                for part in parts[1:]:
                    for numbers in torch.arange(len(part)).split(256):
                        _predict(model, features, part, numbers)


def _predict(model: nn.Module, features: Tensor, windows: Windows, numbers: Tensor) -> Tensor:
    rows, roles = (torch.from_numpy(x)[numbers] for x in (windows.rows, windows.roles))
    return model(features[rows.clamp(min=0)] * (rows >= 0).unsqueeze(-1), roles)


def main() -> None:
    """Trains ``engine`` or ``plain``, by numbers of folds, seeds and epochs."""
    system, *numbers = sys.argv[1:]
    folds, seeds, epochs = map(int, numbers)
    training = TrainingSettings(
        seeds=seeds, epochs=epochs, patience=epochs, learning_rate=5e-4, batch_size=256
    )
    task = plant(folds, training)
    if system == "plain":
        train_plainly(task)
        return
    table = cross_validate(task, MemoryTracker())
    test = table[table["part"] == "test"]
    hits = (test["target"] == test["predicted"]).groupby(test["target"]).mean()
    print(f"UAR {100 * hits.mean():.1f}")


if __name__ == "__main__":
    main()
