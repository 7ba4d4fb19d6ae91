"""What a processor can do at most, and the conditions that figures were measured under."""

import os
import platform
import subprocess
import time
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from benchmarks.board.row import Row

PACKAGES = ("torch", "transformers", "numpy", "pandas", "onnxruntime", "funasr")
"""Packages whose versions figures depend on, peers among them."""

_TURNS = 10


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Machine:
    """The most that one thread was seen to do."""

    flops: float
    """Multiplications and additions in a second, of a product of large float32 matrices."""

    bandwidth: float
    """Bytes in a second, read and written together, of a copy that no cache holds."""

    def floor(self, row: Row, threads: int) -> float:
        """Returns the least seconds that a row can take, 0 where nothing is known of it.

        Reading and computing can go on at once, so the longer of the two is the floor. Threads
        count where seconds are of the clock.
        """
        seconds = max(row.flops / self.flops, row.num_bytes / self.bandwidth)
        return seconds / threads if row.is_clock else seconds


def measure_machine() -> Machine:
    """Measures this machine on one thread, the best of some turns."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    size, length = 1024, 2**25
    one, other = torch.rand(size, size), torch.rand(size, size)
    source, target = (np.ones(length, dtype=np.float32) for _ in range(2))

    def seconds(run: object) -> float:
        start = time.process_time()  # not the clock: others may have the processor as well
        run()  # type: ignore[operator]
        return time.process_time() - start

    products = min(seconds(lambda: one @ other) for _ in range(_TURNS))
    copies = min(seconds(lambda: np.copyto(target, source)) for _ in range(_TURNS))
    torch.set_num_threads(before)
    return Machine(flops=2 * size**3 / products, bandwidth=2 * source.nbytes / copies)


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Conditions:
    """What figures hold for."""

    commit: str
    """Commit of the code, with ``+`` behind it where files were changed."""

    date: str
    """When it was measured, UTC."""

    processor: str
    cores: int
    threads: int
    """Name of the processor, its cores, and the threads of each process."""

    load: tuple[float, float]
    """Processes that ran or waited in the last minute, before and after."""

    versions: dict[str, str]
    """Of Python and `PACKAGES`; those that are absent are ``not installed``."""

    def describe(self) -> str:
        """Writes the conditions as a line."""
        versions = ", ".join(f"{name} {found}" for name, found in self.versions.items())
        return (
            f"{self.processor}, {self.cores} cores, {self.threads} threads, load "
            f"{self.load[0]:.1f} before and {self.load[1]:.1f} after; commit {self.commit}, "
            f"{self.date}; {versions}"
        )


def find_conditions(threads: int, root: Path, load_before: float) -> Conditions:
    """Finds the conditions of what was measured just now."""
    versions = {"Python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    return Conditions(
        commit=find_commit(root),
        date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M"),
        processor=find_processor(),
        cores=os.cpu_count() or 1,
        threads=threads,
        load=(round(load_before, 1), round(os.getloadavg()[0], 1)),
        versions=versions,
    )


def find_commit(root: Path) -> str:
    """Returns the commit of a checkout, ``unknown`` where there is none."""

    def ask(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(root), *words], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        return ask("rev-parse", "--short", "HEAD") + ("+" if ask("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def find_processor() -> str:
    """Returns the name of the processor."""
    cpuinfo = Path("/proc/cpuinfo")
    for line in cpuinfo.read_text("utf-8").splitlines() if cpuinfo.is_file() else ():
        if line.startswith("model name"):
            return line.split(": ", 1)[1]
    return platform.processor() or platform.machine()
