"""Hidden states of many utterances: places in a few arrays of frames, which may lie on disk.

What a batch needs is copied out of the arrays by index, so that neither memory nor the time of a
batch grows with the corpus.
"""

from collections.abc import Iterator, Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray

States = NDArray[np.floating]


class HiddenStates(Sequence[States | None]):
    """The hidden states of N utterances, (L, T, D) each, None where one lacks the modality.

    Args:
        arrays: Frames of many utterances each, the same L and D in all: (sum of T, L, D).
        numbers: Array that each utterance lies in, -1 where it lacks the modality: (N,).
        firsts: Its first frame there: (N,).
        lengths: Its frames, 0 where there are none: (N,).
    """

    def __init__(
        self,
        arrays: Sequence[States],
        numbers: NDArray[np.int64],
        firsts: NDArray[np.int64],
        lengths: NDArray[np.int64],
    ) -> None:
        self.arrays, self.numbers, self.firsts, self.lengths = arrays, numbers, firsts, lengths

    @classmethod
    def of(cls, states: Sequence[States | None]) -> "HiddenStates":
        """Joins arrays of (L, T, D) to one; what is joined already stays where it is."""
        if isinstance(states, cls):
            return states
        present = [one.transpose(1, 0, 2) for one in states if one is not None]
        lengths = np.array([0 if one is None else one.shape[1] for one in states], dtype=np.int64)
        numbers = np.array([-1 if one is None else 0 for one in states], dtype=np.int64)
        joined = [np.concatenate(present)] if present else []
        return cls(joined, numbers, np.cumsum(lengths) - lengths, lengths)

    def __len__(self) -> int:
        return len(self.numbers)

    @overload
    def __getitem__(self, row: int) -> States | None: ...
    @overload
    def __getitem__(self, row: slice) -> "HiddenStates": ...
    def __getitem__(self, row: int | slice) -> "States | HiddenStates | None":
        if isinstance(row, slice):
            places = self.numbers[row], self.firsts[row], self.lengths[row]
            return HiddenStates(self.arrays, *places)
        if self.numbers[row] < 0:
            return None
        first = int(self.firsts[row])
        found = self.arrays[self.numbers[row]][first : first + int(self.lengths[row])]
        return found.transpose(1, 0, 2)

    @property
    def is_half(self) -> bool:
        """Whether they are kept in half precision."""
        return any(one.dtype == np.float16 for one in self.arrays)

    def shape(self) -> tuple[int, int] | None:
        """Returns layers and features (L, D); None where no utterance has the modality."""
        present = self.numbers[self.numbers >= 0]
        return self.arrays[present[0]].shape[1:] if len(present) else None

    def gather(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Copies all frames of some utterances, one after another: (M,) -> (sum of T, L, D)."""
        lengths, numbers = self.lengths[rows], self.numbers[rows]
        shape = self.shape()
        if shape is None:
            return np.zeros((0, 0, 0), dtype=np.float32)
        ends = np.cumsum(lengths)
        within = np.arange(lengths.sum()) - np.repeat(ends - lengths, lengths)
        places = np.repeat(self.firsts[rows], lengths) + within
        sources = np.repeat(numbers, lengths)
        found = np.empty((len(places), *shape), dtype=np.float32)
        for number in np.unique(numbers[numbers >= 0]).tolist():
            is_here = sources == number
            found[is_here] = self.arrays[number][places[is_here]]
        return found

    def pieces(self, rows: NDArray[np.int64], num_frames: int) -> Iterator[NDArray[np.int64]]:
        """Cuts rows into pieces of so many frames, and at most one utterance more."""
        if len(rows):
            piece = (np.cumsum(self.lengths[rows]) - 1).clip(min=0) // num_frames
            yield from np.split(rows, np.flatnonzero(np.diff(piece)) + 1)
