"""Curves over time: the model applied to windows within turns.

Each window is a clip of its own. To pool the frames of the whole turn within each window costs an
eighth, but is another thing, for the encoder has read the rest of the turn: of 42 windows in
six sentences in a row by one actor of EmoDB, the default model named the same emotion in 40 %.
"""

from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np
import pandas as pd

from conversation_emotion.inference.card import Card
from conversation_emotion.inference.predictor import Predictor
from conversation_emotion.utterances.audio import AudioError, measure_seconds

LENGTH, HOP = 2.0, 0.5
"""Seconds of a window, and from the beginning of one to that of the next."""

_PLACE = ("recording", "utterance_id", "speaker")


def check_has_curves(card: Card) -> None:
    """Checks that a model can be applied to windows of a turn.

    Raises:
        ValueError: It reads conversations, or words, which windows do not have.
    """
    if card.is_conversation or card.features.modality != "speech":
        what = "conversations" if card.is_conversation else card.features.modality
        raise ValueError(
            f"--frames needs a model of single utterances that reads speech alone, this one reads "
            f"{what}; leave --frames out or take another --model"
        )


def predict_curves(
    predictor: Predictor,
    rows: pd.DataFrame,
    *,
    classes: Sequence[str] = (),
    length: float = LENGTH,
    hop: float = HOP,
) -> pd.DataFrame:
    """Predicts windows within turns, each as a clip of its own.

    The first window begins with its turn, each further one ``hop`` later, and a last one ends with
    the turn, which is thus covered whole; a turn of up to ``length`` is one window. Windows overlap
    and are not averaged: the curve of a turn, however long, goes through their middles, and none
    goes from one turn into the next.

    Args:
        predictor: A model of single utterances that reads speech alone.
        rows: Turns, as `recordings.read_rows` reads them; those with a problem have no curve.
        classes: As of `Predictor.predict`.
        length: Seconds of a window.
        hop: Seconds between the beginnings of two.

    Returns:
        A row for each window: ``recording`` or ``utterance_id``, and ``speaker``, where the turn
        has them; ``turn``, the number of its row from 0; ``time``, the middle of the window,
        ``start`` and ``end``, in seconds of the recording; the probability of each class as ``p_``
        and its name; ``valence``, ``activation`` and ``dominance``; and ``problem``.

    Raises:
        ValueError: The model is of another kind, or a length is not above 0.
    """
    check_has_curves(predictor.saved.card)
    if not (length > 0 and hop > 0):
        raise ValueError(f"length and hop must be above 0 s, got {length:g} and {hop:g}")
    windows = pd.DataFrame(
        _list_windows(rows, length, hop),
        columns=["turn", "audio", "channel", "offset", "duration", "problem"],
    )
    usable = windows[windows["problem"] == ""].drop(columns="problem")
    if "speaker" in rows:  # whom a model may be adapted to
        usable["speaker"] = rows["speaker"].to_numpy()[usable["turn"].to_numpy(int)]
    if usable.empty:
        predictions = predictor.predict_encoded(usable, {}, classes=classes)
    else:
        predictions = predictor.predict(usable, classes=classes)
    return _place(rows, windows, predictions.reindex(windows.index))


def _place(rows: pd.DataFrame, windows: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
    """Puts the predictions of windows next to the turns and times that they are of."""
    given = rows[[name for name in _PLACE if name in rows]].iloc[windows["turn"].to_numpy(int)]
    names = [name for name in predictions if str(name).startswith("p_")]
    ends = windows["offset"] + windows["duration"]
    times = {"time": (windows["offset"] + ends) / 2, "start": windows["offset"], "end": ends}
    return pd.concat(
        [
            given.reset_index(drop=True),
            windows[["turn"]],
            pd.DataFrame(times).round(6),
            predictions[[*names, "valence", "activation", "dominance"]],
            windows["problem"].where(windows["problem"] != "", predictions["problem"]),
        ],
        axis=1,
    )


def cut_windows(seconds: float, length: float, hop: float) -> list[tuple[float, float]]:
    """Cuts a turn into windows: offsets from its beginning, and lengths, in seconds."""
    if seconds <= length:
        return [(0.0, seconds)]
    last = seconds - length
    starts = np.arange(0, last, hop)
    is_near = last - starts[-1] < 1e-3  # the times of turns are rounded to that
    return [(float(start), length) for start in (*(starts[:-1] if is_near else starts), last)]


def _list_windows(
    rows: pd.DataFrame, length: float, hop: float
) -> Iterator[tuple[int, str | None, float | None, float, float, str]]:
    """Yields number of the turn, file, channel, offset, duration and problem of each window."""
    measure = cache(measure_seconds)
    for number, row in enumerate(rows.to_dict("records")):
        cells = {str(name): None if pd.isna(cell) else cell for name, cell in row.items()}
        offset, audio, channel = (
            cells.get("offset") or 0.0,
            cells.get("audio"),
            cells.get("channel"),
        )
        problem = cells.get("problem") or ("" if audio else "has no sound")
        seconds = cells.get("duration")
        if not problem and seconds is None:
            try:
                seconds = measure(audio) - offset
            except AudioError as error:
                problem = str(error)
        if problem or seconds is None:
            yield number, audio, channel, offset, np.nan, problem
            continue
        for start, duration in cut_windows(seconds, length, hop):
            yield number, audio, channel, round(offset + start, 6), round(duration, 6), ""
