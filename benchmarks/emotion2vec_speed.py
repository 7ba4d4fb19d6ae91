"""Is this suite's emotion2vec faster than FunASR's, and does its memory stay flat?

    python -m benchmarks.emotion2vec_speed
    python -m benchmarks.emotion2vec_speed --device cuda --copies 40 --batch-size 32

Both hold the same random weights of the base size in float32, agree on a clip, and give the frames
of the last layer. They take turns in one process on the same threads; a ratio is of two turns side
by side. On a processor the cost is its time, of all threads together; on a GPU it is the time on
the clock, of batches here and of clip after clip there, with TensorFloat-32 for both. Peak memory
is that of a process of its own, library and weights included; on a GPU what is allocated beyond the
weights.

Needs ``pip install funasr`` and Linux. Takes about 20 minutes on two cores.
"""

import multiprocessing
import platform
import statistics
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, NamedTuple

import torch
import tyro
from torch import Tensor

from benchmarks._emotion2vec_encoders import (
    Encode,
    encode_ours,
    load_ours,
    load_theirs,
    save_weights,
)
from benchmarks.board.row import Plan, Row, count_flops
from benchmarks.board.row import take_turns as take_turns_of
from speech_encoders import load_speech_encoder
from speech_encoders.emotion2vec.front_end import count_frames
from tests.funasr_emotion2vec import Shape, make_waveform

TOLERANCE = 1e-4
LARGEST_BIAS = 4e9
"""Bytes of FunASR's attention bias beyond which it is not run; it holds more than one such."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of the comparison."""

    device: Literal["cpu", "cuda"] = "cpu"
    """Where both compute."""

    clips: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0, 12.0)
    """Seconds of the clips of the mixed set."""

    copies: int = 1
    """How many times the mixed set holds each clip."""

    recordings: tuple[float, ...] = (60.0, 600.0)
    """Seconds of recordings, each measured alone."""

    repetitions: int = 5
    """Pairs of turns, after one that does not count."""

    threads: int = 2
    """Threads of each process."""

    batch_size: int = 1
    """Clips of a batch here; FunASR takes one by one."""

    attention: Literal["sdpa", "flex_attention"] = "sdpa"
    """How this suite attends, see speech_encoders.emotion2vec.blocks."""

    def __post_init__(self) -> None:
        for name in ("copies", "repetitions", "threads", "batch_size"):
            if getattr(self, name) < 1:
                flag = name.replace("_", "-")
                raise ValueError(f"--{flag} must be 1 or more, got {getattr(self, name)}")
        if not self.clips or min(*self.clips, *self.recordings, 1.0) < 0.025:
            raise ValueError("--clips needs one or more, and no clip may be shorter than 0.025 s")
        if self.device == "cuda" and not torch.cuda.is_available():
            raise ValueError("--device cuda needs a GPU, and PyTorch finds none")


class Case(NamedTuple):
    """A set of clips.

    Attributes:
        name: What stands in the table.
        seconds: Their lengths.
        copies: How many there are of each.
    """

    name: str
    seconds: tuple[float, ...]
    copies: int


class Figures(NamedTuple):
    """What was measured of one set of clips, of this suite and, where it was run, of FunASR.

    Attributes:
        name: Name of the set.
        costs: Seconds for a second of audio, medians.
        ratios: FunASR's cost divided by ours, of each pair of turns.
        peaks: Peak memory in MB.
        bias_bytes: Size of one bias of FunASR's attention for the longest clip.
    """

    name: str
    costs: list[float]
    ratios: list[float]
    peaks: list[float]
    bias_bytes: float


def run_once(encode: Encode, waveforms: list[Tensor]) -> float:
    """Encodes all clips and lets the frames go: -> seconds of processor or, on a GPU, of clock."""
    on_gpu = waveforms[0].is_cuda
    if on_gpu:
        torch.cuda.synchronize()
    clock = time.perf_counter if on_gpu else time.process_time
    start = clock()
    for _ in encode(waveforms):
        pass
    if on_gpu:
        torch.cuda.synchronize()
    return clock() - start


def check_agreement(encodes: list[Encode], settings: Settings) -> float:
    """Compares the frames of a clip in full float32, then lets a GPU round: -> largest difference.

    Raises:
        RuntimeError: The frames differ by more than the tolerance.
    """
    torch.backends.cudnn.allow_tf32 = False
    clip = make_clips(Case("", (3.0,), 1), settings.device)
    ours, theirs = (next(encode(clip)) for encode in encodes)
    torch.backends.cudnn.allow_tf32 = True
    torch.set_float32_matmul_precision("high")
    difference = (ours - theirs).abs().max().item()
    if difference > TOLERANCE:
        raise RuntimeError(f"frames differ by {difference:.1e}, expected at most {TOLERANCE:.0e}")
    return difference


def make_clips(case: Case, device: str) -> list[Tensor]:
    """Makes the clips of a set."""
    lengths = case.seconds * case.copies
    return [make_waveform(seed, seconds).to(device) for seed, seconds in enumerate(lengths)]


def load(side: int, weights: Path, settings: Settings) -> Encode:
    """Loads this suite's model, side 0, or FunASR's, side 1."""
    if side:
        return load_theirs(weights, settings.device)
    return load_ours(weights, settings.device, settings.attention, settings.batch_size)


def peak_of_process(side: int, weights: Path, case: Case, settings: Settings) -> float:
    """Loads a model and encodes the clips once, in a process of its own: -> its peak in MB."""
    torch.set_num_threads(settings.threads)
    run_once(load(side, weights, settings), make_clips(case, settings.device))
    # Not getrusage, whose peak a process inherits from its parent.
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1e3


def peak_of_gpu(encode: Encode, waveforms: list[Tensor]) -> float:
    """Encodes the clips once: -> memory allocated beyond what was before, in MB."""
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    run_once(encode, waveforms)
    return (torch.cuda.max_memory_allocated() - before) / 1e6


def take_turns(
    encodes: list[Encode], waveforms: list[Tensor], repetitions: int
) -> list[list[float]]:
    """Runs one after the other, every second time in the other order: -> costs, turn by turn."""
    for encode in encodes:
        run_once(encode, waveforms)
    turns = []
    for repetition in range(repetitions):
        sides = list(range(len(encodes)))
        costs = {
            side: run_once(encodes[side], waveforms)
            for side in (sides[::-1] if repetition % 2 else sides)
        }
        turns.append([costs[side] for side in sides])
    return turns


def measure(case: Case, encodes: list[Encode], weights: Path, settings: Settings) -> Figures:
    """Measures one set of clips; FunASR only if its attention bias fits."""
    waveforms = make_clips(case, settings.device)
    num_positions = count_frames(max(map(len, waveforms))) + 10
    bias_bytes = 4.0 * Shape().num_heads * num_positions**2
    if bias_bytes > LARGEST_BIAS:
        encodes = encodes[:1]
    turns = take_turns(encodes, waveforms, settings.repetitions)
    audio = case.copies * sum(case.seconds)
    if settings.device == "cuda":
        peaks = [peak_of_gpu(encode, waveforms) for encode in encodes]
    else:
        peaks = []
        for side in range(len(encodes)):
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
                peaks.append(pool.submit(peak_of_process, side, weights, case, settings).result())
    return Figures(
        name=case.name,
        costs=[statistics.median(costs) / audio for costs in zip(*turns, strict=True)],
        ratios=[costs[-1] / costs[0] for costs in turns],
        peaks=peaks,
        bias_bytes=bias_bytes,
    )


def board_rows(plan: Plan) -> Iterator[Row]:
    """Measures clips and a recording of a minute, with FunASR as the peer where it is installed."""
    has_peer = plan.has_peers and find_spec("funasr") is not None
    clips = Settings().clips[: 3 if plan.is_quick else None]
    with tempfile.TemporaryDirectory() as folder:
        if has_peer:
            weights, settings = Path(folder) / "model.pt", Settings(threads=plan.threads)
            save_weights(weights)
            encodes = [load(side, weights, settings) for side in range(2)]
            check_agreement(encodes, settings)
        else:
            model = load_speech_encoder("untrained:base").model  # type: ignore[attr-defined]
            encodes = [partial(encode_ours, model, batch_size=1)]
    for case in (Case(f"clips of {clips} s", clips, 1), Case("60 s", (60.0,), 1)):
        waveforms = make_clips(case, "cpu")
        runs = [partial(run_once, encode, waveforms) for encode in encodes]
        turns = 1 if plan.is_quick and case.seconds == (60.0,) else plan.repetitions
        audio = sum(case.seconds)
        seconds = [tuple(one / audio for one in side) for side in take_turns_of(runs, turns)]
        yield Row(
            name=f"emotion2vec base, {case.name}",
            per="second of audio",
            ours=seconds[0],
            peer="FunASR",
            theirs=seconds[1] if has_peer else (),
            missing="not installed: pip install funasr" if plan.has_peers else "",
            flops=count_flops(runs[0]) / audio,
        )


def describe(settings: Settings) -> str:
    """Names the device and the versions that the figures hold for."""
    device = platform.machine()
    if settings.device == "cuda":
        device = torch.cuda.get_device_name()
    elif (cpuinfo := Path("/proc/cpuinfo")).is_file():
        models = [
            line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")
        ]
        device = models[0].split(": ", 1)[1] if models else device
    versions = [f"{name} {version(name)}" for name in ("torch", "transformers", "funasr")]
    return (
        f"{device}, {settings.threads} threads, Python {platform.python_version()}, "
        f"{', '.join(versions)}; {settings.attention}, batches of {settings.batch_size}, "
        f"median of {settings.repetitions} pairs"
    )


def format_row(figures: Figures) -> str:
    """Gives a line of the table."""
    cells = [figures.name, f"{figures.costs[0]:.4f}"]
    if len(figures.costs) == 1:
        reason = f"one tensor of its attention bias takes {figures.bias_bytes / 1e9:.0f} GB"
        return f"| {' | '.join(cells)} | {reason} | | {figures.peaks[0]:,.0f} | |"
    ratio = statistics.median(figures.ratios)
    spread = f"{ratio:.2f} ({min(figures.ratios):.2f} to {max(figures.ratios):.2f})"
    cells += [f"{figures.costs[1]:.4f}", spread, *(f"{peak:,.0f}" for peak in figures.peaks)]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Runs the comparison and prints its table."""
    settings = tyro.cli(
        Settings, prog="python -m benchmarks.emotion2vec_speed", description=__doc__
    )
    torch.set_num_threads(settings.threads)
    lengths = ", ".join(f"{seconds:g}" for seconds in settings.clips)
    cases = [Case(f"{settings.copies} x clips of {lengths} s", settings.clips, settings.copies)]
    cases += [Case(f"{seconds:g} s", (seconds,), 1) for seconds in settings.recordings]
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "model.pt"
        save_weights(weights)
        encodes = [load(side, weights, settings) for side in range(2)]
        difference = check_agreement(encodes, settings)
        kind = "GPU s" if settings.device == "cuda" else "CPU s"
        print(f"{describe(settings)}; frames differ by at most {difference:.0e}\n")
        print(
            f"| audio | ours, {kind} per s | FunASR, {kind} per s | FunASR / ours (range) "
            "| ours, peak MB | FunASR, peak MB |"
        )
        print("|---|---|---|---|---|---|", flush=True)
        for case in cases:
            print(format_row(measure(case, encodes, weights, settings)), flush=True)


if __name__ == "__main__":
    main()
