"""Windows: each target utterance with its visible context, and who spoke it.

A turn is a run of utterances by the same speaker. One number, the horizon, distinguishes the tasks:

    0   recognition (ERC): classifies the turn that just ended, with the turns before as context
    1   prediction (EPC): classifies the turn to come, from the turns up to now
    h   prediction further ahead: from the turns up to ``h`` before the target

For prediction, the emotion of a turn is that of its first utterance. A window never holds
anything of the target turn but the name of its speaker, nor anything after it. Of an utterance that
is not finished when the target begins it holds the speaker alone, see `find_unfinished`.
"""

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from conversation_emotion.settings.models import Overlap
from conversation_emotion.utterances.labels import IGNORED

SPEAKER, INTERLOCUTOR, SPECTATOR = 0, 1, 2
"""Roles as Shi et al. (2023) define them: the target's speaker, their partner, anybody else."""

PADDING = -1

ROUNDING = 1e-3
"""Seconds by which an utterance may end after the next begins: times are rounded."""


@dataclass(frozen=True, kw_only=True)
class Windows:
    """The contexts of N target utterances, as row numbers of one utterance table.

    Attributes:
        rows: Utterances of the context, oldest first, `PADDING` after the last: (N, U).
        roles: Role of the speaker of each, `PADDING` where there is none: (N, U).
        turns_back: Turns between each utterance and the target, `PADDING` where none: (N, U).
        masked: Utterances whose content is left out: (N, U).
        target_rows: The target utterance: (N,).
        targets: Its class, `IGNORED` only in what `build_training_windows` adds: (N,).
    """

    rows: NDArray[np.int64]
    roles: NDArray[np.int64]
    turns_back: NDArray[np.int64]
    masked: NDArray[np.bool_]
    target_rows: NDArray[np.int64]
    targets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.target_rows)

    def select(self, rows: NDArray[np.int64]) -> "Windows":
        """Returns the windows whose target is among the given rows, in table order."""
        chosen = np.isin(self.target_rows, rows)
        width = max(1, int((self.rows[chosen] != PADDING).sum(axis=1).max(initial=0)))
        return Windows(
            rows=self.rows[chosen, :width],
            roles=self.roles[chosen, :width],
            turns_back=self.turns_back[chosen, :width],
            masked=self.masked[chosen, :width],
            target_rows=self.target_rows[chosen],
            targets=self.targets[chosen],
        )


def build_training_windows(
    utterances: pd.DataFrame,
    classes: NDArray[np.int64],
    emotions: NDArray[np.int64],
    *,
    history: int,
    horizon: int,
    overlap: Overlap = "mask",
) -> Windows:
    """Returns the training windows, more than the targets of a protocol.

    These add the later utterances of each turn, and those whose emotion is none of the classes:
    their target is `IGNORED`, and auxiliary tasks still use them. ``emotions`` are classes of each
    row among all emotions of the corpus; the other arguments are those of `build_windows`.
    """
    windows = build_windows(
        utterances,
        emotions,
        history=history,
        horizon=horizon,
        overlap=overlap,
        every_utterance=True,
    )
    return replace(windows, targets=classes[windows.target_rows])


_Window = tuple[int, list[tuple[int, int]]]
"""Row of a target; row and turns back of each utterance of its context."""


def build_windows(
    utterances: pd.DataFrame,
    classes: NDArray[np.int64],
    *,
    history: int = 6,
    horizon: int = 1,
    overlap: Overlap = "mask",
    every_utterance: bool = False,
) -> Windows:
    """Returns every target utterance of a table with its visible context.

    The table is sorted by dialogue and order, with a row index 0, 1, 2, ...; ``classes`` are those
    of each row, `IGNORED` where there is none. ``history`` limits the turns of context; recognition
    also sees the target's turn so far. For prediction the ``overlap`` of an unfinished utterance
    masks its content, or is kept. With ``every_utterance`` the later utterances of a turn are
    targets as well, for a horizon of 1 with its earlier ones as context: for training windows
    alone, no protocol tests by them.

    Raises:
        ValueError: There is no target.
    """
    speakers = utterances["speaker"].to_numpy()
    windows: list[_Window] = []
    for indices in utterances.groupby("dialogue_id", sort=False).indices.values():
        rows = np.asarray(indices, dtype=np.int64)
        turns = split_into_turns(rows, speakers)
        windows += _build(turns, history, horizon, every_utterance)
    windows = [(target, context) for target, context in windows if classes[target] != IGNORED]
    if not windows:
        raise ValueError(
            f"no labelled utterance has a turn {horizon} before it in its dialogue; lower "
            "--horizon, or check that dialogue_id joins the utterances of one conversation"
        )
    packed = _pack(windows, speakers, classes)
    if not horizon or overlap == "keep":
        return packed
    return replace(packed, masked=find_unfinished(utterances, packed)[0])


def find_unfinished(
    utterances: pd.DataFrame, windows: Windows
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Finds the utterances of a context whose sound ends after the target begins, by two clocks.

    One is that of the dialogue (``start`` and ``end``), the other that of a recording in which both
    utterances lie (``offset`` and ``duration``; without them an utterance is the whole of it).

    Returns:
        The unfinished utterances of each window, and those whose times are known: (N, U) each.
    """
    start, end, offset, duration = (
        utterances[name].to_numpy(np.float64) for name in ("start", "end", "offset", "duration")
    )
    recordings = pd.factorize(utterances["audio"])[0]  # -1 where there is none
    begin = np.nan_to_num(offset)
    clocks = [(start, end), (begin, np.where(np.isnan(duration), np.inf, begin + duration))]
    rows, target = windows.rows, windows.target_rows[:, np.newaxis]
    is_same = (recordings[rows] == recordings[target]) & (recordings[target] >= 0)
    unfinished = known = np.zeros(rows.shape, dtype=bool)
    for (begins, ends), counts in zip(clocks, (True, is_same), strict=True):
        unfinished = unfinished | (ends[rows] > begins[target] + ROUNDING) & counts
        known = known | ~np.isnan(ends[rows] - begins[target]) & counts
    is_context = (rows != PADDING) & (rows != target)
    return unfinished & is_context, known & is_context


def single_utterances(classes: NDArray[np.int64]) -> Windows:
    """Returns every labelled utterance as a target without context: utterance recognition.

    Raises:
        ValueError: There is no target.
    """
    targets = np.flatnonzero(classes != IGNORED).astype(np.int64)
    if not len(targets):
        raise ValueError(
            f"none of {len(classes)} utterances has an emotion that is a class; choose another "
            "--labels, or check the column emotion"
        )
    return Windows(
        rows=targets[:, None],
        roles=np.full((len(targets), 1), SPEAKER),
        turns_back=np.zeros((len(targets), 1), dtype=np.int64),
        masked=np.zeros((len(targets), 1), dtype=bool),
        target_rows=targets,
        targets=classes[targets],
    )


def split_into_turns(
    rows: NDArray[np.int64], speakers: NDArray[np.object_]
) -> list[NDArray[np.int64]]:
    """Cuts the rows of one dialogue wherever the speaker changes."""
    changes = np.flatnonzero(speakers[rows[1:]] != speakers[rows[:-1]]) + 1
    return np.split(rows, changes)


def _build(
    turns: list[NDArray[np.int64]], history: int, horizon: int, every_utterance: bool
) -> list[_Window]:
    windows, last = [], max(horizon, 1)  # the latest turn before the target that is visible
    for target, turn in enumerate(turns):
        numbers = range(max(0, target - last - history + 1), target - last + 1)
        before = [(int(row), target - number) for number in numbers for row in turns[number]]
        for place, row in enumerate(turn if every_utterance or horizon == 0 else turn[:1]):
            # Recognition has the target itself in its context, prediction what precedes it.
            own = turn[: place + (horizon == 0)] if horizon <= 1 else turn[:0]
            if context := before + [(int(earlier), 0) for earlier in own]:
                windows.append((int(row), context))
    return windows


def _pack(
    windows: list[_Window], speakers: NDArray[np.object_], classes: NDArray[np.int64]
) -> Windows:
    shape = len(windows), max(len(context) for _, context in windows)
    rows, roles, turns_back = (np.full(shape, PADDING, dtype=np.int64) for _ in range(3))
    for number, (target, context) in enumerate(windows):
        length = len(context)
        rows[number, :length], turns_back[number, :length] = zip(*context, strict=True)
        names = list(speakers[rows[number, :length]])
        roles[number, :length] = assign_roles(names, str(speakers[target]))
    targets = np.array([target for target, _ in windows], dtype=np.int64)
    return Windows(
        rows=rows,
        roles=roles,
        turns_back=turns_back,
        masked=np.zeros(shape, dtype=bool),
        target_rows=targets,
        targets=classes[targets],
    )


def assign_roles(context: list[str], target: str) -> list[int]:
    """Assigns each speaker of a context a role: the target's speaker, their partner, spectators.

    The partner is the other person who speaks most often, the latest of them where several tie.
    """
    others = Counter(reversed([name for name in context if name != target]))
    partner = others.most_common(1)[0][0] if others else None
    return [
        SPEAKER if name == target else INTERLOCUTOR if name == partner else SPECTATOR
        for name in context
    ]
