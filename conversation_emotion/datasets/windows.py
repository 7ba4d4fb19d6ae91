"""Windows: what may be heard before each emotion that has to be judged, and who said it.

A turn is a run of utterances by the same speaker. One number, the horizon, tells the tasks apart:

    0   recognition (ERC): judges the utterance just heard, with the turns before it as context
    1   prediction (EPC): judges the turn to come, from the turns up to now
    h   prediction further ahead: the turns up to ``h`` before the one that is judged

For prediction, the emotion of a turn is that of its first utterance. A window never holds
anything of the judged turn but the name of who speaks it, nor anything after it.
"""

import dataclasses
from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from conversation_emotion.utterances.labels import IGNORED

SPEAKER, INTERLOCUTOR, SPECTATOR = 0, 1, 2
"""Roles as Shi et al. (2023) define them: who is judged, their partner, anybody else."""

PADDING = -1


@dataclass(frozen=True, kw_only=True)
class Windows:
    """The context of N judged emotions, as row numbers of one utterance table.

    Attributes:
        rows: Utterances heard, oldest first, `PADDING` behind the last: (N, U).
        roles: Role of the speaker of each, `PADDING` where there is none: (N, U).
        turns_back: Turns between each utterance and the judged one, `PADDING` where none: (N, U).
        judged: The utterance whose emotion is judged: (N,).
        targets: Its class, `IGNORED` only in what `learn_more` adds to train: (N,).
    """

    rows: NDArray[np.int64]
    roles: NDArray[np.int64]
    turns_back: NDArray[np.int64]
    judged: NDArray[np.int64]
    targets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.judged)

    def select(self, judged: NDArray[np.int64]) -> "Windows":
        """Returns the windows whose judged utterance is among the given rows, in table order."""
        chosen = np.isin(self.judged, judged)
        width = max(1, int((self.rows[chosen] != PADDING).sum(axis=1).max(initial=0)))
        return Windows(
            rows=self.rows[chosen, :width],
            roles=self.roles[chosen, :width],
            turns_back=self.turns_back[chosen, :width],
            judged=self.judged[chosen],
            targets=self.targets[chosen],
        )


def learn_more(
    utterances: pd.DataFrame,
    classes: NDArray[np.int64],
    emotions: NDArray[np.int64],
    *,
    history: int,
    horizon: int,
) -> Windows:
    """Finds all that can be learnt from, more than a protocol judges.

    Beside the judged utterances these are the later ones of each turn, and those whose emotion is
    none of the classes: their target is `IGNORED`, and a model may still learn to foresee them.

    Args:
        utterances: As in `build_windows`.
        classes: Class of each row, `IGNORED` where there is none.
        emotions: The same among all emotions that the corpus names.
        history: As in `build_windows`.
        horizon: As in `build_windows`.
    """
    windows = build_windows(
        utterances, emotions, history=history, horizon=horizon, every_utterance=True
    )
    return dataclasses.replace(windows, targets=classes[windows.judged])


class _Window(NamedTuple):
    judged: int
    heard: list[int]
    turns: list[int]


def build_windows(
    utterances: pd.DataFrame,
    classes: NDArray[np.int64],
    *,
    history: int = 6,
    horizon: int = 1,
    every_utterance: bool = False,
) -> Windows:
    """Finds every judged emotion of a table and what may be heard of its past.

    Args:
        utterances: Utterance table sorted by dialogue and order, row index 0, 1, 2, ...
        classes: Class of each row, `IGNORED` where there is none.
        history: Turns of context at most. Recognition hears, besides, its own turn so far.
        horizon: 0 recognises, 1 predicts the next turn, more predict further ahead.
        every_utterance: Also predicts the later utterances of a turn; for a horizon of 1 from its
            earlier ones too. More to learn from, no protocol to test by.

    Raises:
        ValueError: Nothing can be judged.
    """
    speakers = utterances["speaker"].to_numpy()
    windows: list[_Window] = []
    for indices in utterances.groupby("dialogue_id", sort=False).indices.values():
        rows = np.asarray(indices, dtype=np.int64)
        turns = split_into_turns(rows, speakers)
        if horizon == 0:
            windows += _recognise(turns, history)
        else:
            windows += _predict(turns, history, horizon, every_utterance)
    windows = [window for window in windows if classes[window.judged] != IGNORED]
    if not windows:
        raise ValueError(
            f"no labelled utterance has a turn {horizon} before it in its dialogue; lower "
            "--horizon, or check that dialogue_id joins the utterances of one conversation"
        )
    return _pack(windows, speakers, classes)


def single_utterances(classes: NDArray[np.int64]) -> Windows:
    """Finds every utterance to judge by itself, with no context: utterance emotion recognition.

    Args:
        classes: Class of each row, `IGNORED` where there is none.

    Raises:
        ValueError: Nothing can be judged.
    """
    judged = np.flatnonzero(classes != IGNORED).astype(np.int64)
    if not len(judged):
        raise ValueError(
            f"none of {len(classes)} utterances has an emotion that is a class; choose another "
            "--labels, or check the column emotion"
        )
    return Windows(
        rows=judged[:, None],
        roles=np.full((len(judged), 1), SPEAKER),
        turns_back=np.zeros((len(judged), 1), dtype=np.int64),
        judged=judged,
        targets=classes[judged],
    )


def split_into_turns(
    rows: NDArray[np.int64], speakers: NDArray[np.object_]
) -> list[NDArray[np.int64]]:
    """Cuts the rows of one dialogue wherever the speaker changes."""
    changes = np.flatnonzero(speakers[rows[1:]] != speakers[rows[:-1]]) + 1
    return np.split(rows, changes)


def _predict(
    turns: list[NDArray[np.int64]], history: int, horizon: int, every_utterance: bool
) -> list[_Window]:
    windows = []
    for judged in range(len(turns)):
        numbers = range(max(0, judged - horizon - history + 1), judged - horizon + 1)
        before = [(int(row), judged - number) for number in numbers for row in turns[number]]
        for place, row in enumerate(turns[judged] if every_utterance else turns[judged][:1]):
            own = [(int(said), 0) for said in turns[judged][:place]] if horizon == 1 else []
            if heard := before + own:
                windows.append(_Window(int(row), *map(list, zip(*heard, strict=True))))
    return windows


def _recognise(turns: list[NDArray[np.int64]], history: int) -> list[_Window]:
    windows = []
    for judged, turn in enumerate(turns):
        numbers = range(max(0, judged - history), judged)
        before = [(int(row), judged - number) for number in numbers for row in turns[number]]
        for place, row in enumerate(turn):
            heard = before + [(int(own), 0) for own in turn[: place + 1]]
            windows.append(_Window(int(row), *map(list, zip(*heard, strict=True))))
    return windows


def _pack(
    windows: list[_Window], speakers: NDArray[np.object_], classes: NDArray[np.int64]
) -> Windows:
    shape = len(windows), max(len(window.heard) for window in windows)
    rows, roles, turns_back = (np.full(shape, PADDING, dtype=np.int64) for _ in range(3))
    for number, window in enumerate(windows):
        length = len(window.heard)
        rows[number, :length] = window.heard
        turns_back[number, :length] = window.turns
        roles[number, :length] = assign_roles(
            list(speakers[window.heard]), str(speakers[window.judged])
        )
    judged = np.array([window.judged for window in windows], dtype=np.int64)
    return Windows(
        rows=rows, roles=roles, turns_back=turns_back, judged=judged, targets=classes[judged]
    )


def assign_roles(heard: list[str], judged: str) -> list[int]:
    """Tells who of those heard is judged, who is their partner and who only looks on.

    The partner is the other person heard most often, the latest of them where several tie.
    """
    others = Counter(reversed([name for name in heard if name != judged]))
    partner = others.most_common(1)[0][0] if others else None
    return [
        SPEAKER if name == judged else INTERLOCUTOR if name == partner else SPECTATOR
        for name in heard
    ]
