"""The benchmarks of the board, and running one of them in a process of its own."""

import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal, Protocol, cast, get_args

from pydantic import ConfigDict, TypeAdapter
from pydantic.dataclasses import dataclass

from benchmarks.board.row import Plan, Row

HERE = Path(__file__).resolve().parents[2]

CaseName = Literal[
    "encoders",
    "emotion2vec_speed",
    "extraction",
    "training_speed",
    "cpc_speed",
    "huge_pages",
    "sweep_overhead",
    "growth",
]
"""Files of `benchmarks` that measure speed; each has the function `Benchmark.board_rows`."""

CASES: tuple[CaseName, ...] = get_args(CaseName)

OF_ACCURACY = (
    "adaptation",
    "calibration",
    "conversations",
    "deletion",
    "export_accuracy",
    "forecasts",
    "golden",
    "interval_coverage",
    "novelty",
    "placed_emotions",
    "reproduce",
    "speakers",
    "unshared_recordings",
    "words",
)
"""The others measure how right something is, on corpora that a user names."""


class Benchmark(Protocol):
    """What a file of `benchmarks` offers the board."""

    def board_rows(self, plan: Plan) -> Iterator[Row]:
        """Measures its cases, one after another."""
        ...


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Measured:
    """The rows of a benchmark, what ended it early, and how long it took."""

    rows: tuple[Row, ...] = ()
    error: str = ""
    seconds: float = 0.0
    """How long it took on the clock, start and all."""


ROWS = TypeAdapter(Measured)


def run_case(name: CaseName, plan: Plan, tree: Path = HERE) -> Measured:
    """Runs a benchmark with the packages of a tree, in a process and a folder of its own.

    What is printed there is left out; features and runs that it keeps go with the folder.
    """
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "rows.json"
        environment = {
            **os.environ,
            "CONVERSATION_EMOTION_CACHE": f"{place}/cache",
            "OMP_NUM_THREADS": str(plan.threads),
            "PYTHONPATH": os.pathsep.join(
                [str(tree), *filter(None, [os.environ.get("PYTHONPATH")])]
            ),
            "PYTHONSAFEPATH": "1",
            "TQDM_DISABLE": "1",
        }
        environment.pop("MLFLOW_TRACKING_URI", None)
        command = [sys.executable, "-m", "benchmarks.board.cases", name, json.dumps(plan), file]
        start = time.perf_counter()
        done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True)
        found = ROWS.validate_json(file.read_bytes()) if file.exists() else Measured()
        found = replace(found, seconds=round(time.perf_counter() - start, 1))
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if line.strip()]
            why = lines[-1].strip() if lines else f"exit status {done.returncode}"
            return replace(found, error=why)
        return found


def main() -> None:
    """Measures the benchmark that is named, by a plan, into a file that grows row by row."""
    name, plan, file = sys.argv[1:]
    benchmark = cast(Benchmark, importlib.import_module(f"benchmarks.{name}"))
    rows: list[Row] = []
    for row in benchmark.board_rows(Plan(*json.loads(plan))):
        rows.append(row)
        Path(file).write_bytes(ROWS.dump_json(Measured(rows=tuple(rows))))


if __name__ == "__main__":
    main()
