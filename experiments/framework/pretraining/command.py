"""Runs a pre-training: sources, processes, tracking, progress, the summary."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import cast

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.utils import broadcast_object_list
from tqdm import tqdm

from conversation_emotion.features.encoders import SpeechEncoder
from conversation_emotion.features.key import text_digest
from conversation_emotion.pretraining.batches import ClipStream
from conversation_emotion.pretraining.collapse import CollapseMonitor
from conversation_emotion.pretraining.loop import Objective, Progress, StepReport, pretrain
from conversation_emotion.pretraining.recordings import Recordings, describe, find_sources
from conversation_emotion.pretraining.teacher import TeacherStates, store_states
from conversation_emotion.pretraining.throughput import measure_peak
from conversation_emotion.settings.cache import cache_folder
from conversation_emotion.settings.pretraining import PretrainingSettings
from conversation_emotion.settings.training import Precision
from conversation_emotion.training.optimisation import choose_precision
from experiments.tracking.runs import ParentRun, open_run
from experiments.tracking.store import check_store

_POINT_EVERY = 10  # updates from one point of a curve to the next


def pretrain_and_track(
    name: str,
    settings: PretrainingSettings,
    objective: Objective,
    teacher: SpeechEncoder | None = None,
) -> Path:
    """Trains an objective, from where an interrupted run stopped -> the folder of the encoder.

    Args:
        name: Name of the MLflow experiment.
        settings: How to train.
        objective: What to train.
        teacher: Frozen encoder whose hidden states the objective gets with each clip.
    """
    training = settings.training
    accelerator = make_accelerator(training.precision)
    is_main = accelerator.is_main_process
    if is_main:
        check_store()
    sources, states = _prepare(settings, teacher, accelerator)
    if is_main:
        print("\n".join(describe(sources)))
    fingerprint = text_digest(repr([source.clips for source in sources]))
    if teacher is not None:
        fingerprint = text_digest(f"{fingerprint} {teacher.identity}")
    # The first process alone tracks; the others get the folder of its run.
    tracked: AbstractContextManager[ParentRun | None] = (
        open_run(name, settings, fingerprint) if is_main else nullcontext()
    )
    with tracked as run:
        folder = None if run is None else Path.cwd() / "mlruns" / "pretraining" / run.run_id
        folder = cast(Path, broadcast_object_list([folder])[0])
        stream = ClipStream(
            sources,
            settings.audio,
            seed=training.seed,
            rank=accelerator.process_index,
            world_size=accelerator.num_processes,
            teacher=states,
        )
        reporter = None if run is None else _Reporter(run, accelerator)
        progress = pretrain(
            objective,
            stream,
            training,
            folder,
            monitor=CollapseMonitor(objective.least_deviations),
            accelerator=accelerator,
            broken={path: why for source in sources for path, why in source.broken.items()},
            on_step=reporter.report if reporter else lambda report: None,
            # A kill then loses only the points of curves after the checkpoint.
            on_checkpoint=run.flush if run else lambda: None,
        )
        output = training.output or folder / "encoder"
        if reporter:
            objective.save(output)
            reporter.close(progress, sources)
            print(f"encoder: {output}; use it with --speech-encoder {output}")
    return output


def _prepare(
    settings: PretrainingSettings, teacher: SpeechEncoder | None, accelerator: Accelerator
) -> tuple[list[Recordings], TeacherStates | None]:
    """Finds the recordings, and stores the teacher's hidden states of each."""
    sources = find_sources(settings.audio)
    if teacher is None:
        return sources, None
    with accelerator.main_process_first():  # the others then find all of it stored
        return store_states(sources, teacher, cache_folder())


def make_accelerator(precision: Precision) -> Accelerator:
    """Chooses device, precision and processes."""
    # A block that layerdrop leaves out has no gradient in that step.
    unused = DistributedDataParallelKwargs(find_unused_parameters=True)
    return Accelerator(
        mixed_precision=choose_precision(precision),
        cpu=not torch.accelerator.is_available(),  # else processes would not communicate
        kwargs_handlers=[unused],
    )


class _Reporter:
    """Progress bar, curves and summary, in the first process alone."""

    def __init__(self, run: ParentRun, accelerator: Accelerator) -> None:
        self.run = run
        dtype = torch.bfloat16 if accelerator.mixed_precision == "bf16" else torch.float32
        self.peak = accelerator.num_processes * measure_peak(accelerator.device, dtype)
        self.bar = tqdm(unit="step", leave=False)
        self.first: StepReport | None = None
        self.last: StepReport | None = None

    def report(self, report: StepReport) -> None:
        """Moves the bar and logs every tenth point of the curves."""
        step, flops = report.progress.step, report.progress.flops_per_audio_second
        share = report.audio_per_second * flops / self.peak
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

    def close(self, progress: Progress, sources: list[Recordings]) -> None:
        """Prints and logs the summary."""
        self.bar.close()
        hours = progress.audio_seconds / 3600
        found = sum(source.hours for source in sources)
        speed = progress.audio_seconds / max(progress.seconds, 1e-9)
        share = speed * progress.flops_per_audio_second / self.peak
        print(
            f"{progress.step} of {progress.num_steps} updates in {progress.seconds / 60:.1f} "
            f"minutes: {hours:.2f} of {found:.2f} hours of audio, {speed:.1f} audio hours an hour, "
            f"{progress.flops_per_audio_second / 1e9:.1f} GFLOP for a second of audio, "
            f"{share:.0%} of the {self.peak / 1e9:,.0f} GFLOP/s of a large matrix product here"
        )
        if self.first is not None and self.last is not None:
            before, after = self.first.metrics, self.last.metrics
            for name in after:
                if any(part in name for part in ("loss", "accuracy", "_over_")):
                    print(f"  {name}: {before[name]:.3f} -> {after[name]:.3f}")
        self.run.log_metrics(
            {
                "hours_trained": hours,
                "minutes": progress.seconds / 60,
                "mean_audio_hours_per_hour": speed,
                "mean_share_of_peak": share,
            }
        )
