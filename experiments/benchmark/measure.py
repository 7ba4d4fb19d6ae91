"""Measures what a board lacks: each task with each encoder, kept as a file of its own."""

import io
import re
import time
from collections.abc import Iterator
from contextlib import redirect_stdout
from itertools import product
from pathlib import Path

import torch
from tqdm import tqdm

from conversation_emotion.evaluation.board import Cost, Measured, read_result, write_result
from conversation_emotion.features.encoders import load_encoder
from conversation_emotion.settings.benchmark import KINDS, BenchmarkSettings
from conversation_emotion.utterances.audio import SAMPLE_RATE
from experiments.benchmark.tasks import BoardTask, Encoders, list_tasks

ON_REQUEST = ("dimensions",)
"""Kinds of tasks that take minutes an encoder."""

_SECONDS, _CLIPS = 4, 5
"""Length of a clip, and how many of them the cost of an encoder is measured on."""


def measure_all(settings: BenchmarkSettings) -> list[str]:
    """Measures what the folder of the results does not have yet, and returns what failed and why.

    Raises:
        ValueError: A task is named that there is not.
    """
    tasks = choose_tasks(list(list_tasks(settings.places())), settings.tasks)
    cells = [
        (task, encoders)
        for task in tasks
        for encoders in list_encoders(settings)
        if encoders.modality in task.modalities and not _is_known(settings.output, task, encoders)
    ]
    failed = []
    for task, encoders in (bar := tqdm(cells, unit=" scores", disable=None)):
        bar.set_postfix_str(f"{task.name}, {encoders.name}")
        try:
            _measure(settings.output, task, encoders)
        except (OSError, ValueError) as error:
            failed.append(f"{task.name} with {encoders.name}: {error}")
    for name in settings.speech_encoder:
        try:
            _measure_cost(settings.output, name)
        except (OSError, ValueError) as error:
            failed.append(f"the cost of {name}: {error}")
    return failed


def choose_tasks(tasks: list[BoardTask], names: tuple[str, ...]) -> list[BoardTask]:
    """Chooses tasks by name or kind; without any, those that are not on request alone.

    Raises:
        ValueError: There is none of the name.
    """
    for name in names:
        if name not in {*KINDS, *(task.name for task in tasks)}:
            there = ", ".join(task.name for task in tasks)
            raise ValueError(f"--tasks {name}: there is no such task; these corpora have {there}")
    if names:
        return [task for task in tasks if {task.name, task.kind} & {*names}]
    return [task for task in tasks if task.kind not in ON_REQUEST]


def list_encoders(settings: BenchmarkSettings) -> Iterator[Encoders]:
    """Yields the rows: each encoder by itself, and speech with text where they are joined."""
    yield from (Encoders(speech=name) for name in settings.speech_encoder)
    yield from (Encoders(text=name) for name in settings.text_encoder)
    if settings.joined:
        yield from map(Encoders._make, product(settings.speech_encoder, settings.text_encoder))


def _file(output: Path, folder: str, name: str) -> Path:
    return output / folder / f"{re.sub(r'[^A-Za-z0-9._+-]+', '-', name)}.json"


def _is_known(output: Path, task: BoardTask, encoders: Encoders) -> bool:
    """Returns whether there is a result of this version of the task."""
    file = _file(output, f"tasks/{task.name}", encoders.name)
    return file.is_file() and read_result(file).task_version == task.version


def _measure(output: Path, task: BoardTask, encoders: Encoders) -> None:
    with redirect_stdout(io.StringIO()):
        table = task.run(encoders)
    (row,) = [row for row in table.rows if row.kind == "model"]
    majorities = [
        row.metrics[task.metric].score
        for row in table.rows
        if row.kind == "baseline" and "majority" in row.name and task.metric in row.metrics
    ]
    result = Measured(
        task=task.name,
        task_version=task.version,
        kind=task.kind,
        corpus=task.corpus,
        modality=encoders.modality,
        encoder=encoders.name,
        metric=task.metric,
        row=row,
        majority=majorities[0] if majorities else None,
    )
    write_result(result, _file(output, f"tasks/{task.name}", encoders.name))


def _measure_cost(output: Path, name: str) -> None:
    """Keeps the processor time of a speech encoder, unless it is known."""
    row = Encoders(speech=name).name
    file = _file(output, "encoders", row)
    if file.is_file():
        return
    encoder = load_encoder("speech", name, "cpu")
    clip = 0.1 * torch.randn(1, _SECONDS * SAMPLE_RATE, generator=torch.Generator().manual_seed(0))
    lengths = torch.tensor([clip.size(1)])
    encoder(clip, lengths)  # type: ignore[operator]
    began = time.process_time()
    for _ in range(_CLIPS):
        encoder(clip, lengths)  # type: ignore[operator]
    seconds = (time.process_time() - began) / (_CLIPS * _SECONDS)
    write_result(Cost(encoder=row, seconds=seconds), file)
