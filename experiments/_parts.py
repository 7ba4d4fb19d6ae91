"""A corpus ready for training, cut into the parts of a fold."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from torch.utils.data import DataLoader

from conversation_emotion.datasets.batches import ModalityArrays, make_loader
from conversation_emotion.datasets.dataset import Corpus
from conversation_emotion.datasets.windows import Windows
from conversation_emotion.splits.folds import Fold


class Prepared(NamedTuple):
    """A corpus ready for training.

    Attributes:
        corpus: Utterances, classes, folds.
        windows: Every judged emotion with what may be heard for it.
        learning: What the train part may learn from; the same windows or more.
        arrays: Hidden states of each modality, by name of the fold; a family of tuned encoders
            gives others in each, all other encoders the same.
        failures: Clips that could not be used.
        fingerprint: Digest of the utterances and of what their features depend on.
    """

    corpus: Corpus
    windows: Windows
    learning: Windows
    arrays: Mapping[str, Mapping[str, ModalityArrays]]
    failures: dict[str, str]
    fingerprint: str


class Part(NamedTuple):
    """A part of a fold: its windows, and their batches."""

    windows: Windows
    loader: DataLoader[int]


def choose_batch_size(num_windows: int) -> int:
    """Chooses the windows of a batch by what is learnt from: many updates, and little noise."""
    return min(max(num_windows // 32, 64), 256)


def make_parts(
    prepared: Prepared,
    fold: Fold,
    seed: int,
    batch_size: int | None,
    names: Sequence[str] = ("train", "valid", "test", "learning"),
) -> dict[str, Part]:
    """Cuts the windows into the parts of a fold; only what is learnt from is shuffled."""
    parts = {}
    for part in names:
        source = prepared.learning if part == "learning" else prepared.windows
        windows = source.select(fold.train if part == "learning" else getattr(fold, part))
        if not len(windows):
            raise ValueError(
                f"{prepared.corpus.split.name}: nothing to judge in the {part} part of fold "
                f"{fold.name!r}"
            )
        size = batch_size or choose_batch_size(len(windows))
        loader = make_loader(
            windows,
            prepared.arrays[fold.name],
            prepared.corpus.heard_classes,
            batch_size=size if part == "learning" else 256,
            seed=seed if part == "learning" else None,
        )
        parts[part] = Part(windows, loader)
    return parts
