"""Measures of utterances: lengths, levels, silence, words, ratings, by class; and odd ones."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from conversation_emotion.evaluation.significance import correct_by_holm
from conversation_emotion.exploration.classes import Classes, quantiles
from conversation_emotion.exploration.effects import Effect, measure_effects
from conversation_emotion.exploration.sound import Sound
from conversation_emotion.utterances.audio import MIN_SECONDS
from conversation_emotion.utterances.table import has_text

NUM_BINS = 24
"""Bars of a histogram."""

FAR = 3.5
"""Deviations from the median, by the median of deviations, from which on a number is odd (Iglewicz
and Hoaglin, 1993)."""


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A number of every utterance.

    Attributes:
        name: What it is; ``unit`` is in words.
        quantiles: Of all, see `quantiles`; ``by_class`` of each class (C).
        least: The smallest; ``most`` is the largest.
        bins: Utterances in each of `NUM_BINS` equal parts from least to most, of the logarithm
            where ``is_logarithmic``.
        floor: The smallest above 0 where ``is_logarithmic``, else the least.
        count: Utterances that have it.
        effect: How far it parts the classes; None if they are not compared.
    """

    name: str
    unit: str
    count: int
    least: float
    most: float
    floor: float
    quantiles: tuple[float, ...]
    by_class: tuple[tuple[float, ...], ...]
    bins: tuple[int, ...]
    is_logarithmic: bool
    effect: Effect | None

    def scale(self, value: float) -> float:
        """Returns where a number lies: by its logarithm, if so; what is 0 lies at the smallest."""
        return float(np.log(max(value, self.floor))) if self.is_logarithmic else value


@dataclass(frozen=True, kw_only=True)
class Odd:
    """A kind of odd recordings: all rows of that kind, the oddest first, and the number of each."""

    kind: str
    rows: tuple[int, ...]
    values: tuple[str, ...]


def describe_measures(
    utterances: pd.DataFrame, classes: Classes, sound: Sound
) -> tuple[Measure, ...]:
    """Describes every measure that the corpus has, with the effect of the class on it."""
    found = {
        name: (unit, values)
        for name, unit, values in _list_values(utterances, sound)
        if np.isfinite(values).any()
    }
    effects = _compare(found, classes, utterances["speaker"].tolist())
    return tuple(
        _describe(name, unit, values, classes, effects.get(name))
        for name, (unit, values) in found.items()
    )


def find_odd(utterances: pd.DataFrame, sound: Sound) -> Iterator[Odd]:
    """Yields the kinds of odd utterances that there are: by length, level, silence, clipping."""
    levels = sound.levels
    _, seconds = _read_lengths(utterances, sound)
    logs = np.log(seconds.clip(min=MIN_SECONDS))
    for low, high, values, shown, form in (
        ("shortest", "longest", logs, pd.Series(seconds), "{:.2f} s"),
        ("softest", "loudest", levels["level"].to_numpy(), levels["level"], "{:.1f} dBFS"),
        ("", "most silent", levels["silence"].to_numpy(), 100 * levels["silence"], "{:.0f} %"),
    ):
        distances = _measure_distance(values)
        for kind, odd in ((low, -distances), (high, distances)):
            rows = np.flatnonzero(odd > FAR)
            if kind and len(rows):
                rows = rows[np.argsort(-odd[rows], kind="stable")]
                yield _list_odd(kind, rows, shown, form)
    clipped = levels["clipped"].to_numpy()
    rows = np.flatnonzero(clipped > 0)
    if len(rows):
        rows = rows[np.argsort(-clipped[rows], kind="stable")]
        yield _list_odd("clipped", rows, 100 * levels["clipped"], "{:.2g} % of the samples")


def _list_odd(kind: str, rows: NDArray[np.intp], shown: pd.Series, form: str) -> Odd:
    values = tuple(form.format(value) for value in shown.iloc[rows])
    return Odd(kind=kind, rows=tuple(rows.tolist()), values=values)


def _measure_distance(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns how many robust deviations each number lies from the median, 0 if undefined.

    Where most numbers are equal, the mean deviation takes the place of the median one.
    """
    finite = values[np.isfinite(values)]
    if not len(finite):
        return np.zeros(len(values))
    middle = np.median(finite)
    away = np.abs(finite - middle)
    spread = np.median(away) / 0.6745 or 1.253314 * away.mean()
    return np.nan_to_num((values - middle) / spread) if spread > 1e-12 else np.zeros(len(values))


def _list_values(
    utterances: pd.DataFrame, sound: Sound
) -> Iterator[tuple[str, str, NDArray[np.float64]]]:
    levels = sound.levels
    name, seconds = _read_lengths(utterances, sound)
    yield name, "s", seconds
    yield "level", "dBFS", levels["level"].to_numpy()
    yield "peak", "dBFS", levels["peak"].to_numpy()
    yield "silence", "%", 100 * levels["silence"].to_numpy()
    texts = utterances["text"].where(has_text(utterances))
    words = texts.map(lambda text: len(str(text).split()), na_action="ignore")
    yield "words", "words", words.to_numpy().astype(np.float64)
    for name in ("valence", "arousal", "dominance"):
        yield name, "rated", utterances[name].to_numpy(dtype=np.float64)


def _read_lengths(utterances: pd.DataFrame, sound: Sound) -> tuple[str, NDArray[np.float64]]:
    """Returns the lengths of the recordings, or of the turns where there are none."""
    seconds = sound.levels["seconds"]
    if seconds.notna().any():
        return "length", seconds.to_numpy()
    times = utterances["end"] - utterances["start"]
    return "length by the times of turns", times.to_numpy(dtype=np.float64)


def _compare(
    found: dict[str, tuple[str, NDArray[np.float64]]], classes: Classes, speakers: list[str]
) -> dict[str, Effect]:
    """Returns the effect on each measure, of the utterances that have it, by Holm over all."""
    effects: dict[str, Effect] = {}
    for name, (_, values) in found.items():
        own = measure_effects(values[:, None], [name], classes.numbers, classes.labels, speakers)
        if own is not None:
            effects[name] = own.effects[0]
    corrected = correct_by_holm([one.p for one in effects.values()])
    tested = [one.p_speakers for one in effects.values() if one.p_speakers is not None]
    over_speakers = iter(correct_by_holm(tested))
    return {
        name: replace(one, p=p, p_speakers=None if one.p_speakers is None else next(over_speakers))
        for (name, one), p in zip(effects.items(), corrected, strict=True)
    }


def _describe(
    name: str, unit: str, values: NDArray[np.float64], classes: Classes, effect: Effect | None
) -> Measure:
    finite = values[np.isfinite(values)]
    positive = finite[finite > 0]
    is_logarithmic = unit in ("s", "words") and len(positive) > 0
    floor = float(positive.min()) if is_logarithmic else float(finite.min())
    shown = np.log(finite.clip(min=floor)) if is_logarithmic else finite
    return Measure(
        name=name,
        unit=unit,
        count=len(finite),
        least=float(finite.min()),
        most=float(finite.max()),
        floor=floor,
        quantiles=quantiles(finite),
        by_class=tuple(quantiles(values[classes.numbers == n]) for n in range(len(classes.labels))),
        bins=tuple(np.histogram(shown, NUM_BINS)[0].tolist()),
        is_logarithmic=is_logarithmic,
        effect=effect,
    )
