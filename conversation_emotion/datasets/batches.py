"""Batches: some windows, and the features of their utterances, each of which is there once."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from conversation_emotion.datasets.group_statistics import GroupStatistics
from conversation_emotion.datasets.windows import PADDING, Windows
from conversation_emotion.features.extract import Features
from conversation_emotion.features.hidden_states import HiddenStates
from conversation_emotion.utterances.labels import IGNORED

LONGEST_RUN = 16
"""Windows that follow one another in their dialogue and are shuffled together.

They share most of their utterances, so that a batch of some runs computes a fifth of what one of
scattered windows does, and still holds many dialogues.
"""


MOST_IN_MEMORY = 2**30
"""Bytes up to which vectors are laid out in memory, unless they are in half precision.

Others are read batch by batch, and statistics of train are fitted piece by piece beyond this size.
"""


class Batch(NamedTuple):
    """Some windows, ready for a model.

    An utterance that several windows share is there once, and once more where its content is
    masked; M are distinct. Where each window is one utterance, they come in the order of windows.

    Attributes:
        states: Hidden states of each modality that is not in ``vectors``: (M, L, T, D).
        frames: Real frames of each modality; none where an utterance lacks it, or its content is
            masked: (M, T).
        vectors: What a model perceives of a modality, where that was computed before: (M, D).
        places: Number of each utterance among the M, `PADDING` where padded: (B, U).
        mask: Real utterances: (B, U).
        roles: Role of the speaker of each, `PADDING` where padded: (B, U).
        turns_back: Turns between each and the target, `PADDING` where padded: (B, U).
        context_emotions: Emotion of each, `IGNORED` where unlabelled or masked: (B, U). It is a
            target of auxiliary recognition, and an input only of models that are built for it.
        is_target: Marks the target itself, which only recognition has in its context: (B, U).
        targets: Class of the target, `IGNORED` where its emotion is none of the classes: (B,).
        emotions: Emotion of the target among all that the corpus names: (B,).
        target_rows: Row number of the target: (B,).
    """

    states: dict[str, Tensor]
    frames: dict[str, Tensor]
    vectors: dict[str, Tensor]
    places: Tensor
    mask: Tensor
    roles: Tensor
    turns_back: Tensor
    context_emotions: Tensor
    is_target: Tensor
    targets: Tensor
    emotions: Tensor
    target_rows: Tensor

    def to(self, device: torch.device) -> "Batch":
        """Moves all tensors to a device."""
        if device.type == "cpu":
            return self

        def move(value: Tensor | dict[str, Tensor]) -> Tensor | dict[str, Tensor]:
            if isinstance(value, dict):
                return {name: one.to(device, non_blocking=True) for name, one in value.items()}
            return value.to(device, non_blocking=True)

        return Batch._make(map(move, self))


class ModalityArrays:
    """The hidden states of one modality, laid out so that batches are cheap to gather.

    States are (L, T, D) or None, a row per utterance. ``normalise_clips`` centres and scales each
    utterance's states, layer by layer, ``statistics`` those of each group of rows; ``shape`` gives
    layers and features (L, D) where it may be that no utterance has the modality.

    Raises:
        ValueError: No utterance has the modality, and no shape is given.
    """

    def __init__(
        self,
        features: Features,
        name: str,
        *,
        normalise_clips: bool = False,
        statistics: GroupStatistics | None = None,
        shape: tuple[int, int] | None = None,
    ) -> None:
        self._states = HiddenStates.of(features.states)
        self._is_normalised = normalise_clips
        self.statistics = statistics
        shape = shape or self._states.shape()
        if shape is None:
            raise ValueError(
                f"no utterance has usable {name}"
                + (f"; {len(features.failures)} clips failed" if features.failures else "")
                + "; choose another --modality"
            )
        self.num_layers, self.size = shape
        self.num_frames = torch.from_numpy(self._states.lengths)
        self._dense: Tensor | None = None
        num_bytes = 4 * len(self._states) * self.num_layers * self.size
        is_small = num_bytes <= MOST_IN_MEMORY and not self._states.is_half
        if int(self.num_frames.max()) == 1 and is_small:
            self._dense = self._gather(np.arange(len(self._states)), self.num_frames > 0)

    def gather(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Gathers utterances by row number: (M,) -> (M, L, T, D), real frames (M, T)."""
        num_frames = self.num_frames[rows]
        width = max(1, int(num_frames.max()))
        frames = torch.arange(width) < num_frames.unsqueeze(-1)
        if self._dense is not None:
            return self._dense[rows], frames
        return self._gather(rows.numpy(), frames), frames

    def _gather(self, rows: NDArray[np.int64], frames: Tensor) -> Tensor:
        """Lays the frames of utterances out, zero where there are none -> (M, L, T, D)."""
        frames = frames.reshape(len(rows), -1)
        states = torch.zeros(len(rows), self.num_layers, frames.size(1), self.size)
        padded = states.numpy().transpose(0, 2, 1, 3)
        if self._is_normalised or self.statistics is not None:
            padded[frames.numpy()] = self._read(rows)
        else:
            self._states.fill(rows, padded)
        return states

    def _read(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Reads all frames of the rows, normalised or standardised where that is asked for."""
        found = self._states.gather(rows)
        if self._is_normalised:
            for clip in np.split(found, np.cumsum(self._states.lengths[rows])[:-1]):
                clip[:] = _normalise(clip)
        found = found.reshape(-1, self.num_layers, self.size)
        if self.statistics is None:
            return found
        return self.statistics.standardise(found, np.repeat(rows, self._states.lengths[rows]))

    def stack_frames(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Joins all frames of the rows that have the modality: (rows,) -> (sum of T, L, D)."""
        if not self._states.lengths[rows].any():
            raise ValueError("no utterance of the train part has this modality")
        return self._read(rows)

    def pieces(self, rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """Cuts rows into pieces whose frames take `MOST_IN_MEMORY` bytes: (rows,) -> (some,)."""
        num_frames = MOST_IN_MEMORY // (4 * self.num_layers * self.size)
        return list(self._states.pieces(rows, max(num_frames, 1)))


def _normalise(states: NDArray[np.floating]) -> NDArray[np.float32]:
    """Gives each layer mean zero and deviation one: (T, L, D) -> (T, L, D)."""
    values = states.astype(np.float32)
    if not len(values):
        return values
    centre, scale = measure_clip(values)
    return (values - centre) / scale


def measure_clip(states: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Returns mean and deviation of each layer: (T, L, D) -> (1, L, 1) each."""
    centre, scale = (measure(axis=(0, 2), keepdims=True) for measure in (states.mean, states.std))
    return centre, np.maximum(scale, 1e-5)


@dataclass(eq=False, repr=False)
class WindowLoader:
    """The batches of windows, in their order, or shuffled anew each epoch if a seed is given.

    Neighbours that share utterances are shuffled in runs, see `LONGEST_RUN`; windows of single
    utterances share none. ``classes`` are those of every row of the table, `IGNORED` where there is
    none. ``vectors`` are what a model perceives of each row of a modality, (rows, D), where that
    does not change in training: states are then not gathered. Where it ``is_balanced`` an epoch has
    as many windows of each class, see `draw_balanced`.
    """

    windows: Windows
    arrays: Mapping[str, ModalityArrays]
    classes: NDArray[np.int64]
    _: KW_ONLY
    batch_size: int
    seed: int | None = None
    is_balanced: bool = False
    vectors: Mapping[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._generator = torch.Generator()
        if self.seed is not None:
            self._generator.manual_seed(self.seed)

    def __len__(self) -> int:
        return -(-len(self.windows) // self.batch_size)

    @cached_property
    def _runs(self) -> list[NDArray[np.int64]]:
        return find_runs(self.windows)

    def __iter__(self) -> Iterator[Batch]:
        numbers = np.arange(len(self.windows))
        if self.seed is not None:
            numbers = self._shuffle()
        for first in range(0, len(numbers), self.batch_size):
            chosen = numbers[first : first + self.batch_size]
            yield gather_batch(self.windows, self.arrays, self.classes, chosen, self.vectors)

    def _shuffle(self) -> NDArray[np.int64]:
        """Returns the numbers of the windows of an epoch: (N,)."""
        if not self.is_balanced:
            return shuffle_runs(self._runs, self._generator)
        seed = int(torch.randint(2**31, (), generator=self._generator))
        return draw_balanced(self.windows.targets, np.random.default_rng(seed))


def draw_balanced(classes: NDArray[np.int64], generator: np.random.Generator) -> NDArray[np.int64]:
    """Draws about as many numbers as there are, the same count of each class: (N,) -> (N',).

    All of a class come before one of it returns; what has no class comes once.
    """
    labelled = classes >= 0
    present = np.unique(classes[labelled])
    count = int(labelled.sum()) // max(len(present), 1)
    drawn = [np.flatnonzero(~labelled)]
    for one in present:
        numbers = np.flatnonzero(classes == one)
        rounds = [generator.permutation(numbers) for _ in range(-(-count // len(numbers)))]
        drawn.append(np.concatenate(rounds)[:count])
    return generator.permutation(np.concatenate(drawn))


def seed_everything(seed: int) -> None:
    """Seeds the generators of Python, NumPy and PyTorch, there of all devices."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def find_runs(windows: Windows) -> list[NDArray[np.int64]]:
    """Returns the numbers of windows in runs of at most `LONGEST_RUN` that share utterances."""
    last = windows.rows.max(axis=1)
    starts = np.flatnonzero(np.append(True, windows.rows[1:, 0] > last[:-1]))
    return [
        run[first : first + LONGEST_RUN]
        for run in np.split(np.arange(len(windows)), starts[1:])
        for first in range(0, len(run), LONGEST_RUN)
    ]


def shuffle_runs(
    runs: Sequence[NDArray[np.int64]], generator: torch.Generator
) -> NDArray[np.int64]:
    """Shuffles runs, each of which stays as it is, and joins them: (N,)."""
    order = torch.randperm(len(runs), generator=generator).tolist()
    return np.concatenate([runs[number] for number in order])


def gather_batch(
    windows: Windows,
    arrays: Mapping[str, ModalityArrays],
    classes: NDArray[np.int64],
    numbers: NDArray[np.int64],
    vectors: Mapping[str, Tensor] | None = None,
) -> Batch:
    """Gathers the windows of the given numbers, cut to the longest of them."""
    vectors = vectors or {}
    width = int((windows.rows[numbers] != PADDING).sum(axis=1).max())
    rows, masked = windows.rows[numbers, :width], windows.masked[numbers, :width]
    items, places = _find_items(rows, masked)
    distinct, is_masked = torch.from_numpy(items >> 1), torch.from_numpy(items & 1 == 1)
    gathered = {
        name: leave_out(*array.gather(distinct), is_masked)
        for name, array in arrays.items()
        if name not in vectors
    }
    mask = rows != PADDING
    target_rows = windows.target_rows[numbers]
    return Batch(
        states={name: states for name, (states, _) in gathered.items()},
        frames={name: frames for name, (_, frames) in gathered.items()},
        vectors={
            name: leave_out_vectors(found[distinct], is_masked) for name, found in vectors.items()
        },
        places=torch.from_numpy(places),
        mask=torch.from_numpy(mask),
        roles=torch.from_numpy(windows.roles[numbers, :width]),
        turns_back=torch.from_numpy(windows.turns_back[numbers, :width]),
        context_emotions=torch.from_numpy(np.where(mask & ~masked, classes[rows], IGNORED)),
        is_target=torch.from_numpy(rows == target_rows[:, None]),
        targets=torch.from_numpy(windows.targets[numbers]),
        emotions=torch.from_numpy(classes[target_rows]),
        target_rows=torch.from_numpy(target_rows),
    )


def _find_items(
    rows: NDArray[np.int64], masked: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Finds the distinct utterances of windows: (B, U), (B, U) -> (M,), places (B, U).

    Each is twice its row number, and one more where it is masked.
    """
    keys, mask = 2 * rows + masked, rows != PADDING
    if rows.shape[1] == 1:
        return keys[:, 0], np.arange(len(rows))[:, None]
    items, found = np.unique(keys[mask], return_inverse=True)
    places = np.full(rows.shape, PADDING)
    places[mask] = found
    return items, places


def leave_out(states: Tensor, frames: Tensor, masked: Tensor) -> tuple[Tensor, Tensor]:
    """Lets utterances lack a modality: (M, L, T, D), (M, T), (M,) -> the first two."""
    if not masked.any():
        return states, frames
    return states.masked_fill(masked[:, None, None, None], 0.0), frames & ~masked[:, None]


def leave_out_vectors(vectors: Tensor, masked: Tensor) -> Tensor:
    """Sets utterances to zero in place: (M, D), (M,) -> (M, D)."""
    return vectors.masked_fill_(masked[:, None], 0.0) if masked.any() else vectors
