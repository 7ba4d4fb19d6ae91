"""How much faster is CPC's contrast computed at once than frame by frame, and in which memory?

    python -m benchmarks.cpc_speed
    python -m benchmarks.cpc_speed --device cuda --clips 64

Both sides train the same model of the published size with the same negatives, and agree on the loss
and on the gradients before anything is measured. The loop computes what the paper defines one
frame and one horizon after the other, all clips together; nothing else differs. They take turns in
one process on the same threads; a ratio is of two turns side by side. A step is forward, backward
and the update. Peak memory is that of a process of its own, library and weights included; on a GPU
what is allocated beyond what was before. Needs Linux. On two cores the default
takes about half an hour, --clips 2 five minutes.
"""

import multiprocessing
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import torch
import tyro
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from benchmarks.board.row import Plan, Row, count_flops, take_turns
from speech_encoders.cpc import CpcConfig, CpcForPreTraining, contrast, draw_negatives

TOLERANCE = 1e-4

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Predictions (B, T, K, C), latents (B, T, C) and negatives (B, T, N) to a loss."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of the comparison."""

    device: Literal["cpu", "cuda"] = "cpu"
    """Where both compute."""

    clips: int = 8
    """Clips of a batch."""

    seconds: float = 10.0
    """Length of a clip."""

    negatives: int = 50
    """Negatives of each target."""

    repetitions: int = 3
    """Pairs of turns, after one that does not count."""

    threads: int = 2
    """Threads of each process."""

    def __post_init__(self) -> None:
        for name in ("clips", "negatives", "repetitions", "threads"):
            if getattr(self, name) < 1:
                raise ValueError(f"--{name} must be 1 or more, got {getattr(self, name)}")
        if self.seconds < 0.2:
            raise ValueError(f"--seconds must be 0.2 or more, got {self.seconds:g}")
        if self.device == "cuda" and not torch.cuda.is_available():
            raise ValueError("--device cuda needs a GPU, and PyTorch finds none")


def contrast_at_once(predictions: Tensor, latents: Tensor, negatives: Tensor) -> Tensor:
    """Computes the loss as the suite does."""
    return contrast(predictions, latents, negatives).losses.mean()


def contrast_in_a_loop(predictions: Tensor, latents: Tensor, negatives: Tensor) -> Tensor:
    """Computes the same for one frame and one horizon after the other."""
    num_clips, num_frames, num_steps, _ = predictions.shape
    frames = latents.flatten(0, 1)
    right = torch.zeros(num_clips, dtype=torch.int64, device=latents.device)
    losses = []
    for step in range(1, num_steps + 1):
        terms = []
        for now in range(num_frames - step):
            target = latents[:, now + step, None]
            candidates = torch.cat([target, frames[negatives[:, now + step]]], dim=1)
            logits = torch.einsum("bc,bnc->bn", predictions[:, now, step - 1], candidates)
            terms.append(F.cross_entropy(logits, right))
        losses.append(torch.stack(terms).mean())
    return torch.stack(losses).mean()


SIDES: dict[str, Loss] = {"at once": contrast_at_once, "in a loop": contrast_in_a_loop}


class Bench:
    """A model with a batch to train on, the same for both sides."""

    def __init__(self, settings: Settings) -> None:
        torch.manual_seed(0)
        torch.set_num_threads(settings.threads)
        self.device = settings.device
        self.model = CpcForPreTraining(CpcConfig())
        nn.Module.to(self.model, settings.device)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=2e-4)
        clips = 0.1 * torch.randn(settings.clips, round(16_000 * settings.seconds))
        self.waveforms = clips.to(settings.device)
        with torch.no_grad():
            num_frames = self.model.cpc.encode(self.waveforms[:1]).size(1)
        generator = torch.Generator().manual_seed(0)
        self.negatives = draw_negatives(
            settings.clips, num_frames, settings.negatives, "same", generator
        ).to(settings.device)

    def compute(self, loss: Loss) -> Tensor:
        """Computes the loss and leaves its gradients in the weights."""
        self.optimizer.zero_grad()
        predictions, latents = self.model(self.waveforms)
        value = loss(predictions, latents, self.negatives)
        value.backward()
        return value.detach()

    def step(self, loss: Loss) -> float:
        """Makes one update: -> seconds."""
        self._wait()
        start = time.perf_counter()
        self.compute(loss)
        self.optimizer.step()
        self._wait()
        return time.perf_counter() - start

    def contrast_alone(self, loss: Loss) -> float:
        """Computes only the loss and its gradients at predictions and latents: -> seconds."""
        with torch.no_grad():
            predictions, latents = (tensor.contiguous() for tensor in self.model(self.waveforms))
        inputs = predictions.requires_grad_(), latents.requires_grad_()
        self._wait()
        start = time.perf_counter()
        torch.autograd.grad(loss(*inputs, self.negatives), inputs)
        self._wait()
        return time.perf_counter() - start

    def _wait(self) -> None:
        if self.device == "cuda":
            torch.cuda.synchronize()


def check_agreement(bench: Bench) -> float:
    """Compares loss and gradients of both sides: -> largest difference.

    Raises:
        RuntimeError: They differ by more than the tolerance.
    """
    results = []
    for loss in SIDES.values():
        value = bench.compute(loss)
        results.append([value, *(p.grad.clone() for p in bench.model.parameters())])  # type: ignore[union-attr]
    difference = max((a - b).abs().max().item() for a, b in zip(*results, strict=True))
    if difference > TOLERANCE:
        raise RuntimeError(
            f"the sides differ by {difference:.1e}, expected {TOLERANCE:.0e} at most"
        )
    return difference


def measure(turn: Callable[[Loss], float], repetitions: int) -> list[list[float]]:
    """Takes turns, every second time in the other order: -> seconds of each side, turn by turn."""
    for loss in SIDES.values():
        turn(loss)
    turns = []
    for repetition in range(repetitions):
        order = list(SIDES)[::-1] if repetition % 2 else list(SIDES)
        seconds = {name: turn(SIDES[name]) for name in order}
        turns.append([seconds[name] for name in SIDES])
    return turns


def peak(name: str, settings: Settings) -> float:
    """Makes one update in this process: -> peak memory in MB."""
    bench = Bench(settings)
    if settings.device == "cuda":
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        bench.step(SIDES[name])
        return (torch.cuda.max_memory_allocated() - before) / 1e6
    bench.step(SIDES[name])
    # Not getrusage, whose peak a process inherits from its parent.
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1e3


def board_rows(plan: Plan) -> Iterator[Row]:
    """Measures an update and the contrast alone, with the loop as the peer."""
    sizes = {"clips": 1, "seconds": 0.5} if plan.is_quick else {"clips": 8, "seconds": 10.0}
    settings = Settings(threads=plan.threads, **sizes)  # type: ignore[arg-type]
    bench = Bench(settings)
    check_agreement(bench)
    sides = list(SIDES.values())[: 2 if plan.has_peers else 1]
    for what, turn, run in (
        ("update", bench.step, bench.compute),
        ("contrast alone", bench.contrast_alone, None),
    ):
        seconds = take_turns([partial(turn, one) for one in sides], plan.repetitions)
        yield Row(
            name=f"{what}, {settings.clips} clips of {settings.seconds:g} s",
            per="update",
            ours=seconds[0],
            peer="frame by frame",
            theirs=seconds[1] if plan.has_peers else (),
            flops=count_flops(partial(run, sides[0])) if run else 0.0,
        )


def format_row(what: str, turns: list[list[float]]) -> str:
    """Gives a line of the table."""
    ours, theirs = (statistics.median(seconds) for seconds in zip(*turns, strict=True))
    ratios = [loop / at_once for at_once, loop in turns]
    spread = f"{statistics.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f})"
    return f"| {what} | {1 / ours:.3g} | {1 / theirs:.3g} | {spread} |"


def main() -> None:
    """Runs the comparison and prints its table."""
    settings = tyro.cli(Settings, prog="python -m benchmarks.cpc_speed", description=__doc__)
    bench = Bench(settings)
    difference = check_agreement(bench)
    device = torch.cuda.get_device_name() if settings.device == "cuda" else platform.processor()
    print(
        f"{device or platform.machine()}, {settings.threads} threads, Python "
        f"{platform.python_version()}, torch {version('torch')}; {settings.clips} clips of "
        f"{settings.seconds:g} s, {settings.negatives} negatives, median of "
        f"{settings.repetitions} pairs; loss and gradients differ by at most {difference:.0e}\n"
    )
    print("| what | at once, per second | in a loop, per second | ratio (range) |")
    print("|---|---|---|---|", flush=True)
    for what, turn in (("updates", bench.step), ("contrast alone", bench.contrast_alone)):
        print(format_row(what, measure(turn, settings.repetitions)), flush=True)
    peaks = []
    for name in SIDES:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            peaks.append(pool.submit(peak, name, settings).result())
    print(f"| peak memory, MB | {peaks[0]:,.0f} | {peaks[1]:,.0f} | {peaks[1] / peaks[0]:.2f} |")


if __name__ == "__main__":
    main()
