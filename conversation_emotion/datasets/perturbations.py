"""Perturbations: inputs that lack something, or have another's, for all windows alike.

A trained model that gets them shows what it uses; a model that is trained on them, what can be done
without.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from conversation_emotion.datasets.batches import ModalityArrays, leave_out
from conversation_emotion.datasets.inputs import Inputs
from conversation_emotion.datasets.windows import PADDING, SPEAKER, Windows, build_windows
from conversation_emotion.settings.epc_benchmark import Removal
from conversation_emotion.settings.models import ConversationModelSettings

Perturbation = Callable[[Inputs], Inputs]


class RedirectedArrays(ModalityArrays):
    """Hidden states of which each utterance has those of another, or none.

    ``origins`` is the row whose states each row has, `PADDING` for none: (rows,). Statistics of
    train remain those of the states as they are.
    """

    def __init__(self, arrays: ModalityArrays, origins: NDArray[np.int64]) -> None:
        self.num_layers, self.size = arrays.num_layers, arrays.size
        self._arrays, self._origins = arrays, torch.from_numpy(origins)
        num_frames = arrays.num_frames[self._origins.clamp(min=0)]
        self.num_frames = num_frames.masked_fill(self._origins == PADDING, 0)

    def gather(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Gathers what utterances have instead: (M,) -> (M, L, T, D), real frames (M, T)."""
        origins = self._origins[rows]
        return leave_out(*self._arrays.gather(origins.clamp(min=0)), origins == PADDING)

    def stack_frames(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Joins the frames of the rows as they are: (rows,) -> (sum of T, L, D)."""
        return self._arrays.stack_frames(rows)

    def pieces(self, rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """Cuts rows into pieces of the frames as they are: (rows,) -> (some,)."""
        return self._arrays.pieces(rows)


def redirect(inputs: Inputs, origins: NDArray[np.int64], modality: str = "") -> Inputs:
    """Gives utterances the states of others, of all modalities or one; see `RedirectedArrays`."""
    arrays: dict[str, Mapping[str, ModalityArrays]] = {}
    for fold, sources in inputs.arrays.items():
        arrays[fold] = {
            name: RedirectedArrays(one, origins) if name.startswith(modality) else one
            for name, one in sources.items()
        }
    return inputs._replace(arrays=arrays)


def hide(inputs: Inputs, modality: str) -> Inputs:
    """Lets every utterance lack a modality, as one whose recording or text is missing."""
    return redirect(inputs, np.full(len(inputs.dataset.utterances), PADDING), modality)


def swap_contents(inputs: Inputs) -> Inputs:
    """Gives every utterance the states of another of the corpus, drawn at random.

    Who speaks when stays as it is.
    """
    drawn = np.random.default_rng(0).permutation(len(inputs.dataset.utterances))
    return redirect(inputs, drawn)


def keep_latest_turn(windows: Windows) -> Windows:
    """Leaves the latest turn of each context alone."""
    is_real = windows.rows != PADDING
    latest = np.where(is_real, windows.turns_back, np.iinfo(np.int64).max).min(axis=1)
    kept = is_real & (windows.turns_back == latest[:, np.newaxis])
    order = np.argsort(~kept, axis=1, kind="stable")[:, : kept.sum(axis=1).max(initial=1)]
    is_real = np.take_along_axis(kept, order, axis=1)

    def pack(values: NDArray) -> NDArray:
        return np.where(is_real, np.take_along_axis(values, order, axis=1), PADDING)

    return replace(
        windows,
        rows=pack(windows.rows),
        roles=pack(windows.roles),
        turns_back=pack(windows.turns_back),
        masked=pack(windows.masked) == 1,
    )


def shuffle_order(windows: Windows) -> Windows:
    """Shuffles the utterances of each context; the distances stay in their places."""
    keys = np.random.default_rng(0).random(windows.rows.shape)
    order = np.argsort(np.where(windows.rows == PADDING, 2.0, keys), axis=1)
    names = ("rows", "roles", "masked")
    moved = {name: np.take_along_axis(getattr(windows, name), order, axis=1) for name in names}
    return replace(windows, **moved)


def forget_speakers(windows: Windows) -> Windows:
    """Lets every utterance count as one of the target's speaker."""
    return replace(windows, roles=np.where(windows.rows == PADDING, PADDING, SPEAKER))


def _on_windows(inputs: Inputs, change: Callable[[Windows], Windows]) -> Inputs:
    return inputs._replace(windows=change(inputs.windows), training=change(inputs.training))


REMOVALS: dict[Removal, Perturbation] = {
    "context": partial(_on_windows, change=keep_latest_turn),
    "order": partial(_on_windows, change=shuffle_order),
    "speakers": partial(_on_windows, change=forget_speakers),
    "speech": partial(hide, modality="speech"),
    "text": partial(hide, modality="text"),
}
"""Perturbations that a model can also be trained with, by what they remove."""


def change_futures(
    inputs: Inputs, windows: Windows, model: ConversationModelSettings
) -> Iterator[tuple[Windows, Inputs]]:
    """Yields windows, one of each dialogue, with inputs that differ in all that is their future.

    From the target on, the target included, each utterance has the states and the emotion of
    another, drawn at random. Who speaks, when and what is drawn as well, and the windows are built
    anew from that table, to be the same: of the target they depend on its speaker and on where it
    begins. All of ``windows`` are yielded once.

    Raises:
        RuntimeError: A window depends on its future.
    """
    utterances = inputs.dataset.utterances
    dialogues = pd.factorize(utterances["dialogue_id"])[0]
    own = dialogues[windows.target_rows]
    number = pd.Series(own).groupby(own).cumcount().to_numpy()
    generator, rows = np.random.default_rng(0), np.arange(len(utterances))
    for one in range(number.max(initial=-1) + 1):
        chosen = windows.select(windows.target_rows[number == one])
        begins = np.full(len(utterances), len(utterances))
        begins[dialogues[chosen.target_rows]] = chosen.target_rows
        drawn = np.where(rows >= begins[dialogues], generator.permutation(rows), rows)
        table = _change_table(utterances, drawn, chosen.target_rows)
        _check_windows(chosen, table, np.isin(dialogues, dialogues[chosen.target_rows]), model)
        emotions = inputs.dataset.emotion_classes[drawn]
        dataset = inputs.dataset._replace(emotion_classes=emotions)
        yield chosen, redirect(inputs, drawn)._replace(dataset=dataset)


def _change_table(
    utterances: pd.DataFrame, drawn: NDArray[np.int64], targets: NDArray[np.int64]
) -> pd.DataFrame:
    """Gives utterances who, when, where and what of others; targets keep who and where they begin.

    Dialogues and their number of utterances stay.
    """
    changed = utterances.iloc[drawn].reset_index(drop=True)
    changed["dialogue_id"] = utterances["dialogue_id"]
    kept = ["speaker", "start", "audio", "offset"]
    changed.loc[targets, kept] = utterances.loc[targets, kept]
    return changed


def _check_windows(
    windows: Windows, table: pd.DataFrame, used: NDArray[np.bool_], model: ConversationModelSettings
) -> None:
    """Builds windows from the rows of a table that are used, and compares them."""
    rows = np.flatnonzero(used)
    targets = np.searchsorted(rows, windows.target_rows)
    classes = np.zeros(len(rows), dtype=np.int64)  # a target has one, whatever it is
    some = table.iloc[rows].reset_index(drop=True)
    built = build_windows(
        some, classes, history=model.history, horizon=model.horizon, overlap=model.overlap
    ).select(targets)
    found = np.where(built.rows == PADDING, PADDING, rows[built.rows])
    pairs = [(found, windows.rows), (built.masked, windows.masked)]
    pairs += [(built.roles, windows.roles), (built.turns_back, windows.turns_back)]
    if not all(np.array_equal(*pair) for pair in pairs):
        raise RuntimeError(
            f"windows of {len(windows)} targets change with what follows them; "
            "a window may hold nothing of the target turn but its speaker"
        )
