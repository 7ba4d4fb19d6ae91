"""Folds: the rows that train, select and test, and what has to be reported about them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from conversation_emotion.settings.corpus import NUM_FOLDS, ValidPart

Rows = NDArray[np.int64]
"""Row numbers of an utterance table."""


class LeakageError(ValueError):
    """Something of the test part is in the train part."""


@dataclass(frozen=True, kw_only=True)
class Fold:
    """Rows whose emotion is trained on, selected by and tested on.

    Other utterances of their dialogues may be context; the audit therefore looks at dialogues.
    """

    name: str
    train: Rows
    valid: Rows
    test: Rows


@dataclass(frozen=True, kw_only=True)
class Split:
    """The folds of one protocol, and in words how valid was drawn and what else is to be known."""

    name: str
    folds: tuple[Fold, ...]
    validation: str
    notes: tuple[str, ...] = ()

    def fold(self, name: str | None) -> Fold:
        """Returns the fold of a name, the first if it is None.

        Raises:
            ValueError: There is no fold of that name.
        """
        for fold in self.folds:
            if name in (None, fold.name):
                return fold
        names = ", ".join(fold.name for fold in self.folds)
        raise ValueError(f"--fold {name}: {self.name} has the folds {names}")


@dataclass(frozen=True, kw_only=True)
class SplitOptions:
    """Options of some splits besides their name.

    Args:
        num_folds: Folds of ``speaker-k-fold`` and ``shuffled-k-fold``.
        valid: What selects the epoch where a split leaves it open: a fifth of the train dialogues
            (``share``), all those of one ``speaker``, or the test part of the next ``fold``.
        seed: Seed of the draw of validation dialogues and speaker groups.
        superb_folds: s3prl's ``meta_data`` folder with ``Session*/{train,test}_meta_data.json``.
        emobox_folds: EmoBox's folder of the corpus, with ``fold_*/*_{train,test}_fold_*.jsonl``.
        target_rows: Rows with a class, of which the published splits are made; all if None.
    """

    num_folds: int = NUM_FOLDS
    valid: ValidPart = "share"
    seed: int = 0
    superb_folds: Path | None = None
    emobox_folds: Path | None = None
    target_rows: Rows | None = None
