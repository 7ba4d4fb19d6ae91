"""Checkpoints that appear whole or not at all, and hold tensors and plain data alone."""

import os
from collections.abc import Mapping
from pathlib import Path

import torch


def write_state(path: Path, state: Mapping[str, object]) -> None:
    """Writes tensors and plain data to a temporary file, then renames it.

    If the process is killed, the old file remains, whole.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            torch.save(dict(state), file)
            file.flush()
            os.fsync(file.fileno())  # else a crash may rename a file whose content is not on disk
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    for left in path.parent.glob(f"{path.name}.*.tmp"):  # of processes that were killed
        left.unlink(missing_ok=True)


def read_state(path: Path) -> dict[str, object] | None:
    """Reads what `write_state` wrote to the CPU, None if there is none; never runs code from it."""
    if not path.is_file():
        return None
    return torch.load(path, map_location="cpu", weights_only=True)
