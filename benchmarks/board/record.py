"""The board as data: rows of all benchmarks under their conditions, a line of history, a table."""

import json
from pathlib import Path
from statistics import median

from pydantic import ConfigDict, TypeAdapter
from pydantic.dataclasses import dataclass

from benchmarks.board.cases import Measured
from benchmarks.board.machine import Conditions, Machine
from benchmarks.board.row import Row

SLOWER = 0.95
"""Share of the speed before below which a commit is slower, if every pair agrees."""

HEADS = (
    "benchmark",
    "case",
    "ours",
    "peer",
    "theirs",
    "theirs / ours",
    "floor",
    "times floor",
    "MB",
)


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Record:
    """What one run of the board measured."""

    conditions: Conditions
    machine: Machine
    is_quick: bool
    against: str = ""
    """Commit that is the peer of every row; empty where peers are other projects."""

    benchmarks: dict[str, Measured]

    def table(self) -> str:
        """Writes all rows as a table in Markdown, with what failed below it."""
        lines = [f"| {' | '.join(HEADS)} |", "|" + "---|" * len(HEADS)]
        for name, found in self.benchmarks.items():
            lines += [f"| {' | '.join([name, *self._cells(row)])} |" for row in found.rows]
        lines += [f"\n{name} failed: {one.error}" for name, one in self.failed().items()]
        return "\n".join(lines)

    def failed(self) -> dict[str, Measured]:
        """Returns the benchmarks that ended early."""
        return {name: one for name, one in self.benchmarks.items() if one.error}

    def slower(self) -> list[str]:
        """Names the cases that are slower than the other commit in every pair."""
        if not self.against:
            return []
        rows = [(name, row) for name, one in self.benchmarks.items() for row in one.rows]
        return [f"{name}, {row.name}" for name, row in rows if is_slower(row)]

    def describe(self) -> str:
        """Says what the figures of the table are, and under which conditions they were measured."""
        machine = (
            f"one thread does {self.machine.flops / 1e9:.0f} GFLOP and moves "
            f"{self.machine.bandwidth / 1e9:.1f} GB in a second at most"
        )
        return (
            f"{self.conditions.describe()}; {machine}. Seconds of processor, of all threads "
            "together, for each of what is named in brackets, or of the clock where that is said: "
            "medians, and the least and greatest ratio of neighbouring turns"
        )

    def _cells(self, row: Row) -> list[str]:
        ours = median(row.ours)
        floor = self.machine.floor(row, self.conditions.threads)
        per = f"{row.per}, clock" if row.is_clock else row.per
        theirs = format_seconds(median(row.theirs)) if row.theirs else row.missing
        ratio = format_ratio(row) + (" slower (!)" if self.against and is_slower(row) else "")
        return [
            f"{row.name} ({per})",
            format_seconds(ours),
            row.peer,
            theirs,
            ratio,
            format_seconds(floor) if floor else "",
            f"{ours / floor:.1f}" if floor else "",
            "" if row.peak_mb is None else f"{row.peak_mb:,.0f}",
        ]


def is_slower(row: Row) -> bool:
    """Tells whether a row is slower than its peer: clearly, and in every pair."""
    ratios = [other / one for one, other in zip(row.ours, row.theirs, strict=False)]
    return bool(ratios) and median(ratios) < SLOWER and max(ratios) < 1


def format_ratio(row: Row) -> str:
    """Writes the median ratio of turns, and the least and greatest where there are several."""
    ratios = [other / one for one, other in zip(row.ours, row.theirs, strict=False)]
    if not ratios:
        return ""
    spread = f" ({min(ratios):.2f} to {max(ratios):.2f})" if len(ratios) > 1 else ""
    return f"{median(ratios):.2f}{spread}"


def format_seconds(seconds: float) -> str:
    """Writes seconds with three digits, in the unit that suits them."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} µs"


_HISTORY = TypeAdapter(list[Record])


def read_history(file: Path) -> list[Record]:
    """Reads the records of a history, the oldest first; none where there is no file.

    Raises:
        ValueError: The file is no history.
    """
    if not file.exists():
        return []
    try:
        return _HISTORY.validate_json(file.read_bytes())
    except ValueError as error:
        first = str(error).splitlines()[0]
        raise ValueError(
            f"--history {file}: no history of this board ({first}); name another file"
        ) from error


def append_record(record: Record, file: Path) -> None:
    """Adds a record to a history, which is there whole before and after."""
    written = _HISTORY.dump_python([*read_history(file), record], mode="json")
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f".{file.name}.partial")
    draft.write_text(json.dumps(written, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    draft.replace(file)
