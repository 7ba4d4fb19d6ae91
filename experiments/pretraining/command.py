"""The common part of pre-training commands: sources, processes, tracking, progress, the end."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Literal, Protocol, cast

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.utils import broadcast_object_list
from torch import nn
from tqdm import tqdm

from conversation_emotion.features.key import text_digest
from conversation_emotion.pretraining.augmentation import Augmentation
from conversation_emotion.pretraining.batches import SAMPLE_RATE, ClipStream, StreamSettings
from conversation_emotion.pretraining.collapse import CollapseMonitor
from conversation_emotion.pretraining.contract import (
    Objective,
    PretrainingSettings,
    Progress,
    StepReport,
)
from conversation_emotion.pretraining.loop import pretrain
from conversation_emotion.pretraining.recordings import Recordings, describe, find_recordings
from conversation_emotion.pretraining.throughput import measure_peak
from experiments.pretraining.settings import AudioSettings, LoopSettings
from experiments.tracking import runs as _tracking
from experiments.tracking.runs import ParentRun

_POINT_EVERY = 10  # updates from one point of a curve to the next
_DEFAULT_STEPS = 100_000


class PretrainingConfig(Protocol):
    """What a pre-training experiment has to say."""

    @property
    def audio(self) -> AudioSettings: ...
    @property
    def training(self) -> LoopSettings: ...


class Learner(Protocol):
    """What a pre-training experiment brings.

    Attributes:
        objective: Module that learns, see `conversation_emotion.pretraining.contract.Objective`.
        learning_rate: Step size that suits it.
        no_decay: Last names of weights that do not decay, besides biases and norms.
        least_deviations: What is a collapse, see `CollapseMonitor`.
    """

    @property
    def objective(self) -> nn.Module: ...
    @property
    def learning_rate(self) -> float: ...
    @property
    def no_decay(self) -> tuple[str, ...]: ...
    @property
    def least_deviations(self) -> Mapping[str, float]: ...

    def save(self, folder: Path) -> None:
        """Writes the encoder as a folder for `load_speech_encoder`."""
        ...


def pretrain_and_track(name: str, config: PretrainingConfig, learner: Learner) -> Path:
    """Trains what an experiment brings, from where an interrupted run of it stopped.

    Args:
        name: Of the MLflow experiment.
        config: The experiment's settings.
        learner: What learns.

    Returns:
        Folder of the encoder.
    """
    audio, training = config.audio, config.training
    accelerator = make_accelerator(training)
    is_main = accelerator.is_main_process
    sources = [
        find_recordings(root, min_seconds=audio.min_seconds, max_seconds=audio.max_seconds)
        for root in audio.root
    ]
    if is_main:
        print("\n".join(describe(sources)))
    fingerprint = text_digest(repr([source.clips for source in sources]))
    with _open(name, config, fingerprint, is_main=is_main) as run:
        folder = _share(None if run is None else _find_folder(run))
        stream = ClipStream(
            sources,
            _stream_settings(audio, training),
            rank=accelerator.process_index,
            world_size=accelerator.num_processes,
        )
        teller = _Teller(run, accelerator)
        progress = pretrain(
            cast(Objective, learner.objective),
            stream,
            _loop_settings(training, learner, audio),
            folder,
            monitor=CollapseMonitor(learner.least_deviations),
            accelerator=accelerator,
            broken={path: why for source in sources for path, why in source.broken.items()},
            on_step=teller.tell,
            on_checkpoint=teller.flush,
        )
        out = training.out or folder / "encoder"
        if is_main:
            learner.save(out)
            teller.close(progress, sources)
            print(f"encoder: {out}; use it with --speech-encoder {out}")
    return out


def make_accelerator(training: LoopSettings) -> Accelerator:
    """Chooses device, precision and processes."""
    # A block that layerdrop leaves out has no gradient in that step.
    unused = DistributedDataParallelKwargs(find_unused_parameters=True)
    return Accelerator(
        mixed_precision=choose_precision(training.precision),
        cpu=not torch.accelerator.is_available(),  # else processes would not know of each other
        kwargs_handlers=[unused],
    )


def choose_precision(precision: Literal["auto", "fp32", "bf16"]) -> Literal["no", "bf16"]:
    """Gives accelerate's name of a precision; auto is bf16 on devices built for it."""
    if precision == "auto":
        precision = "bf16" if _is_built_for_bf16() else "fp32"
    return "bf16" if precision == "bf16" else "no"


def _is_built_for_bf16() -> bool:
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported()
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def _open(
    name: str, config: PretrainingConfig, fingerprint: str, *, is_main: bool
) -> AbstractContextManager[ParentRun | None]:
    """Opens the run in the first process; the others track nothing."""
    return _tracking.open_run(name, config, fingerprint) if is_main else nullcontext()


def _find_folder(run: ParentRun) -> Path:
    """Gives the run's folder for checkpoints, beside the database of the current folder."""
    return Path.cwd() / "mlruns" / "pretraining" / run.run_id


def _share(folder: Path | None) -> Path:
    """Tells every process the folder of the first."""
    return cast(Path, broadcast_object_list([folder])[0])


def _stream_settings(audio: AudioSettings, training: LoopSettings) -> StreamSettings:
    suited = 1_000_000 if torch.accelerator.is_available() else 320_000
    suited = max(suited, round(SAMPLE_RATE * (audio.crop_seconds or audio.max_seconds)))
    return StreamSettings(
        batch_seconds=(audio.batch_samples or suited) / SAMPLE_RATE,
        min_seconds=audio.min_seconds,
        crop_seconds=audio.crop_seconds,
        weights=audio.weights,
        augmentation=Augmentation(
            noise=audio.noise, speed=audio.speed, pitch=audio.pitch, gain=audio.gain
        ),
        seed=training.seed,
        num_workers=audio.workers,
    )


def _loop_settings(
    training: LoopSettings, learner: Learner, audio: AudioSettings
) -> PretrainingSettings:
    is_open = training.steps is None and training.max_minutes is None
    return PretrainingSettings(
        learning_rate=training.learning_rate or learner.learning_rate,
        weight_decay=training.weight_decay,
        no_decay=learner.no_decay,
        warmup=training.warmup,
        accumulate=training.accumulate,
        max_gradient_norm=training.max_gradient_norm,
        steps=_DEFAULT_STEPS if is_open else training.steps,
        minutes=training.max_minutes,
        checkpoint_minutes=training.checkpoint_minutes,
        max_broken=audio.max_broken,
        seed=training.seed,
        is_compiled=training.compile,
    )


class _Teller:
    """Progress bar, curves, and the account at the end; silent but in the first process."""

    def __init__(self, run: ParentRun | None, accelerator: Accelerator) -> None:
        self.run = run
        self.peak = 0.0
        if run is not None:
            dtype = torch.bfloat16 if accelerator.mixed_precision == "bf16" else torch.float32
            self.peak = accelerator.num_processes * measure_peak(accelerator.device, dtype)
        self.bar = tqdm(unit="step", leave=False, disable=run is None)
        self.first: StepReport | None = None
        self.last: StepReport | None = None

    def tell(self, report: StepReport) -> None:
        """Moves the bar and keeps a point of the curves now and then."""
        if self.run is None:
            return
        step, share = report.progress.step, self._share_of_peak(report)
        if self.first is None:
            self.bar.reset(report.progress.num_steps)
            self.bar.initial = self.bar.n = step - 1
        self.bar.update()
        self.bar.set_postfix_str(
            f"loss {report.metrics['loss']:.3f}, "
            f"{report.audio_per_second:.0f} audio hours/hour, {share:.0%} of peak"
        )
        if self.first is None or step % _POINT_EVERY == 0:
            speed = {"audio_hours_per_hour": report.audio_per_second, "share_of_peak": share}
            self.run.log_step(step, {**report.metrics, **speed})
        self.first = self.first or report
        self.last = report

    def flush(self) -> None:
        """Writes the curves, so that a kill loses those behind the checkpoint alone."""
        if self.run is not None:
            self.run.flush()

    def close(self, progress: Progress, sources: list[Recordings]) -> None:
        """Prints and keeps how it went."""
        self.bar.close()
        if self.run is None:
            return
        hours = progress.audio_seconds / 3600
        found = sum(source.hours for source in sources)
        speed = progress.audio_seconds / max(progress.seconds, 1e-9)
        share = speed * progress.flops_per_audio_second / self.peak
        print(
            f"{progress.step} of {progress.num_steps} updates in {progress.seconds / 60:.1f} "
            f"minutes: {hours:.2f} hours heard of {found:.2f}, {speed:.1f} audio hours an hour, "
            f"{progress.flops_per_audio_second / 1e9:.1f} GFLOP for a second of audio, "
            f"{share:.0%} of the {self.peak / 1e9:,.0f} GFLOP/s of a large matrix product here"
        )
        if self.first is not None and self.last is not None:
            before, after = self.first.metrics, self.last.metrics
            told = ("loss", "accuracy", "_over_")
            names = [name for name in after if any(part in name for part in told)]
            for name in names:
                print(f"  {name}: {before[name]:.3f} -> {after[name]:.3f}")
        self.run.log_metrics(
            {
                "hours_heard": hours,
                "minutes": progress.seconds / 60,
                "mean_audio_hours_per_hour": speed,
                "mean_share_of_peak": share,
            }
        )

    def _share_of_peak(self, report: StepReport) -> float:
        return report.audio_per_second * report.progress.flops_per_audio_second / self.peak
