"""Does the cost of an utterance stay flat as a corpus grows, and how much memory does it take?

    python -m benchmarks.growth
    python -m benchmarks.growth --sizes 1000 10000 --what results

Every step is measured at every size, in a process of its own: the extraction of features (Fbank)
from as many files of a fifth of a second, and reading them back; frames in half precision that are
gathered from the disk, batch by batch in random order; one epoch of emotion prediction on planted
conversations, from the table to the predictions; and the table of results with its intervals and
a paired test. Cost is processor time of all threads for each utterance, imports and making the
inputs not included; memory is the peak of the process, and what of it was there before. Growth is
flat if the cost at the largest size is at most 1.2 times that of the smallest.
"""

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import numpy as np
import pandas as pd
import tyro

from benchmarks.board.row import Plan, Row, in_process, peak_memory

Step = Literal["extraction", "reading", "frames", "training", "results"]

FLAT = 1.2
"""Times the cost of the smallest size that the largest may take."""

SMALL_COUNTS = 3
"""Turns of the smaller sizes, the least of which counts: a second of work is easily disturbed."""

NUM_CLASSES, NUM_SEEDS, NUM_FOLDS = 7, 5, 10


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of the measurement."""

    what: tuple[Step, ...] = get_args(Step)
    """Steps to measure."""

    sizes: tuple[int, ...] = (1_000, 10_000, 100_000)
    """Utterances, the fewest first."""

    threads: int = 1
    """Threads of each process."""

    def __post_init__(self) -> None:
        if not self.sizes or min(self.sizes) < 100 or list(self.sizes) != sorted(self.sizes):
            given = " ".join(map(str, self.sizes))
            raise ValueError(f"--sizes must be 100 or more, the fewest first, got {given}")
        if self.threads < 1:
            raise ValueError(f"--threads must be 1 or more, got {self.threads}")


class Order(NamedTuple):
    """A step to measure, at a size, with a folder for what it writes."""

    step: Step
    size: int
    threads: int
    folder: Path


class Grown(NamedTuple):
    """What a step took: seconds of processor for an utterance, and MB before and at the peak."""

    cost: float
    before: float
    peak: float


def prepare_extraction(size: int, folder: Path) -> Callable[[], object]:
    """Writes as many files of noise, and returns what extracts their features."""
    from conversation_emotion.features.sources import Source, encode_source, load_encoder

    table = write_clips(size, folder)
    source = Source("speech", "fbank", "last", "mean", half_precision=False)
    encoder = load_encoder("speech", "fbank")
    return lambda: encode_source(table, source, encoder, folder / "cache", advance=_ignore)


def prepare_reading(size: int, folder: Path) -> Callable[[], object]:
    """Extracts as many files, and returns what reads their features and goes through them once."""
    from conversation_emotion.datasets.batches import ModalityArrays

    extract = prepare_extraction(size, folder)
    extract()

    def read() -> None:
        _gather(ModalityArrays(extract(), "speech"), size)  # type: ignore[arg-type]

    return read


def prepare_frames(size: int, folder: Path) -> Callable[[], object]:
    """Stores 5 to 35 frames of as many texts, and returns what gathers them once at random."""
    from conversation_emotion.datasets.batches import ModalityArrays
    from conversation_emotion.features.extract import extract_text
    from conversation_emotion.features.key import FeatureKey, text_digest
    from conversation_emotion.features.store import FeatureStore

    key = FeatureKey(encoder="grown", layers="last", pooling="frames", half_precision=True)
    generator, store = np.random.default_rng(0), FeatureStore(key, folder)
    noise = generator.normal(size=(1, 64, 256)).astype(np.float32)
    for number in range(size):
        store.add(text_digest(str(number)), noise[:, : generator.integers(5, 36)])
    store.flush()
    table = pd.DataFrame({"utterance_id": np.arange(size), "text": np.arange(size).astype(str)})

    def read() -> None:
        found = extract_text(table, None, FeatureStore(key, folder))  # type: ignore[arg-type]
        _gather(ModalityArrays(found, "text"), size)

    return read


def prepare_training(size: int, folder: Path) -> Callable[[], object]:
    """Returns what plants conversations of as many utterances and trains one epoch on them."""
    from benchmarks._planted_conversations import plant
    from conversation_emotion.settings.training import TrainingSettings
    from conversation_emotion.tracker import MemoryTracker
    from conversation_emotion.training.cross_validation import cross_validate

    training = TrainingSettings(seeds=1, epochs=1, patience=1, batch_size=64, workers=1)
    del folder
    return lambda: cross_validate(
        plant(1, training, num_utterances=size, sizes={"speech": 64}), MemoryTracker()
    )


def prepare_results(size: int, folder: Path) -> Callable[[], object]:
    """Makes predictions of two systems, and returns what scores and compares them in a table."""
    from conversation_emotion.evaluation.metrics import score_classes, score_predictions
    from conversation_emotion.evaluation.results import ResultsTable, RowResult, compare_rows

    tables = {name: make_predictions(size, seed) for seed, name in enumerate(("one", "other"))}
    labels = [f"class{number}" for number in range(NUM_CLASSES)]

    def show() -> None:
        rows = [
            RowResult(
                name=name,
                metrics=score_predictions(table, NUM_CLASSES),
                per_class=score_classes(table, labels),
                num_folds=NUM_FOLDS,
                num_seeds=NUM_SEEDS,
            )
            for name, table in tables.items()
        ]
        ResultsTable(title="grown", columns=("uar", "wa"), rows=tuple(rows)).write(folder)
        compare_rows(tables, labels).render()

    return show


STEPS: dict[Step, Callable[[int, Path], Callable[[], object]]] = {
    "extraction": prepare_extraction,
    "reading": prepare_reading,
    "frames": prepare_frames,
    "training": prepare_training,
    "results": prepare_results,
}


def write_clips(size: int, folder: Path) -> pd.DataFrame:
    """Writes files of 0.2 s that differ, a thousand to a folder -> their utterance table."""
    import soundfile

    generator = np.random.default_rng(0)
    noise = (1000 * generator.normal(size=3200)).astype(np.int16)
    paths = [folder / f"{number // 1000}" / f"{number}.wav" for number in range(size)]
    for number, path in enumerate(paths):
        path.parent.mkdir(exist_ok=True)
        noise[:2] = number % 2**15, number // 2**15
        soundfile.write(path, noise, 16_000)
    unknown = dict.fromkeys(("offset", "duration", "channel"), np.nan)
    ids = [str(number) for number in range(size)]
    return pd.DataFrame({"utterance_id": ids, "audio": [str(path) for path in paths], **unknown})


def make_predictions(size: int, seed: int) -> pd.DataFrame:
    """Makes predictions of utterances in dialogues of 60, of which three quarters are right."""
    targets = np.random.default_rng(0).integers(0, NUM_CLASSES, size)
    generator, tables = np.random.default_rng(seed + 1), []
    dialogues = np.arange(size) // 60
    for number in range(NUM_SEEDS):
        others = generator.integers(0, NUM_CLASSES, size)
        predicted = np.where(generator.random(size) < 0.75, targets, others)
        columns = {
            "fold": (dialogues % NUM_FOLDS).astype(str),
            "seed": number,
            "part": "test",
            "utterance_id": np.arange(size).astype(str),
            "dialogue_id": dialogues.astype(str),
            "target": targets,
            "predicted": predicted,
        }
        tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True)


def _ignore(seconds: float) -> None:
    del seconds


def _gather(arrays: object, size: int) -> None:
    """Gathers all utterances once in random order, in batches of 256."""
    import torch

    for rows in torch.randperm(size).split(256):
        arrays.gather(rows)  # type: ignore[attr-defined]


def grow(order: Order) -> Grown:
    """Prepares a step and measures it in this process."""
    import torch

    torch.set_num_threads(order.threads)
    turns = 1 if order.size >= 50_000 or order.step == "extraction" else SMALL_COUNTS
    with tempfile.TemporaryDirectory(dir=order.folder) as place:
        (Path(place) / "warm").mkdir()
        STEPS[order.step](100, Path(place) / "warm")()  # libraries load what they need
        (Path(place) / "cold").mkdir()
        run = STEPS[order.step](order.size, Path(place) / "cold")
        before, costs = peak_memory(), []
        for _ in range(turns):
            start = time.process_time()
            run()
            costs.append(time.process_time() - start)
    return Grown(min(costs) / order.size, before, peak_memory())


def measure(settings: Settings) -> Iterator[tuple[Step, dict[int, Grown]]]:
    """Measures each step at all sizes."""
    os.environ["TQDM_DISABLE"] = "1"
    with tempfile.TemporaryDirectory() as place:
        for step in settings.what:
            yield (
                step,
                {
                    size: in_process(grow, Order(step, size, settings.threads, Path(place)))
                    for size in settings.sizes
                },
            )


def board_rows(plan: Plan) -> Iterator[Row]:
    """Measures growth by ten, or by a hundred, as rows of the board."""
    sizes = (1_000, 10_000) if plan.is_quick else Settings().sizes
    for step, found in measure(Settings(sizes=sizes, threads=plan.threads)):
        least, largest = found[sizes[0]], found[sizes[-1]]
        yield Row(
            name=f"{step} of {sizes[-1]:,} utterances",
            per="utterance",
            ours=(largest.cost,),
            peer=f"of {sizes[0]:,}",
            theirs=(least.cost,),
            peak_mb=largest.peak,
        )


def format_rows(step: Step, found: dict[int, Grown]) -> Iterator[str]:
    """Formats the lines of a step: cost, times the least size, memory before and at the peak."""
    least = next(iter(found.values())).cost
    for size, one in found.items():
        times = one.cost / least
        mark = " (!)" if times > FLAT else ""
        yield (
            f"| {step} | {size:,} | {1e3 * one.cost:.3f} | {times:.2f}{mark} | "
            f"{one.before:,.0f} | {one.peak:,.0f} |"
        )


def main() -> None:
    """Measures all steps and prints the table."""
    settings = tyro.cli(Settings, prog="python -m benchmarks.growth", description=__doc__)
    print("| step | utterances | CPU ms each | times the fewest | MB before | MB at the peak |")
    print("|---|---|---|---|---|---|", flush=True)
    for step, found in measure(settings):
        for line in format_rows(step, found):
            print(line, flush=True)


if __name__ == "__main__":
    main()
