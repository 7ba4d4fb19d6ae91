"""Two commits by turns: each benchmark on the packages of both, so that a regression shows."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median

from benchmarks.board.cases import HERE, CaseName, Measured, run_case
from benchmarks.board.row import Plan, Row


@contextmanager
def checked_out(commit: str) -> Iterator[Path]:
    """Checks a commit out into a worktree, which has the benchmarks of this tree.

    Raises:
        ValueError: There is no such commit, or no repository.
    """
    found = _git("rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}")
    if found.returncode:
        raise ValueError(
            f"--against {commit}: no such commit in {HERE}; name one of `git log`"
            + (f" ({found.stderr.strip()})" if found.stderr.strip() else "")
        )
    with tempfile.TemporaryDirectory() as place:
        tree = Path(place) / "tree"
        try:
            added = _git("worktree", "add", "--detach", str(tree), found.stdout.strip())
            if added.returncode:
                raise ValueError(f"--against {commit}: {added.stderr.strip()}")
            shutil.rmtree(tree / "benchmarks", ignore_errors=True)
            shutil.copytree(HERE / "benchmarks", tree / "benchmarks")
            yield tree
        finally:
            _git("worktree", "remove", "--force", str(tree))


def _git(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", "-C", str(HERE), *words], capture_output=True, text=True)


def compare(name: CaseName, plan: Plan, commit: str, tree: Path, pairs: int) -> Measured:
    """Measures a benchmark on both trees by turns: the peer of each row is the other commit.

    The order is reversed every second time; what one of the two could not do is an error.
    """
    plan = plan._replace(has_peers=False, repetitions=1)
    turns: list[tuple[Measured, Measured]] = []
    seconds = 0.0
    for number in range(pairs):
        trees = (HERE, tree) if number % 2 else (tree, HERE)
        found = {one: run_case(name, plan, one) for one in trees}
        turns.append((found[HERE], found[tree]))
        seconds += found[HERE].seconds + found[tree].seconds
        for side, one in (("now", found[HERE]), (commit, found[tree])):
            if one.error:
                return Measured(error=f"{side}: {one.error}", seconds=seconds)
    return replace(pair_rows(turns, commit), seconds=seconds)


def pair_rows(turns: list[tuple[Measured, Measured]], commit: str) -> Measured:
    """Joins the turns of both commits, now and before, row by row."""
    now, before = (_by_name([turn[side] for turn in turns]) for side in range(2))
    rows = [
        Row(
            name=name,
            per=found[0].per,
            ours=tuple(median(row.ours) for row in found),
            is_clock=found[0].is_clock,
            peer=commit,
            theirs=tuple(median(row.ours) for row in before.get(name, ())),
            missing="" if name in before else f"not measured at {commit}",
            flops=found[0].flops,
            num_bytes=found[0].num_bytes,
            peak_mb=found[0].peak_mb,
        )
        for name, found in now.items()
    ]
    gone = ", ".join(name for name in before if name not in now)
    return Measured(rows=tuple(rows), error=f"measured at {commit} alone: {gone}" if gone else "")


def _by_name(turns: list[Measured]) -> dict[str, list[Row]]:
    """Returns the rows that every turn has, by their name."""
    found = [{row.name: row for row in turn.rows} for turn in turns]
    return {
        name: [one[name] for one in found] for name in found[0] if all(name in x for x in found)
    }
