"""Training from the samples on a processor, with tensors on huge pages and on small ones.

    python -m benchmarks.huge_pages

Processes take turns, each with one thread and PyTorch's THP_MEM_ALLOC_ENABLE on or off, and train
CPC's encoder for some steps, as the row end-to-end of experiments.dimensional does. Prints the
times of each kind and the ratio of neighbouring turns: median, least and greatest.
"""

import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import NamedTuple

import numpy as np
import tyro

from benchmarks.board.row import Plan, Row, count_flops
from experiments.framework.commandline import HUGE_PAGES

_TURN = "HUGE_PAGES_TURN"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What is trained, and how often."""

    clips: int = 32
    """Clips of a batch."""

    seconds: float = 3.0
    """Length of each."""

    steps: int = 4
    """Updates of a turn."""

    pairs: int = 5
    """Turns of each kind."""


class Turn(NamedTuple):
    """Seconds on the clock, in the program and in the system; the most memory at once in MB."""

    wall: float
    user: float
    system: float
    memory: float


def main(settings: Settings) -> None:
    """Lets the processes take turns and prints what they took."""
    import torch

    small, huge = take_turns(settings)
    print(f"{platform.processor() or platform.machine()}, torch {torch.__version__}, {settings}")
    for name, turns in (("small pages", small), ("huge pages", huge)):
        wall, user, system, memory = np.median(turns, axis=0)
        print(f"{name}: {wall:.1f} s ({user:.1f} + {system:.1f} system), {memory:,.0f} MB")
    for name, index in (("clock", 0), ("processor", slice(1, 3))):
        ratios = [
            np.sum(one[index]) / np.sum(other[index])
            for one, other in zip(small, huge, strict=True)
        ]
        print(f"{name}: {np.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


def take_turns(settings: Settings) -> tuple[list[Turn], list[Turn]]:
    """Lets the processes take turns: -> those with small pages, those with huge ones."""
    small, huge = [], []
    for number in range(settings.pairs):
        for kind in (("0", "1"), ("1", "0"))[number % 2]:
            (huge if kind == "1" else small).append(_start_turn(kind, settings))
    return small, huge


def board_rows(plan: Plan) -> Iterator[Row]:
    """Measures a step of CPC's encoder, with small pages as the peer."""
    settings = Settings(pairs=plan.repetitions)
    if plan.is_quick:
        settings = replace(settings, clips=8, steps=2)
    small, huge = take_turns(settings)
    seconds = [
        tuple((turn.user + turn.system) / settings.steps for turn in turns)
        for turns in (huge, small)
    ]
    yield Row(
        name=f"CPC's encoder, {settings.clips} clips of {settings.seconds:g} s",
        per="update",
        ours=seconds[0],
        peer="small pages",
        theirs=seconds[1],
        flops=count_flops(lambda: train(replace(settings, steps=1))),
        peak_mb=max(turn.memory for turn in huge),
    )


def train(settings: Settings) -> Turn:
    """Trains in this process."""
    import torch

    from speech_encoders.cpc import CpcConfig, CpcModel

    torch.set_num_threads(1)
    torch.manual_seed(0)
    encoder = CpcModel(CpcConfig())
    waveforms = torch.randn(settings.clips, int(16_000 * settings.seconds))
    mask = torch.ones_like(waveforms, dtype=torch.bool)
    optimizer = torch.optim.Adam(encoder.parameters())
    before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    for _ in range(settings.steps):
        encoder(waveforms, mask).last_hidden_state.square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
    return Turn(
        wall,
        after.ru_utime - before.ru_utime,
        after.ru_stime - before.ru_stime,
        after.ru_maxrss / 1024,
    )


def _start_turn(kind: str, settings: Settings) -> Turn:
    environment = {**os.environ, HUGE_PAGES: kind, _TURN: "1"}
    flags = [f"--{one.name}={getattr(settings, one.name)}" for one in fields(settings)]
    command = [sys.executable, "-m", "benchmarks.huge_pages", *flags]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return Turn(*map(float, done.stdout.split()))


if __name__ == "__main__":
    chosen = tyro.cli(Settings)
    if os.environ.get(_TURN):
        print(*train(chosen))
    else:
        main(chosen)
