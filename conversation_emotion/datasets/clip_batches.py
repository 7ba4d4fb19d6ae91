"""Batches of whole clips of similar length, in an order that seed and epoch alone decide."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from accelerate.utils import set_seed
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

_BATCHES_SORTED_TOGETHER = 16  # long enough to pad little, short enough to keep the order random


class ClipBatch(NamedTuple):
    """Clips that are encoded together.

    Attributes:
        inputs: Inputs of the encoder, zero at padding: (B, N, D).
        lengths: Real inputs of each clip: (B,).
        targets: Class of each: (B,).
        spellings: Characters of all transcripts, concatenated: (sum of lengths,).
        spelling_lengths: Characters of each transcript; 0 where there is none: (B,).
        rows: Row number of each in the utterance table: (B,).
    """

    inputs: Tensor
    lengths: Tensor
    targets: Tensor
    spellings: Tensor
    spelling_lengths: Tensor
    rows: Tensor

    def to(self, device: torch.device) -> "ClipBatch":
        """Moves all tensors to a device."""
        return ClipBatch(*(tensor.to(device, non_blocking=True) for tensor in self))


@dataclass(frozen=True, kw_only=True)
class Clips:
    """All clips of a corpus, a row per utterance, with ``rate`` inputs per second.

    ``inputs`` are (1, N, D) or None where a clip cannot be used, ``classes`` below 0 where there is
    none; ``spellings`` are indices of the characters of each transcript, None without transcripts.
    """

    inputs: Sequence[NDArray[np.floating] | None]
    classes: NDArray[np.int64]
    spellings: Sequence[NDArray[np.int64]] | None = None
    rate: float = 50.0

    def usable(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Returns the rows that have a class and can be used."""
        is_usable = [self.classes[row] >= 0 and self.inputs[row] is not None for row in rows]
        return rows[np.array(is_usable, dtype=bool)]

    def length(self, row: int) -> int:
        """Returns the number of inputs of a clip."""
        found = self.inputs[row]
        return 0 if found is None else found.shape[1]

    def gather(self, rows: NDArray[np.int64]) -> ClipBatch:
        """Returns the batch of some rows, all of them usable."""
        inputs = [
            torch.from_numpy(np.array(found[0], dtype=np.float32))
            for found in (self.inputs[row] for row in rows)
            if found is not None
        ]
        empty = np.empty(0, dtype=np.int64)
        spelt = [empty if self.spellings is None else self.spellings[row] for row in rows]
        return ClipBatch(
            inputs=pad_sequence(inputs, batch_first=True),
            lengths=torch.tensor([len(clip) for clip in inputs]),
            targets=torch.from_numpy(self.classes[rows]),
            spellings=torch.from_numpy(np.concatenate(spelt)),
            spelling_lengths=torch.tensor([len(one) for one in spelt]),
            rows=torch.from_numpy(rows),
        )


class ClipLoader:
    """The batches of some rows; what an epoch does depends on the seed and its number alone.

    A training that was killed can therefore continue at any epoch: the order of the clips and all
    chance of the forward pass (dropout, masks) are those that it would have had. Without a seed,
    clips are sorted by length and chance is left alone. Sizes are limits as in `plan_batches`.
    """

    def __init__(
        self,
        clips: Clips,
        rows: NDArray[np.int64],
        *,
        batch_size: int,
        batch_seconds: float,
        device: torch.device,
        seed: int | None = None,
    ) -> None:
        self.clips, self.rows, self.device, self.seed = clips, rows, device, seed
        self.batch_size, self.batch_seconds = batch_size, batch_seconds
        self.epoch = 0

    def __len__(self) -> int:
        return len(self._plan())

    def __iter__(self) -> Iterator[ClipBatch]:
        plan = self._plan()
        if self.seed is not None:
            set_seed(self.seed * 10_000 + self.epoch)
            self.epoch += 1
        for rows in plan:
            yield self.clips.gather(rows).to(self.device)

    def _plan(self) -> list[NDArray[np.int64]]:
        seed = None if self.seed is None else [self.seed, self.epoch]
        limits = {"batch_size": self.batch_size, "batch_seconds": self.batch_seconds}
        return list(plan_batches(self.clips, self.rows, seed=seed, **limits))


def plan_batches(
    clips: Clips,
    rows: NDArray[np.int64],
    *,
    batch_size: int,
    batch_seconds: float,
    seed: Sequence[int] | None = None,
) -> Iterator[NDArray[np.int64]]:
    """Divides rows, every one once, into batches with little padding.

    A batch has at most ``batch_size`` clips and ``batch_seconds`` of audio, padding included; a
    longer clip is alone. The seed, such as that of a training and its epoch, decides the order;
    None sorts by length.
    """
    lengths = np.array([clips.length(row) for row in rows])
    if seed is None:
        order = np.argsort(-lengths, kind="stable")
        yield from _cut(rows[order], lengths[order], batch_size, batch_seconds * clips.rate)
        return
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(rows))
    size = batch_size * _BATCHES_SORTED_TOGETHER
    batches: list[NDArray[np.int64]] = []
    for first in range(0, len(order), size):
        some = order[first : first + size]
        some = some[np.argsort(-lengths[some], kind="stable")]
        batches += _cut(rows[some], lengths[some], batch_size, batch_seconds * clips.rate)
    yield from (batches[number] for number in generator.permutation(len(batches)))


def _cut(
    rows: NDArray[np.int64], lengths: NDArray[np.int64], batch_size: int, most: float
) -> Iterator[NDArray[np.int64]]:
    """Cuts rows sorted from long to short, so that the first of a batch is its longest."""
    first = 0
    while first < len(rows):
        fitting = min(batch_size, most / max(1, lengths[first]))
        last = first + max(1, int(fitting))
        yield rows[first:last]
        first = last
