"""Checkpoints that appear whole or not at all, and hold tensors and plain data alone."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict, cast

import torch
from torch import Tensor


class ProgressFields(TypedDict):
    """Fields of `conversation_emotion.pretraining.contract.Progress`."""

    step: int
    num_steps: int
    seconds: float
    audio_seconds: float
    flops_per_audio_second: float


class Checkpoint(TypedDict):
    """All that a training goes on from.

    Attributes:
        objective: Weights and running statistics.
        optimizer: State of the optimizer, as PyTorch keeps it.
        progress: Fields of the loop's progress.
        place: Epoch and number of the next batch.
        monitor: Running means of the collapse monitor.
        broken: Why a clip cannot be heard, by path.
    """

    objective: dict[str, Tensor]
    optimizer: dict[str, object]
    progress: ProgressFields
    place: tuple[int, int]
    monitor: dict[str, float]
    broken: dict[str, str]


def write_checkpoint(path: Path, state: Checkpoint) -> None:
    """Writes a checkpoint of a pre-training, whole or not at all."""
    write_state(path, state)


def read_checkpoint(path: Path) -> Checkpoint | None:
    """Reads a checkpoint to the CPU, None if there is none; never runs code from it."""
    return cast(Checkpoint | None, read_state(path))


def write_state(path: Path, state: Mapping[str, object]) -> None:
    """Writes tensors and plain data beside their place, then renames the file.

    A kill at any moment thus leaves the old one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            torch.save(dict(state), file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    for left in path.parent.glob(f"{path.name}.*.tmp"):
        left.unlink(missing_ok=True)


def read_state(path: Path) -> dict[str, object] | None:
    """Reads what `write_state` wrote to the CPU, None if there is none; never runs code from it."""
    if not path.is_file():
        return None
    return torch.load(path, map_location="cpu", weights_only=True)
