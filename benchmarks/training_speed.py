"""How much do trainings on stored features cost, against another commit and a plain loop?

    python -m benchmarks.training_speed --against COMMIT
    python -m benchmarks.training_speed --against COMMIT --what conversations --folds 2 --seeds 1

Cases are whole processes, imports included: ``epc``, the command of the README's first table on
the demo corpus; ``ser``, linear probes of EmoDB (with --root); and ``conversations``, planted ones
of IEMOCAP's size (151 dialogues, 10,039 utterances, 5,531 labelled, 768 + 384 features), also by a
loop in plain PyTorch with padded windows, one model after another. Every case stores its features
in a first run on each commit, which does not count. The commits then take turns, with the order
reversed every second time; a ratio is of two neighbouring turns. The load is printed: on a busy
machine compare the processor time, and that of neighbouring turns alone.
"""

import os
import platform
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Literal, NamedTuple

import tyro

from benchmarks.board.row import Plan, Row, count_flops, take_turns

HERE = Path(__file__).resolve().parents[1]

Case = Literal["epc", "ser", "conversations"]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of the measurement."""

    against: str
    """Commit to compare with."""

    what: tuple[Case, ...] = ("epc", "ser", "conversations")
    """Cases to measure."""

    root: Path | None = None
    """Folder of EmoDB, which ``ser`` needs."""

    pairs: int = 3
    """Turns of each commit."""

    folds: int = 10
    """Folds at most."""

    seeds: int = 5
    """Seeds of ``ser`` and ``conversations``."""

    epochs: int = 5
    """Epochs of ``conversations``, all of which are trained."""

    def __post_init__(self) -> None:
        if "ser" in self.what and self.root is None:
            raise ValueError("--what ser needs --root, the folder of EmoDB")
        if min(self.pairs, self.folds, self.seeds, self.epochs) < 1 or self.folds > 10:
            raise ValueError("--pairs, --seeds and --epochs must be 1 or more, --folds 1 to 10")


class Cost(NamedTuple):
    """Seconds of a process with its children: on the clock, and of processors."""

    clock: float
    processor: float


def commands(settings: Settings) -> Iterator[tuple[str, list[str]]]:
    """Yields the command of each case, and that of the plain loop."""
    folds, numbers = str(settings.folds), [settings.folds, settings.seeds, settings.epochs]
    planted = [str(HERE / "benchmarks" / "_planted_conversations.py")]
    for case in settings.what:
        if case == "epc":
            yield case, ["-m", "experiments.epc", "--modality", "speech+text", "--max-folds", folds]
        elif case == "ser":
            flags = f"--corpus emodb --speech-encoder fbank --seeds {settings.seeds}"
            places = ["--root", str(settings.root and settings.root.resolve())]
            limit = ["--max-folds", folds]
            yield case, ["-m", "experiments.ser", *flags.split(), *limit, *places]
        else:
            yield "conversations", [*planted, "engine", *map(str, numbers)]
            yield "conversations, plain loop", [*planted, "plain", *map(str, numbers)]


def run(command: list[str], source: Path, folder: Path) -> Cost:
    """Runs a command on a source tree in a fresh folder; its features are kept in ``folder``."""
    cache = {"CONVERSATION_EMOTION_CACHE": str(folder / "cache"), "TQDM_DISABLE": "1"}
    # The folder of the script would come first on the path, and with it this tree.
    environment = {**os.environ, **cache, "PYTHONPATH": str(source), "PYTHONSAFEPATH": "1"}
    with tempfile.TemporaryDirectory(dir=folder) as place, (folder / "log").open("w") as log:
        began = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, *command], cwd=place, env=environment, stdout=log, stderr=log
        )
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
    if status:
        raise RuntimeError(f"{shlex.join(command)}: {(folder / 'log').read_text()[-2000:]}")
    return Cost(seconds, used.ru_utime + used.ru_stime)


def unpack(commit: str, folder: Path) -> Path:
    """Unpacks the source of a commit -> its folder."""
    target = folder / "before"
    target.mkdir()
    archive = subprocess.run(
        ["git", "-C", str(HERE), "archive", commit], capture_output=True, check=True
    )
    subprocess.run(["tar", "-x", "-C", str(target)], input=archive.stdout, check=True)
    return target


def measure(
    command: list[str], sources: tuple[Path, Path], pairs: int, folder: Path
) -> list[tuple[Cost, Cost]]:
    """Measures a command on both sources by turns, after a run of each that does not count."""
    for source in dict.fromkeys(sources):  # each stores its features by names of its own
        run(command, source, folder)
    found = []
    for number in range(pairs):
        order = (0, 1) if number % 2 else (1, 0)
        costs = {side: run(command, sources[side], folder) for side in order}
        found.append((costs[0], costs[1]))
    return found


def format_row(name: str, found: list[tuple[Cost, Cost]]) -> str:
    """Formats a line of the table: medians of both, median ratios with their range."""
    cells = [name]
    for field in range(2):
        before, after = ([pair[side][field] for pair in found] for side in range(2))
        ratios = sorted(one / other for one, other in zip(before, after, strict=True))
        cells += [f"{median(before):.1f}", f"{median(after):.1f}"]
        cells.append(f"{median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})")
    return f"| {' | '.join(cells)} |"


def board_rows(plan: Plan) -> Iterator[Row]:
    """Trains on planted conversations in this process, the plain loop being the peer."""
    from benchmarks._planted_conversations import plant, train_plainly
    from conversation_emotion.settings.training import TrainingSettings
    from conversation_emotion.tracker import MemoryTracker
    from conversation_emotion.training.cross_validation import cross_validate

    folds, seeds, epochs = (1, 1, 2) if plan.is_quick else (2, 2, 5)
    training = TrainingSettings(
        seeds=seeds, epochs=epochs, patience=epochs, learning_rate=5e-4, batch_size=256, workers=1
    )
    # What is computed once for a task is of its cost, so that each turn has a task of its own.
    tasks = [plant(folds, training) for _ in range(plan.repetitions + 2)]
    flops = count_flops(lambda: cross_validate(tasks.pop(), MemoryTracker()))
    sides = [
        lambda: cross_validate(tasks.pop(), MemoryTracker()),
        lambda: train_plainly(tasks[0]),
    ]
    seconds = take_turns(sides[: 2 if plan.has_peers else 1], plan.repetitions)
    yield Row(
        name=f"conversations of IEMOCAP's size, {folds} x {seeds} trainings, {epochs} epochs",
        per="all trainings",
        ours=seconds[0],
        peer="plain loop",
        theirs=seconds[1] if plan.has_peers else (),
        flops=flops,
    )


def main() -> None:
    """Measures the cases and prints the table."""
    settings = tyro.cli(Settings, prog="python -m benchmarks.training_speed", description=__doc__)
    rows = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        sources = unpack(settings.against, folder), HERE
        for name, command in commands(settings):
            # The plain loop belongs to no commit: it is measured next to the commit of today.
            is_plain = name.endswith("plain loop")
            found = measure(command, (HERE, HERE) if is_plain else sources, settings.pairs, folder)
            rows.append(format_row(name, found))
            print(rows[-1], flush=True)
    print(
        f"\n{platform.processor() or platform.machine()}, {os.cpu_count()} cores, load "
        f"{os.getloadavg()[1]:.1f} over the last five minutes, OMP_NUM_THREADS="
        f"{os.environ.get('OMP_NUM_THREADS', 'unset')}, Python {platform.python_version()}, torch "
        f"{version('torch')}; against {settings.against}, {settings.pairs} pairs, {settings.folds} "
        f"folds, {settings.seeds} seeds, {settings.epochs} epochs of conversations\n"
    )
    print("| case | s before | s now | ratio | CPU s before | CPU s now | ratio |")
    print("|---|---|---|---|---|---|---|")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
