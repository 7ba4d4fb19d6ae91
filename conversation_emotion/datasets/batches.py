"""Batches: the utterances of some windows, and the features of those that are real."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from conversation_emotion.datasets.windows import PADDING, Windows
from conversation_emotion.features.extract import Features
from conversation_emotion.utterances.labels import IGNORED


class Batch(NamedTuple):
    """Some windows, ready for a model.

    Attributes:
        states: Hidden states of each modality, for the M real utterances: (M, L, T, D).
        frames: Real frames of each modality; none where an utterance lacks it, or its content is
            masked: (M, T).
        mask: Real utterances, M in all, which are counted row by row: (B, U).
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
    mask: Tensor
    roles: Tensor
    turns_back: Tensor
    context_emotions: Tensor
    is_target: Tensor
    targets: Tensor
    emotions: Tensor
    target_rows: Tensor


class ModalityArrays:
    """The hidden states of one modality, laid out so that batches are cheap to gather.

    States are (L, T, D) or None, a row per utterance. ``normalise_clips`` centres and scales each
    utterance's states, layer by layer; ``shape`` gives layers and features (L, D) where it may be
    that no utterance has the modality.

    Raises:
        ValueError: No utterance has the modality, and no shape is given.
    """

    def __init__(
        self,
        features: Features,
        name: str,
        *,
        normalise_clips: bool = False,
        shape: tuple[int, int] | None = None,
    ) -> None:
        kept = features.states
        if normalise_clips:
            kept = [None if states is None else _normalise(states) for states in kept]
        present = [states for states in kept if states is not None]
        if not present and shape is None:
            raise ValueError(
                f"no utterance has usable {name}"
                + (f"; {len(features.failures)} clips failed" if features.failures else "")
                + "; choose another --modality"
            )
        self.num_layers, self.size = shape or present[0].shape[::2]
        self._states = kept
        self.num_frames = torch.tensor([0 if s is None else s.shape[1] for s in kept])
        self._dense: Tensor | None = None
        if int(self.num_frames.max()) == 1:
            absent = np.zeros((self.num_layers, 1, self.size), dtype=np.float32)
            rows = [absent if states is None else states for states in kept]
            self._dense = torch.from_numpy(np.stack(rows).astype(np.float32))

    def gather(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Gathers utterances by row number: (M,) -> (M, L, T, D), real frames (M, T)."""
        num_frames = self.num_frames[rows]
        width = max(1, int(num_frames.max()))
        frames = torch.arange(width) < num_frames.unsqueeze(-1)
        if self._dense is not None:
            return self._dense[rows], frames
        states = torch.zeros(len(rows), self.num_layers, width, self.size)
        for place, row in enumerate(rows.tolist()):
            if (found := self._states[row]) is not None:
                states[place, :, : found.shape[1]] = torch.from_numpy(found.astype(np.float32))
        return states, frames

    def stack_frames(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Joins all frames of the rows that have the modality: (rows,) -> (sum of T, L, D)."""
        found = (self._states[row] for row in rows)
        joined = [states.transpose(1, 0, 2) for states in found if states is not None]
        if not joined:
            raise ValueError("no utterance of the train part has this modality")
        return np.concatenate(joined).astype(np.float32)


def _normalise(states: NDArray[np.floating]) -> NDArray[np.float32]:
    """Gives each layer mean zero and deviation one: (L, T, D) -> (L, T, D)."""
    values = states.astype(np.float32)
    centred = values - values.mean(axis=(1, 2), keepdims=True)
    return centred / np.maximum(values.std(axis=(1, 2), keepdims=True), 1e-5)


def make_loader(
    windows: Windows,
    arrays: Mapping[str, ModalityArrays],
    classes: NDArray[np.int64],
    *,
    batch_size: int,
    seed: int | None = None,
) -> DataLoader[int]:
    """Makes the batches of windows, in their order, or shuffled anew each epoch if a seed is given.

    ``classes`` are those of every row of the table, `IGNORED` where there is none.
    """
    return DataLoader(
        range(len(windows)),  # type: ignore[arg-type]
        batch_size=batch_size,
        shuffle=seed is not None,
        generator=None if seed is None else torch.Generator().manual_seed(seed),
        collate_fn=lambda numbers: gather_batch(windows, arrays, classes, np.asarray(numbers)),
    )


def gather_batch(
    windows: Windows,
    arrays: Mapping[str, ModalityArrays],
    classes: NDArray[np.int64],
    numbers: NDArray[np.int64],
) -> Batch:
    """Gathers the windows of the given numbers, cut to the longest of them."""
    width = int((windows.rows[numbers] != PADDING).sum(axis=1).max())
    rows = torch.from_numpy(windows.rows[numbers, :width])
    mask = rows != PADDING
    masked = torch.from_numpy(windows.masked[numbers, :width])
    gathered = {
        name: _leave_out(*array.gather(rows[mask]), masked[mask]) for name, array in arrays.items()
    }
    emotions = torch.tensor(classes)
    target_rows = torch.from_numpy(windows.target_rows[numbers])
    return Batch(
        states={name: states for name, (states, _) in gathered.items()},
        frames={name: frames for name, (_, frames) in gathered.items()},
        mask=mask,
        roles=torch.from_numpy(windows.roles[numbers, :width]),
        turns_back=torch.from_numpy(windows.turns_back[numbers, :width]),
        context_emotions=torch.where(mask & ~masked, emotions[rows.clamp(min=0)], IGNORED),
        is_target=rows == target_rows[:, None],
        targets=torch.from_numpy(windows.targets[numbers]),
        emotions=emotions[target_rows],
        target_rows=target_rows,
    )


def _leave_out(states: Tensor, frames: Tensor, masked: Tensor) -> tuple[Tensor, Tensor]:
    """Lets utterances lack a modality: (M, L, T, D), (M, T), (M,) -> the first two."""
    return states.masked_fill(masked[:, None, None, None], 0.0), frames & ~masked[:, None]
