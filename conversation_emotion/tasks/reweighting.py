"""Weights by which groups of speakers, such as women and men, count alike in a loss."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from conversation_emotion.datasets.dataset import Dataset
from conversation_emotion.evaluation.groups import cut_values
from conversation_emotion.splits.folds import Rows
from conversation_emotion.utterances.labels import IGNORED

MOST = 10.0
"""Largest weight, so that the few utterances of a rare group are not learned by heart."""


def weigh_groups(dataset: Dataset, train: Rows, columns: Sequence[str]) -> Tensor | None:
    """Returns the weight of each row of the table, (rows,): 1 in the mean of each class of train.

    Within a class each group counts alike, as if a group were independent of the class (Kamiran and
    Calders, 2012) and as frequent as the others. Several columns together make a group, and what
    lacks one of them has the weight 1. None where there are no columns.

    Args:
        dataset: The utterances.
        train: Rows that are learned from.
        columns: What makes groups, columns of the utterance table.
    """
    if not columns:
        return None
    weights = np.ones(len(dataset.utterances))
    groups, classes = _name_groups(dataset.utterances, columns), dataset.classes()
    is_used = np.isin(np.arange(len(weights)), train) & (classes != IGNORED)
    cells = pd.DataFrame({"group": groups, "class": classes})[is_used & groups.notna()]
    sizes = cells.groupby("class")["class"].transform("size")
    num_groups = cells.groupby("class")["group"].transform("nunique")
    counts = cells.groupby(["class", "group"])["group"].transform("size")
    weights[cells.index] = np.minimum(sizes / (num_groups * counts), MOST)
    return torch.from_numpy(weights).float()


def describe_weights(dataset: Dataset, columns: Sequence[str]) -> Iterator[str]:
    """Describes the weights of all folds: their range, and what has none or is cut."""
    if not columns:
        return
    found = [weigh_groups(dataset, fold.train, columns) for fold in dataset.split.folds]
    weights = torch.stack([one for one in found if one is not None])
    is_target = dataset.classes() != IGNORED
    unknown = int((_name_groups(dataset.utterances, columns).isna() & is_target).sum())
    cut = int((weights >= MOST).any(dim=0).sum())
    yield (
        f"groups by {' and '.join(columns)} count alike in each class of train: weights "
        f"{weights.min():.2f} to {weights.max():.2f}, {cut:,} utterances cut to {MOST:g}, "
        f"{unknown:,} targets without a group have 1"
    )


def _name_groups(utterances: pd.DataFrame, columns: Sequence[str]) -> pd.Series:
    """Names the group of each utterance, missing where one of the columns is."""
    values = [cut_values(utterances[name], name).astype("string") for name in columns]
    joined = values[0].reset_index(drop=True)
    for other in values[1:]:
        joined = joined + ", " + other.reset_index(drop=True)
    return joined
