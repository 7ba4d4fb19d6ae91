"""Every benchmark of speed in one table: this suite, a peer in the same run, and the floor.

    python -m benchmarks
    python -m benchmarks --only encoders growth --full
    python -m benchmarks --against COMMIT

The floor is what the machine needs at least: multiplications and additions over what one thread was
seen to do, or bytes over what it was seen to move. Each benchmark runs in a process of its own, and
its sides take turns there. With --against the peer is another commit: the benchmarks of this
tree run on its packages, in a git worktree, by turns with those of this tree; a case that is slower
in every pair is marked, and the command ends with status 1. What was measured is added to
benchmarks/history.json with commit, load, threads, processor and versions.
"""

import os
import signal
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import tyro

from benchmarks.board.against import checked_out, compare
from benchmarks.board.cases import CASES, HERE, CaseName, Measured, run_case
from benchmarks.board.machine import find_conditions, measure_machine
from benchmarks.board.record import Record, append_record, read_history
from benchmarks.board.row import Plan


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of the board."""

    only: tuple[CaseName, ...] = CASES
    """Benchmarks to run; all of them take less than ten minutes on two cores."""

    full: bool = False
    """Whether to measure at the sizes of benchmarks/README.md, which takes hours."""

    against: str | None = None
    """Commit to take turns with, in place of peers."""

    pairs: int = 3
    """Turns of each commit with --against."""

    repetitions: int = 3
    """Turns of each side without it."""

    threads: int = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    """Threads of each process."""

    peers: bool = True
    """Whether peers take turns with this suite."""

    history: Path = HERE / "benchmarks" / "history.json"
    """JSON file that the record is added to."""

    def __post_init__(self) -> None:
        for name in ("pairs", "repetitions", "threads"):
            if getattr(self, name) < 1:
                raise ValueError(f"--{name} must be 1 or more, got {getattr(self, name)}")
        if not self.only:
            raise ValueError(f"--only needs one or more of {', '.join(CASES)}")


def run(settings: Settings) -> Record:
    """Runs the benchmarks and returns what was measured."""
    plan = Plan(not settings.full, settings.threads, settings.peers, settings.repetitions)
    load, machine, found = os.getloadavg()[0], measure_machine(), {}
    with ExitStack() as stack:
        commit = settings.against or ""
        tree = stack.enter_context(checked_out(commit)) if commit else HERE
        for name in dict.fromkeys(settings.only):
            print(f"{name} ...", file=sys.stderr, flush=True)
            try:
                if commit:
                    found[name] = compare(name, plan, commit, tree, settings.pairs)
                else:
                    found[name] = run_case(name, plan)
            except KeyboardInterrupt:  # what was measured before is kept
                found[name] = Measured(error="interrupted")
                break
            print(f"{name} took {found[name].seconds:.0f} s", file=sys.stderr, flush=True)
    return Record(
        conditions=find_conditions(settings.threads, HERE, load),
        machine=machine,
        is_quick=plan.is_quick,
        against=commit,
        benchmarks=found,
    )


def main() -> None:
    """Runs the board, prints its table, and keeps the record."""
    settings = tyro.cli(Settings, prog="python -m benchmarks", description=__doc__)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # or a worktree would stay behind
    try:
        read_history(settings.history)  # what is no history is said before an hour's work
        record = run(settings)
    except ValueError as error:
        sys.exit(f"error: {error}")
    append_record(record, settings.history)
    print(f"{record.table()}\n\n{record.describe()}\n\nkept in {settings.history}")
    if slower := record.slower():
        print(f"slower than {settings.against} in every pair: {'; '.join(slower)}")
    if slower or record.failed():
        sys.exit(1)


if __name__ == "__main__":
    main()
