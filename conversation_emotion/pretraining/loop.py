"""Pre-training on unlabelled clips: one loop for every objective, which can stop anywhere.

An objective is a module that holds all its state, a teacher or running statistics included, and
returns the loss of a batch. What a step does depends on its number alone: order, crops, masks and
dropout come from seeds, the step size from the schedule. A run that was killed continues from its
last checkpoint with the losses that it would have had.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol, TypedDict, cast

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from torch import Tensor, nn

from conversation_emotion.pretraining.batches import ClipBatch, ClipStream
from conversation_emotion.pretraining.collapse import CollapseMonitor
from conversation_emotion.pretraining.throughput import count_flops
from conversation_emotion.settings.pretraining import LoopSettings
from conversation_emotion.training.checkpoints import read_state, write_state
from conversation_emotion.training.optimisation import parameter_groups, schedule
from conversation_emotion.utterances.audio import SAMPLE_RATE

_BETAS, _EPS = (0.9, 0.98), 1e-6
"""Of AdamW, as in data2vec 2.0 (Baevski et al., 2023)."""


class ObjectiveOutput(Protocol):
    """The loss of a batch and its metrics."""

    @property
    def loss(self) -> Tensor:
        """What to minimise."""
        ...

    @property
    def metrics(self) -> Mapping[str, Tensor]:
        """What to report and to watch, by name, the loss included."""
        ...


class Objective(Protocol):
    """A module that is trained on clips without labels.

    Attributes:
        learning_rate: Peak step size unless the settings give one.
        no_decay: Last names of weights that do not decay, besides biases and norms.
    """

    learning_rate: float
    no_decay: tuple[str, ...]

    @property
    def least_deviations(self) -> Mapping[str, float]:
        """Deviations below which training has collapsed, see `CollapseMonitor`."""
        ...

    def __call__(self, waveforms: Tensor, seed: int) -> ObjectiveOutput:
        """Computes the loss of clips of one length (B, S); ``seed`` decides random choices.

        A stream with a frozen teacher gives its hidden states as a third argument, (B, T, L, D).
        """
        ...

    def after_step(self, progress: float) -> None:
        """Is called after each update with the share of the training that is done."""
        ...

    def save(self, folder: Path) -> None:
        """Writes the encoder as a folder that encoders are loaded from."""
        ...


@dataclass
class Progress:
    """How far a training has come in updates and seconds; all of it is kept in the checkpoint.

    ``audio_seconds`` are those encoded by all processes; operations for a second of audio are those
    of forward and backward.
    """

    step: int = 0
    num_steps: int = 0
    seconds: float = 0.0
    audio_seconds: float = 0.0
    flops_per_audio_second: float = 0.0


class StepReport(NamedTuple):
    """The report of one update: losses and what else is measured, step size and gradient norm.

    ``audio_per_second`` are the seconds of audio encoded in a second, by all processes.
    """

    progress: Progress
    metrics: dict[str, float]
    audio_per_second: float


class _Checkpoint(TypedDict):
    """All that a training continues from; ``place`` is epoch and number of the next batch."""

    objective: dict[str, Tensor]
    optimizer: dict[str, object]
    progress: dict[str, float]
    place: tuple[int, int]
    monitor: dict[str, float]
    broken: dict[str, str]


class TooManyBrokenError(ValueError):
    """More clips than allowed turned out to be broken."""


def pretrain(
    objective: Objective,
    stream: ClipStream,
    settings: LoopSettings,
    folder: Path,
    *,
    monitor: CollapseMonitor,
    accelerator: Accelerator,
    broken: dict[str, str] | None = None,
    on_step: Callable[[StepReport], None] = lambda report: None,
    on_checkpoint: Callable[[], None] = lambda: None,
) -> Progress:
    """Trains an objective in place, from the folder's checkpoint if there is one.

    Args:
        objective: The module to train.
        stream: Batches; its position is kept with the checkpoint.
        settings: How to train.
        folder: Folder of the checkpoint, which is written whole or not at all.
        monitor: Stops a training that has collapsed.
        accelerator: Device, precision and processes.
        broken: Why files already known as broken cannot be read, by path.
        on_step: Called after each update.
        on_checkpoint: Called after each checkpoint.

    Raises:
        CollapseError: Targets or predictions no longer differ.
        FloatingPointError: The loss is not finite.
        TooManyBrokenError: More clips are broken than allowed.
    """
    path, seen = folder / "checkpoint.pt", dict(broken or {})
    trainer = _Trainer(objective, stream, settings, path, monitor, accelerator, seen, on_checkpoint)
    trainer.restore()
    if not trainer.progress.num_steps:
        trainer.plan()
    batches = iter(stream)
    saved = started = time.monotonic()
    before = trainer.progress.seconds
    try:
        while trainer.progress.step < trainer.progress.num_steps:
            report = trainer.take_step(batches)
            trainer.progress.seconds = before + time.monotonic() - started
            on_step(report)
            if settings.max_minutes and trainer.progress.seconds >= 60 * settings.max_minutes:
                break
            if time.monotonic() - saved >= 60 * settings.checkpoint_minutes:
                trainer.save()
                saved = time.monotonic()
    except KeyboardInterrupt:
        trainer.save()
        raise
    trainer.save()
    return trainer.progress


@dataclass(eq=False)
class _Trainer:
    """The state of a training, saved in checkpoints; the fields are the arguments of `pretrain`."""

    objective: Objective
    stream: ClipStream
    settings: LoopSettings
    path: Path
    monitor: CollapseMonitor
    accelerator: Accelerator
    broken: dict[str, str]
    on_checkpoint: Callable[[], None]
    progress: Progress = field(default_factory=Progress)

    def __post_init__(self) -> None:
        self.module = cast(nn.Module, self.objective)
        groups = parameter_groups(self.module, self.settings.weight_decay, self.objective.no_decay)
        optimizer = torch.optim.AdamW(
            cast(list[dict[str, object]], groups),
            betas=_BETAS,
            eps=_EPS,
            fused=self.accelerator.device.type == "cuda",
        )
        self.prepared, self.optimizer = self.accelerator.prepare(self.module, optimizer)
        if self.settings.compile:  # one shape for clips of every length
            self.prepared = torch.compile(self.prepared, dynamic=True)

    def restore(self) -> None:
        """Restores the checkpoint, if there is one."""
        state = cast("_Checkpoint | None", read_state(self.path))
        if state is None:
            return
        self.module.load_state_dict(state["objective"])
        self.optimizer.load_state_dict(state["optimizer"])
        vars(self.progress).update(state["progress"])
        self.stream.epoch, self.stream.position = state["place"]
        self.monitor.means = state["monitor"]
        self.broken.update(state["broken"])

    def save(self) -> None:
        """Writes the checkpoint; one process does."""
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process:
            state: _Checkpoint = {
                "objective": self.module.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "progress": dict(vars(self.progress)),
                "place": (self.stream.epoch, self.stream.position),
                "monitor": self.monitor.means,
                "broken": self.broken,
            }
            write_state(self.path, state)
        self.on_checkpoint()

    def plan(self) -> None:
        """Counts the operations of a batch and, where only minutes are given, fits the steps.

        Weights, running statistics and the position in the stream are restored afterwards.
        """
        self.module.train()
        place = self.stream.epoch, self.stream.position
        batch = self._next_batch(iter(self.stream))
        state = {name: tensor.clone() for name, tensor in self.module.state_dict().items()}
        flops = count_flops(lambda: self.module(*self._inputs(batch)).loss.backward())
        started = time.monotonic()
        self._backpropagate(batch)
        seconds = time.monotonic() - started
        self.module.load_state_dict(state)
        self.optimizer.zero_grad()
        self.stream.epoch, self.stream.position = place
        self.progress.flops_per_audio_second = flops / _seconds(batch)
        steps = self.settings.num_steps
        if steps is None:
            minutes = cast(float, self.settings.max_minutes)
            steps = max(1, round(60 * minutes / seconds / self.settings.accumulate))
        # Processes measure different times; the number of the first counts for all.
        self.progress.num_steps = int(broadcast_object_list([steps])[0])
        self.save()

    def take_step(self, batches: Iterator[ClipBatch]) -> StepReport:
        """Updates the weights once."""
        started = time.monotonic()
        size = self._set_learning_rate()
        self.module.train()
        metrics: dict[str, Tensor] = {}
        audio = 0.0
        for number in range(self.settings.accumulate):
            batch = self._next_batch(batches)
            torch.manual_seed(self.settings.seed + batch.seed)
            is_last = number == self.settings.accumulate - 1
            with nullcontext() if is_last else self.accelerator.no_sync(self.prepared):
                output = self._backpropagate(batch)
            audio += _seconds(batch) * self.accelerator.num_processes
            for name, value in output.metrics.items():
                share = value.detach() / self.settings.accumulate
                metrics[name] = metrics[name] + share if name in metrics else share
        norm = self.accelerator.clip_grad_norm_(
            self.module.parameters(), self.settings.max_gradient_norm
        )
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.progress.step += 1
        self.progress.audio_seconds += audio
        self.objective.after_step(self.progress.step / self.progress.num_steps)
        reported = {name: float(value) for name, value in metrics.items()}
        reported |= {"learning_rate": size, "gradient_norm": float(cast(Tensor, norm))}
        if not all(math.isfinite(value) for value in reported.values()):
            raise FloatingPointError(
                f"step {self.progress.step}: {reported}; lower --learning-rate or --precision fp32"
            )
        self.monitor.watch(self.progress.step, reported)
        return StepReport(self.progress, reported, audio / (time.monotonic() - started))

    def _backpropagate(self, batch: ClipBatch) -> ObjectiveOutput:
        """Adds the gradients of a batch to those of the update."""
        output: ObjectiveOutput = self.prepared(*self._inputs(batch))
        self.accelerator.backward(output.loss / self.settings.accumulate)
        return output

    def _inputs(self, batch: ClipBatch) -> tuple[Tensor | int, ...]:
        """Returns waveforms, seed, and the states of a teacher where the stream has one."""
        device = self.accelerator.device
        waveforms = batch.waveforms.to(device, non_blocking=True)
        states = () if batch.states is None else (batch.states.to(device, non_blocking=True),)
        return waveforms, batch.seed, *states

    def _set_learning_rate(self) -> float:
        peak = self.settings.learning_rate or self.objective.learning_rate
        size = peak * schedule(self.progress.step, self.progress.num_steps, self.settings.warmup)
        for group in self.optimizer.param_groups:
            group["lr"] = size
        return size

    def _next_batch(self, batches: Iterator[ClipBatch]) -> ClipBatch:
        """Returns the next batch with a clip that could be read, and notes those that could not."""
        while True:
            batch = next(batches)
            self._note_broken(batch)
            if len(batch.waveforms):
                return batch

    def _note_broken(self, batch: ClipBatch) -> None:
        for path, why in batch.broken.items():
            if path not in self.broken:
                self.broken[path] = why
                print(f"skipped: {why}")
        allowed = self.stream.settings.max_broken
        paths = [clip.path for source in self.stream.sources for clip in source.clips]
        # One broken file never ends a training, unless none is allowed or there is no other.
        most = max(1, allowed * len(paths)) if allowed else 0
        is_all = bool(batch.broken) and self.broken.keys() >= set(paths)
        if len(self.broken) > most or is_all:
            limit = "and no other" if is_all else f"more than the {allowed:.1%} allowed"
            raise TooManyBrokenError(
                f"{len(self.broken)} of {len(paths)} clips are broken, {limit}; repair them, or "
                "raise --max-broken"
            )


def _seconds(batch: ClipBatch) -> float:
    return batch.waveforms.numel() / SAMPLE_RATE
