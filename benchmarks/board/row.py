"""A row of the board: what a benchmark measured of this suite, turn by turn, and of a peer."""

import multiprocessing
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple, TypeVar

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

Arguments = TypeVar("Arguments")
Result = TypeVar("Result")


class Plan(NamedTuple):
    """How much a benchmark measures.

    Attributes:
        is_quick: Whether a minute has to do, on two cores.
        threads: Threads of each process.
        has_peers: Whether peers take turns with this suite.
        repetitions: Turns, after one that does not count.
    """

    is_quick: bool = True
    threads: int = 2
    has_peers: bool = True
    repetitions: int = 3


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Row:
    """What was measured of one case."""

    name: str
    """What the row is called in the table."""

    per: str
    """What the seconds are of, such as ``second of audio``."""

    ours: tuple[float, ...]
    """Seconds of this suite, turn by turn: of all threads, or of the clock with ``is_clock``."""

    is_clock: bool = False
    """Whether seconds are of the clock, where processes work side by side."""

    peer: str = ""
    """What this suite is compared with."""

    theirs: tuple[float, ...] = ()
    """Seconds of the peer in the same turns."""

    missing: str = ""
    """Why the peer was not run."""

    flops: float = 0.0
    """Multiplications and additions in single precision that cannot be left out."""

    num_bytes: float = 0.0
    """Bytes that have to be read or written at least: weights once, results once."""

    peak_mb: float | None = None
    """Peak memory of a process of its own that does this once, libraries included."""


class Cost(NamedTuple):
    """Seconds of one turn: on the clock, and of all threads of this process."""

    clock: float
    processor: float


def time_turns(sides: Sequence[Callable[[], object]], repetitions: int) -> list[list[Cost]]:
    """Runs one side after the other, every second time in the other order: -> costs of each.

    The first turn of each does not count.
    """
    for side in sides:
        side()
    found: list[list[Cost]] = [[] for _ in sides]
    for turn in range(repetitions):
        order = range(len(sides))
        for number in order[::-1] if turn % 2 else order:
            clock, processor = time.perf_counter(), time.process_time()
            sides[number]()
            cost = Cost(time.perf_counter() - clock, time.process_time() - processor)
            found[number].append(cost)
    return found


def take_turns(sides: Sequence[Callable[[], object]], repetitions: int) -> list[tuple[float, ...]]:
    """Takes turns as `time_turns`: -> seconds of processor of each side."""
    return [tuple(one.processor for one in side) for side in time_turns(sides, repetitions)]


class _Whole(nullcontext[None]):
    """Counts everything together: hooks of modules fail at weights that are normed."""

    parents = frozenset(("Global",))


def count_flops(run: Callable[[], object]) -> float:
    """Counts multiplications and additions of matrix products, convolutions and attention."""
    from torch.utils.flop_counter import FlopCounterMode

    counter = FlopCounterMode(display=False)
    counter.mod_tracker = _Whole()  # type: ignore[assignment]
    with counter:
        run()
    return float(counter.get_total_flops())


def peak_memory() -> float:
    """Returns the peak memory of this process so far, in MB; Linux alone."""
    # Not getrusage, whose peak a process inherits from its parent.
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1e3


def in_process(call: Callable[[Arguments], Result], arguments: Arguments) -> Result:
    """Calls a function in a fresh process, which ends with it."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(call, arguments).result()
