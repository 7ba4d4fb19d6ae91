"""Forecasts the emotion of the next turn of each speaker from the turns that have ended.

A forecaster is two multinomial logistic regressions on the emotion probabilities of the last turns,
one for the next turn of the speaker who just spoke, and one for the next of anybody else. It comes
as JSON; the one in ``forecaster/`` was made by ``benchmarks/forecasts.py``, see its card there.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import TypeAdapter
from scipy.special import softmax

from conversation_emotion.evaluation.calibration import fit_temperature

HISTORY = 8
"""Turns before the present one that a forecast reads at most."""

NEXT = ("same", "other")
"""Whose next turn: of the speaker of the row, or of anybody else."""

Next = Literal["same", "other"]

TURNS_AHEAD = 1
"""The horizon: the first turn of that speaker after the end of the row's turn."""

_SHIPPED = Path(__file__).with_name("forecaster") / "forecaster.json"
_ROUNDING = 1e-3  # seconds by which times may be wrong, for they are rounded


@dataclass(frozen=True, kw_only=True)
class Regression:
    """Multinomial logistic regression on what `describe_history` returns (F)."""

    weights: tuple[tuple[float, ...], ...]
    """(F, C')"""

    bias: tuple[float, ...]
    """(C',)"""

    temperature: float
    """Divides the logits; fitted on valid."""

    def predict(self, history: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns probabilities: (N, F) -> (N, C')."""
        logits = history @ np.array(self.weights) + np.array(self.bias)
        return softmax(logits / self.temperature, axis=1)


@dataclass(frozen=True, kw_only=True)
class Forecaster:
    """Forecasts from the probabilities of a recogniser."""

    labels: tuple[str, ...]
    """Emotions that the recogniser tells apart (C)."""

    outputs: tuple[str, ...]
    """Emotions that are forecast (C'), those of the corpus it was fitted on."""

    same: Regression
    other: Regression

    def forecast(
        self, rows: pd.DataFrame, probabilities: NDArray[np.floating], classes: Sequence[str] = ()
    ) -> dict[str, NDArray[np.generic]]:
        """Forecasts the next turn of the speaker of each row, and of anybody else.

        A forecast reads the row itself and, of the `HISTORY` rows before it in its dialogue, those
        that have ended by its end; nothing after it. That of others is made from the second
        speaker on. A row without emotion or speaker has no forecast.

        Args:
            rows: With the columns ``dialogue_id``, ``order``, ``speaker``, if known also ``end``.
            probabilities: Of the emotions of each row, NaN where there are none, (N, C).
            classes: Emotions to choose from; all if empty.

        Returns:
            Columns of N rows: ``next_same`` and ``next_other``, the most probable emotion;
            ``forecast_same_LABEL`` and ``forecast_other_LABEL``, the probability of each; and
            ``forecast_turns``, `TURNS_AHEAD`. Nothing where no speaker is known.
        """
        if len(rows) and rows["speaker"].isna().all():
            return {}
        history = {kind: np.full((len(rows), _size(len(self.labels))), np.nan) for kind in NEXT}
        numbers = pd.Series(np.arange(len(rows)), index=rows.index)
        for _, dialogue in rows.groupby("dialogue_id", sort=False):
            ordered = dialogue.sort_values("order", kind="stable")
            places = numbers[ordered.index].to_numpy()
            ends = pd.to_numeric(ordered["end"]) if "end" in ordered else None
            described = describe_history(
                probabilities[places],
                ordered["speaker"].to_numpy(object),
                None if ends is None else ends.to_numpy(np.float64),
            )
            for kind, found in zip(NEXT, described, strict=True):
                history[kind][places] = found
        columns: dict[str, NDArray[np.generic]] = {}
        for kind, model in zip(NEXT, (self.same, self.other), strict=True):
            columns |= self._name(kind, _restrict(model.predict(history[kind]), self, classes))
        is_made = ~np.isnan(columns[f"forecast_same_{self.outputs[0]}"].astype(float))
        return {**columns, "forecast_turns": np.where(is_made, float(TURNS_AHEAD), np.nan)}

    def _name(self, kind: str, found: NDArray[np.float64]) -> dict[str, NDArray[np.generic]]:
        emotions = np.array(
            [None if np.isnan(row[0]) else self.outputs[row.argmax()] for row in found],
            dtype=object,
        )
        columns = {f"forecast_{kind}_{name}": found[:, n] for n, name in enumerate(self.outputs)}
        return {f"next_{kind}": emotions, **columns}

    def write(self, file: Path) -> None:
        """Writes it as JSON."""
        file.write_bytes(TypeAdapter(Forecaster).dump_json(self, indent=1) + b"\n")


def read_forecaster(file: Path) -> Forecaster:
    """Reads what `Forecaster.write` wrote.

    Raises:
        ValueError: The file is no forecaster.
    """
    try:
        return TypeAdapter(Forecaster).validate_json(file.read_bytes())
    except ValueError as error:
        why = str(error).splitlines()
        raise ValueError(
            f"{file}: is no forecaster ({' '.join(' '.join(why[1:3]).split())})"
        ) from error


@cache
def find_forecaster(labels: tuple[str, ...]) -> Forecaster | None:
    """Returns the forecaster that comes with the package, for a model of the same emotions."""
    found = read_forecaster(_SHIPPED)
    return found if found.labels == labels else None


def describe_history(
    probabilities: NDArray[np.floating],
    speakers: NDArray[np.object_],
    ends: NDArray[np.float64] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Describes what a dialogue was up to the end of each turn: (N, C), (N,), (N,) -> (N, F) twice.

    Next to each other: the probabilities of the turn; those of the last turn of its speaker before
    it, and of the last of others; and the means over the turns of either. What is not there is 0;
    the last feature marks whether the speaker spoke before.

    Args:
        probabilities: Of the emotions of the turns in order, NaN where there are none.
        speakers: Who speaks, None where unknown.
        ends: Seconds at which turns end; None where one ends before the next begins.

    Returns:
        For a forecast of the same speaker, NaN where the turn has no emotion or speaker; and for
        one of others, NaN also where no other has spoken.
    """
    size = probabilities.shape[1]
    same = np.full((len(probabilities), _size(size)), np.nan)
    is_known = ~np.isnan(probabilities[:, 0]) & pd.notna(speakers)
    has_other = np.zeros(len(probabilities), dtype=bool)
    for turn in np.flatnonzero(is_known):
        before = np.arange(max(0, turn - HISTORY), turn)
        before = before[is_known[before]]
        if ends is not None:  # an unknown end counts as past: the turn began earlier
            before = before[~(ends[before] > ends[turn] + _ROUNDING)]
        is_own = speakers[before] == speakers[turn]
        own, others = probabilities[before[is_own]], probabilities[before[~is_own]]
        now = probabilities[turn]
        nothing = np.zeros(size)
        same[turn] = np.concatenate(
            [
                now,
                own[-1] if len(own) else nothing,
                others[-1] if len(others) else nothing,
                np.vstack([own, now[None]]).mean(axis=0),
                others.mean(axis=0) if len(others) else nothing,
                [float(len(own) > 0)],
            ]
        )
        has_other[turn] = len(others) > 0
    return same, np.where(has_other[:, None], same, np.nan)


def fit_regression(
    train: tuple[NDArray[np.float64], NDArray[np.int64]],
    valid: tuple[NDArray[np.float64], NDArray[np.int64]],
    num_outputs: int,
    costs: Sequence[float] = (0.001, 0.01, 0.1, 1.0),
) -> Regression:
    """Fits on train by the cost, and then the temperature, that has the least log loss on valid.

    Args:
        train: What `describe_history` returned, without NaN (N, F), and the class that came (N,).
        valid: As train.
        num_outputs: Classes (C').
        costs: Inverse strengths of the regularisation to choose from.
    """
    from sklearn.linear_model import LogisticRegression  # here, for its import takes a second

    best: tuple[float, Regression] | None = None
    for cost in costs:
        model = LogisticRegression(C=cost, max_iter=1_000).fit(*train)
        weights = np.zeros((train[0].shape[1], num_outputs))
        bias = np.full(num_outputs, -20.0)  # a class that never came in train
        chosen = model.classes_ if len(model.classes_) > 2 else model.classes_[1:]
        bias[model.classes_] = 0.0  # of two classes, one has no weights
        weights[:, chosen], bias[chosen] = model.coef_.T, model.intercept_
        found = Regression(
            weights=tuple(map(tuple, weights.round(4).tolist())),
            bias=tuple(bias.round(4).tolist()),
            temperature=1.0,
        )
        probabilities = found.predict(valid[0])
        temperature = round(fit_temperature(probabilities, valid[1]), 4)
        found = Regression(**{**asdict(found), "temperature": temperature})
        true = found.predict(valid[0])[np.arange(len(valid[1])), valid[1]]
        loss = float(-np.log(np.maximum(true, np.finfo(float).tiny)).mean())
        if best is None or loss < best[0]:
            best = loss, found
    assert best is not None
    return best[1]


def _size(num_labels: int) -> int:
    return 5 * num_labels + 1


def _restrict(
    found: NDArray[np.float64], forecaster: Forecaster, classes: Sequence[str]
) -> NDArray[np.float64]:
    """Leaves the probability to some of the classes, NaN if none of them is forecast."""
    if not classes:
        return found
    kept = found * np.isin(forecaster.outputs, classes)
    total = kept.sum(axis=1, keepdims=True)
    return np.divide(kept, total, out=np.full_like(kept, np.nan), where=total > 0)
