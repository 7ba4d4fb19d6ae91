"""Keeps the results of a run for the results pages, and runs a kept table again.

    python -m benchmarks.reproduce keep RESULTS_JSON ser-emodb --roots EMODB=PATH
    python -m benchmarks.reproduce run ser-emodb --roots EMODB=PATH
    python -m benchmarks.reproduce run ser-emodb --roots EMODB=PATH --rows fbank

The first copies what a run of an experiment holds as ``results.json`` into ``results/``, with names
such as EMODB in place of this machine's folders; `python docs/generate.py` then writes the pages.
The second runs the commands of a kept table, those of some rows alone if they are named, and
compares every metric. Digits depend on the processor and on library versions: a difference is shown
next to the kept interval.
"""

import argparse
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from conversation_emotion.evaluation.results import ResultsTable, RowResult

KEPT = Path(__file__).parents[1] / "results"


def keep(source: Path, name: str, roots: Mapping[str, str]) -> Path:
    """Copies a results table, without the folders of this machine.

    Raises:
        ValueError: A folder has no name among the roots.
    """
    text = source.read_text("utf-8")
    for placeholder, path in roots.items():
        text = text.replace(path.rstrip("/"), placeholder)
    for row in ResultsTable.from_json(text).rows:
        words = [*shlex.split(row.command), *row.settings.values()]
        if left := [word for word in words if "/" in word and Path(word).is_absolute()]:
            raise ValueError(f"{row.name}: {left[0]} has no name; pass --roots NAME={left[0]}")
    KEPT.mkdir(exist_ok=True)
    target = KEPT / f"{name}.json"
    target.write_text(text + "\n" * (not text.endswith("\n")), "utf-8")
    return target


def read(name: str) -> ResultsTable:
    """Reads a kept table.

    Raises:
        FileNotFoundError: There is none of that name.
    """
    file = KEPT / f"{name}.json"
    if not file.is_file():
        names = ", ".join(sorted(one.stem for one in KEPT.glob("*.json")))
        raise FileNotFoundError(f"no table {name!r} is kept; there are {names}")
    return ResultsTable.read(file)


def run(table: ResultsTable, roots: Mapping[str, str]) -> dict[str, RowResult]:
    """Runs the commands of a table in a folder of their own -> the rows they give, by name.

    Rows are those of the run's main table, or of another one that has the same columns.
    """
    found = {}
    for command in dict.fromkeys(row.command for row in table.rows if row.command):
        for placeholder, path in roots.items():
            command = command.replace(placeholder, shlex.quote(path))
        with tempfile.TemporaryDirectory() as place:
            arguments = shlex.split(command)[1:]
            subprocess.run([sys.executable, *arguments], cwd=place, check=True)
            written = Path(place).rglob("artifacts/*.json")
            for file in sorted(written, key=lambda file: file.name != "results.json"):
                if '"schema_version"' not in (text := file.read_text("utf-8")):
                    continue
                other = ResultsTable.from_json(text)
                if file.name == "results.json" or {*other.columns} == {*table.columns}:
                    found |= {row.name: row for row in other.rows if row.kind == "model"}
    return found


def compare(kept: RowResult, found: RowResult) -> list[str]:
    """Returns a line for each metric: kept, found, and whether the kept interval holds it."""
    lines = []
    for metric, one in kept.metrics.items():
        other = found.metrics[metric]
        if other.score == one.score:
            verdict = "equal"
        else:
            inside = one.low <= other.score <= one.high
            verdict = (
                f"{other.score - one.score:+.4f}, {'in' if inside else 'OUT'}side the interval"
            )
        lines.append(f"{kept.name:30} {metric:14} {one.score:.4f} {other.score:.4f}  {verdict}")
    return lines


def main() -> None:
    """Keeps a table, or runs one again; ends with status 1 where a score left its interval."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    actions = parser.add_subparsers(dest="action", required=True)
    keeping, running = actions.add_parser("keep"), actions.add_parser("run")
    keeping.add_argument("source", type=Path)
    running.add_argument("--rows", nargs="+")
    for one in (keeping, running):
        one.add_argument("name")
        one.add_argument("--roots", nargs="*", default=[], metavar="NAME=PATH")
    given = parser.parse_args()
    roots = dict(pair.split("=", 1) for pair in given.roots)
    if given.action == "keep":
        print(keep(given.source, given.name, roots))
        return
    table = read(given.name)
    rows = [row for row in table.rows if row.kind == "model"]
    if given.rows:
        rows = [row for row in rows if row.name in given.rows]
    found = run(ResultsTable(title=table.title, columns=table.columns, rows=tuple(rows)), roots)
    lines = [line for row in rows for line in compare(row, found[row.name])]
    print(*lines, sep="\n")
    sys.exit(any("OUTside" in line for line in lines))


if __name__ == "__main__":
    main()
