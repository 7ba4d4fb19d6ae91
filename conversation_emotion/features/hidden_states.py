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
        lengths = self.lengths[rows]
        found = np.empty((lengths.sum(), *(self.shape() or (0, 0))), dtype=np.float32)
        firsts = np.cumsum(lengths) - lengths
        for array, places, utterances, frames in self._find(rows):
            found[firsts[utterances] + frames] = array[places]
        return found

    def fill(self, rows: NDArray[np.int64], padded: NDArray[np.float32]) -> None:
        """Copies the frames of some utterances into an array that holds zeros: (M, T, L, D)."""
        for array, places, utterances, frames in self._find(rows):
            padded[utterances, frames] = array[places]

    def _find(
        self, rows: NDArray[np.int64]
    ) -> Iterator[tuple[States, NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]:
        """Yields each array that rows lie in, with the places of all their frames there.

        Of each frame also the number of its utterance among the rows, and of itself within that.
        """
        order = np.argsort(self.numbers[rows], kind="stable")
        numbers, lengths = self.numbers[rows[order]], self.lengths[rows[order]]
        ends = np.cumsum(lengths)
        frames = np.arange(lengths.sum()) - np.repeat(ends - lengths, lengths)
        places = np.repeat(self.firsts[rows[order]], lengths) + frames
        utterances = np.repeat(order, lengths)
        last = np.append(numbers[1:] != numbers[:-1], True)[: len(numbers)]
        first = 0
        for number, end in zip(numbers[last].tolist(), ends[last].tolist(), strict=True):
            if number >= 0:
                here = slice(first, end)
                yield self.arrays[number], places[here], utterances[here], frames[here]
            first = end

    def pieces(self, rows: NDArray[np.int64], num_frames: int) -> Iterator[NDArray[np.int64]]:
        """Cuts rows into pieces of so many frames, and at most one utterance more."""
        if len(rows):
            piece = (np.cumsum(self.lengths[rows]) - 1).clip(min=0) // num_frames
            yield from np.split(rows, np.flatnonzero(np.diff(piece)) + 1)
