"""Classes of a train part: weights by which each counts alike, and those that a corpus lacks."""

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from conversation_emotion.datasets.dataset import Dataset
from conversation_emotion.splits.folds import Rows
from conversation_emotion.tasks.voted import VotedTargets
from conversation_emotion.utterances.labels import IGNORED


def balanced_class_weights(classes: NDArray[np.int64], labels: tuple[str, ...]) -> Tensor:
    """Returns weights by which each class of train counts alike: (N,) -> (C,).

    Raises:
        ValueError: A class has no example in train.
    """
    counts = np.bincount(classes[classes != IGNORED], minlength=len(labels))
    if absent := [label for label, count in zip(labels, counts, strict=True) if count == 0]:
        raise ValueError(
            f"the train part has no example of {', '.join(absent)}; its classes are "
            f"{dict(zip(labels, counts.tolist(), strict=True))}"
        )
    return torch.from_numpy(counts.sum() / (len(labels) * counts)).float()


def find_absent_classes(
    dataset: Dataset, train: Rows, voted: VotedTargets | None = None
) -> Tensor | None:
    """Marks the classes of which the corpus of a row has no example in train: (rows, C).

    That a corpus lacks a class is no evidence against it, so the loss leaves the class out. None
    where the table is of one corpus, or all have every class.
    """
    if "source" not in dataset.utterances:
        return None
    sources, names = pd.factorize(dataset.utterances["source"])
    is_there = np.zeros((len(names), len(dataset.labels)), dtype=bool)
    if voted is None:
        is_there[sources[train], dataset.classes()[train]] = True
    else:
        rows, classes = np.nonzero(np.nan_to_num(voted.targets[train]))
        is_there[sources[train][rows], classes] = True
    is_there[~is_there.any(axis=1)] = True  # a corpus that is not trained on
    return None if is_there.all() else torch.from_numpy(~is_there[sources])
