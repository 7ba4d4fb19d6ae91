"""A board: encoders by tasks, with ranks, from results that are files of their own.

A rank is the place of an encoder among those that have a score on a task; an encoder that learned
from the corpus of a task is shown there, and ranks without it. Mean ranks have intervals by the
bootstrap: tasks are drawn anew, and each score from its own interval.
"""

import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass
from scipy.stats import rankdata

from conversation_emotion.evaluation.metrics import Interval
from conversation_emotion.evaluation.published import find_pretraining
from conversation_emotion.evaluation.results import STRICT, RowResult
from conversation_emotion.features.store import write_whole

NUM_DRAWS = 2_000
"""Draws of the bootstrap."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Measured:
    """The score of encoders on a task of the board."""

    schema_version: Literal[1] = 1
    task: str
    """Name and version of the task; scores of several versions are not compared."""
    task_version: int
    kind: str
    corpus: str
    modality: str
    encoder: str
    metric: str
    row: RowResult
    """The row of the experiment's table, with command, settings and commit."""
    majority: float | None = None
    """What the most frequent class of train scores, where the table has it."""

    @property
    def score(self) -> Interval:
        """The score."""
        return self.row.metrics[self.metric]

    @property
    def seen(self) -> tuple[str, ...]:
        """How its encoders learned from the corpus that is tested; empty if that is not known."""
        return tuple(
            f"{name} learned from {corpus}: {how}"
            for name in self.encoder.split(" & ")
            for corpus, how in find_pretraining(name).items()
            if corpus == self.corpus
        )


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Cost:
    """What an encoder takes, measured on a processor.

    Attributes:
        encoder: Its name.
        seconds: Of processor time for a second of sound, clip by clip.
    """

    encoder: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Board:
    """The results of one modality.

    Attributes:
        modality: What the encoders read.
        tasks: Names of the tasks, in the order of the columns; a ranked one is in ``ranked``.
        encoders: Names of the encoders, the best mean rank first.
        results: By encoder and task.
        ranks: Mean rank with its interval by encoder; none for one without a ranked task.
    """

    modality: str
    tasks: tuple[str, ...]
    ranked: tuple[str, ...]
    encoders: tuple[str, ...]
    results: Mapping[tuple[str, str], Measured]
    ranks: Mapping[str, Interval] = field(default_factory=dict)


_MEASURED, _COST = TypeAdapter(Measured), TypeAdapter(Cost)


def write_result(result: Measured | Cost, file: Path) -> None:
    """Writes a result, whole or not at all."""
    kind = _MEASURED if isinstance(result, Measured) else _COST
    file.parent.mkdir(parents=True, exist_ok=True)
    text = kind.dump_json(result, indent=2)  # type: ignore[arg-type]
    write_whole(file, lambda place: place.write_bytes(text))


def read_result(file: Path) -> Measured:
    """Reads a result.

    Raises:
        ValueError: The file holds none.
    """
    try:
        return _MEASURED.validate_json(file.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ValueError(f"{file} is no result of a board: {place}: {first['msg']}") from error


def read_results(folders: Sequence[Path]) -> list[Measured]:
    """Reads the results of folders; of the same task and encoder that of the first folder counts.

    Raises:
        ValueError: A file holds no result, or two folders have other versions of a task.
    """
    found: dict[tuple[str, str], Measured] = {}
    versions: dict[str, tuple[int, Path]] = {}
    for folder in folders:
        for file in sorted(folder.glob("tasks/*/*.json")):
            one = read_result(file)
            version, first = versions.setdefault(one.task, (one.task_version, file))
            if version != one.task_version:
                raise ValueError(
                    f"{file} is of version {one.task_version} of {one.task}, {first} of version "
                    f"{version}: their scores cannot be compared; remove the older one"
                )
            found.setdefault((one.task, one.encoder), one)
    return list(found.values())


def read_costs(folders: Sequence[Path]) -> dict[str, Cost]:
    """Reads what encoders take; of several folders the first counts."""
    files = [file for folder in folders for file in sorted(folder.glob("encoders/*.json"))]
    costs = [_COST.validate_json(file.read_bytes()) for file in files]
    return {cost.encoder: cost for cost in reversed(costs)}


@cache
def read_encoders() -> Mapping[str, Mapping[str, str | float]]:
    """Returns what no file of an encoder tells: licence, size, what it learned from."""
    return tomllib.loads(Path(__file__).with_name("encoders.toml").read_text("utf-8"))


def size_of(facts: Mapping[str, str | float]) -> str:
    """Writes the megabytes of an encoder: its file, or its parameters in single precision."""
    size = facts.get("megabytes", 4 * float(facts.get("parameters", 0)))
    return f"{size:.3g}" if size else ""


def make_boards(results: Iterable[Measured], seed: int = 0) -> Iterator[Board]:
    """Yields a board for each modality that has results."""
    results = list(results)
    for modality in dict.fromkeys(one.modality for one in results):
        own = {(one.encoder, one.task): one for one in results if one.modality == modality}
        tasks = sorted({task for _, task in own})
        ranked = tuple(
            task for task in tasks if any(one.task == task and _counts(one) for one in own.values())
        )
        names = sorted({encoder for encoder, _ in own})
        ranks = rank(own, names, ranked, np.random.default_rng(seed))
        places = {name: mean.score for name, mean in ranks.items()}
        yield Board(
            modality=modality,
            tasks=(*ranked, *(task for task in tasks if task not in ranked)),
            ranked=ranked,
            encoders=tuple(sorted(names, key=lambda name: (places.get(name, np.inf), name))),
            results=own,
            ranks=ranks,
        )


def rank(
    results: Mapping[tuple[str, str], Measured],
    encoders: Sequence[str],
    tasks: Sequence[str],
    generator: np.random.Generator,
) -> dict[str, Interval]:
    """Returns the mean rank over tasks, 1 the best, with its interval, by encoder."""
    kept = {key: one for key, one in results.items() if _counts(one)}
    shape = (len(encoders), len(tasks))
    scores, errors = np.full(shape, np.nan), np.zeros(shape)
    for (encoder, task), one in kept.items():
        place = encoders.index(encoder), tasks.index(task)
        scores[place] = one.score.score
        errors[place] = (one.score.high - one.score.low) / 3.92
    drawn = _mean_ranks(np.stack([_draw(scores, errors, generator) for _ in range(NUM_DRAWS)]))
    own = _mean_ranks(scores)
    low, high = _percentiles(drawn)
    return {
        name: Interval(
            float(own[number]),
            float(low[number]),
            float(high[number]),
            float(np.nanstd(drawn[:, number])),
            int((~np.isnan(scores[number])).sum()),
        )
        for number, name in enumerate(encoders)
        if not np.isnan(own[number])
    }


def _counts(one: Measured) -> bool:
    """Returns whether a result ranks: its encoder did not see the corpus, nor train a speaker."""
    return not one.seen and one.kind != "shuffled"


def _draw(
    scores: NDArray[np.float64], errors: NDArray[np.float64], generator: np.random.Generator
) -> NDArray[np.float64]:
    """Draws tasks anew, and each score from its interval: (E, K), (E, K) -> (E, K)."""
    tasks = generator.integers(scores.shape[1], size=scores.shape[1])
    return (scores + errors * generator.normal(size=scores.shape))[:, tasks]


def _mean_ranks(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Averages ranks over tasks: (..., E, K) -> (..., E).

    Where encoders lack a score, the places of the others are spread over all, so that the first and
    the last of few count as the first and the last of many. One alone has no place.
    """
    places = rankdata(-scores, axis=-2, nan_policy="omit")
    others = (~np.isnan(scores)).sum(axis=-2, keepdims=True) - 1
    places[np.broadcast_to(others < 1, places.shape)] = np.nan
    ranks = 1 + (places - 1) * (scores.shape[-2] - 1) / others.clip(min=1)
    known = ~np.isnan(ranks)
    sums, counts = np.where(known, ranks, 0.0).sum(axis=-1), known.sum(axis=-1)
    return np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)


def _percentiles(drawn: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the bounds of 95 % of the draws that have a value: (N, E) -> (2, E)."""
    columns = [column[~np.isnan(column)] for column in drawn.T]
    bounds = [np.percentile(one, [2.5, 97.5]) if len(one) else [np.nan] * 2 for one in columns]
    return np.array(bounds).T


def measure_gains(results: Iterable[Measured]) -> list[tuple[str, str, float]]:
    """Returns how much shuffled speakers gain: encoder, corpus, difference of the scores."""
    by_key = {(one.kind, one.corpus, one.encoder): one for one in results}
    return [
        (encoder, corpus, one.score.score - other.score.score)
        for (kind, corpus, encoder), one in by_key.items()
        if kind == "shuffled" and (other := by_key.get(("ser", corpus, encoder))) is not None
    ]


def tabulate(boards: Iterable[Board]) -> pd.DataFrame:
    """Returns all results, a row each."""
    rows = []
    for board in boards:
        for (encoder, task), one in board.results.items():
            mean = board.ranks.get(encoder)
            rows.append(
                {
                    "modality": board.modality,
                    "encoder": encoder,
                    "task": task,
                    "task_version": one.task_version,
                    "metric": one.metric,
                    **one.score._asdict(),
                    "majority": one.majority,
                    "seen": "; ".join(one.seen),
                    "is_ranked": _counts(one),
                    "mean_rank": None if mean is None else mean.score,
                    "command": one.row.command,
                    "commit": one.row.commit,
                    "settings": json.dumps(one.row.settings),
                }
            )
    return pd.DataFrame(rows)
