"""The pre-training loop: schedule, resumption, broken clips, collapse."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import cast

import numpy as np
import pytest
import soundfile
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from conversation_emotion.pretraining.batches import ClipStream
from conversation_emotion.pretraining.collapse import CollapseError, CollapseMonitor
from conversation_emotion.pretraining.loop import Progress, StepReport, TooManyBrokenError, pretrain
from conversation_emotion.pretraining.recordings import find_sources
from conversation_emotion.pretraining.throughput import count_flops, measure_peak
from conversation_emotion.settings.pretraining import AudioSettings, LoopSettings
from conversation_emotion.training.checkpoints import read_state, write_state
from conversation_emotion.training.optimisation import parameter_groups, schedule


class Echo(nn.Module):
    """Learns to predict the mean of 100 samples, with noise, and counts the updates."""

    learning_rate = 1e-2
    no_decay: tuple[str, ...] = ()
    least_deviations: Mapping[str, float] = MappingProxyType({})

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.answer = nn.Linear(100, 1)
        self.dropout = nn.Dropout(0.5)
        self.register_buffer("num_updates", torch.zeros(()))

    def forward(self, waveforms: Tensor, seed: int) -> SimpleNamespace:
        noise = torch.randn(1, generator=torch.Generator().manual_seed(seed))
        inputs = waveforms[:, :100] * 100
        error = self.answer(self.dropout(inputs)).squeeze(1) - inputs.mean(dim=1) + 0.1 * noise
        loss = error.square().mean()
        return SimpleNamespace(loss=loss, metrics={"loss": loss.detach()})

    def after_step(self, progress: float) -> None:
        self.num_updates += 1

    def save(self, folder: Path) -> None:
        raise NotImplementedError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for number in range(12):
        samples = 0.1 * rng.standard_normal(8_000 + 400 * number)
        soundfile.write(tmp_path / f"clip{number:02}.wav", samples, 16_000)
    return tmp_path


def train(
    folder: Path,
    out: Path,
    on_step: Callable[[StepReport], None] = lambda report: None,
    *,
    monitor: CollapseMonitor | None = None,
    max_broken: float = 0.01,
    **settings: object,
) -> tuple[Echo, Progress]:
    audio = AudioSettings(
        root=(str(folder),),
        min_seconds=0.1,
        max_seconds=2.0,
        batch_samples=32_000,
        max_broken=max_broken,
        workers=0,
    )
    stream = ClipStream(find_sources(audio), audio)
    objective = Echo()
    chosen = LoopSettings(**{"steps": 12, **settings})  # pyright: ignore[reportArgumentType]
    progress = pretrain(
        objective,
        stream,
        chosen,
        out,
        monitor=monitor or CollapseMonitor({}),
        accelerator=Accelerator(cpu=True),
        on_step=on_step,
    )
    return objective, progress


@pytest.mark.parametrize("accumulate", [1, 3])
def test_a_training_that_was_killed_goes_on_to_the_same_losses(folder, tmp_path, accumulate):
    def keep(reports: list[tuple[int, float]], until: int) -> Callable[[StepReport], None]:
        def on_step(report: StepReport) -> None:
            reports.append((report.progress.step, report.metrics["loss"]))
            if report.progress.step == until:
                raise SystemExit

        return on_step

    settings = {"accumulate": accumulate, "checkpoint_minutes": 1e-9}
    whole: list[tuple[int, float]] = []
    expected, _ = train(folder, tmp_path / "whole", keep(whole, 99), **settings)
    parts: list[tuple[int, float]] = []
    with pytest.raises(SystemExit):  # after a step whose checkpoint is not yet written
        train(folder, tmp_path / "parts", keep(parts, 7), **settings)
    objective, progress = train(folder, tmp_path / "parts", keep(parts, 99), **settings)

    assert [step for step, _ in parts] == [1, 2, 3, 4, 5, 6, 7, 7, 8, 9, 10, 11, 12]
    assert parts[:7] + parts[8:] == whole
    assert progress.step == progress.num_steps == 12
    assert objective.num_updates == 12
    torch.testing.assert_close(objective.answer.weight, expected.answer.weight)


def test_an_interrupt_keeps_the_updates_done(folder, tmp_path):
    def interrupt(report: StepReport) -> None:
        if report.progress.step == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(folder, tmp_path / "out", interrupt)
    state = read_state(tmp_path / "out" / "checkpoint.pt")
    assert state is not None
    assert cast(dict[str, float], state["progress"])["step"] == 5


def test_the_loss_falls(folder, tmp_path):
    losses: list[float] = []
    train(folder, tmp_path, lambda report: losses.append(report.metrics["loss"]), steps=150)
    assert np.mean(losses[-20:]) < 0.5 * np.mean(losses[:20])


def test_minutes_decide_how_many_steps_there_are_and_end_the_training(folder, tmp_path):
    _, progress = train(folder, tmp_path, steps=None, max_minutes=1 / 60)
    assert progress.num_steps > 5
    assert progress.seconds < 10
    _, progress = train(folder, tmp_path / "slow", steps=10**7, max_minutes=0.5 / 60)
    assert 0 < progress.step < 10**7


def test_the_audio_of_a_training_is_counted(folder, tmp_path):
    reports: list[StepReport] = []
    _, progress = train(folder, tmp_path, reports.append, steps=4)
    # Forward and the weights' part of backward: 2 x 100 operations each for every clip.
    assert 0 < progress.audio_seconds <= 4 * 2.0
    clips_per_second = progress.flops_per_audio_second / 400
    assert 1 / 0.8 <= clips_per_second <= 1 / 0.5
    assert all(report.audio_per_second > 0 for report in reports)


def test_broken_clips_are_named_and_skipped_up_to_a_limit(folder, tmp_path, capsys):
    path = folder / "clip03.wav"
    soundfile.write(path, np.full(9_000, np.nan), 16_000, subtype="FLOAT")
    objective, _ = train(folder, tmp_path / "out", max_broken=0.1)
    assert torch.isfinite(objective.answer.weight).all()
    assert capsys.readouterr().out.count(f"skipped: {path}: sample 0 is nan") == 1
    soundfile.write(folder / "clip07.wav", np.full(9_000, np.inf), 16_000, subtype="FLOAT")
    with pytest.raises(TooManyBrokenError, match=r"2 of 12 clips are broken, more than the 10"):
        train(folder, tmp_path / "other", max_broken=0.1)


def test_a_batch_without_a_readable_clip_is_passed_over(folder, tmp_path, capsys):
    for path in sorted(folder.glob("*.wav"))[3:]:
        path.unlink()
    path = folder / "clip01.wav"
    soundfile.write(path, np.full(30_000, np.nan), 16_000, subtype="FLOAT")  # a batch by itself
    _, progress = train(folder, tmp_path / "out", steps=4)
    assert progress.step == 4
    assert capsys.readouterr().out.count(f"skipped: {path}: sample 0 is nan") == 1
    for path in folder.glob("*.wav"):
        soundfile.write(path, np.full(30_000, np.nan), 16_000, subtype="FLOAT")
    with pytest.raises(TooManyBrokenError, match="3 of 3 clips are broken, and no other"):
        train(folder, tmp_path / "other", max_broken=1.0)


def test_a_loss_that_is_not_finite_ends_the_training(folder, tmp_path):
    with pytest.raises(FloatingPointError, match="lower --learning-rate"):
        train(folder, tmp_path, learning_rate=1e30, max_gradient_norm=1e30, steps=200)


@pytest.mark.parametrize(
    ("step", "expected"),
    [(0, 0.1), (4, 0.5), (9, 1.0), (10, 1.0), (55, 0.5), (100, 0.0)],
)
def test_the_step_size_rises_linearly_and_falls_as_a_cosine(step, expected):
    assert schedule(step, 100, 0.1) == pytest.approx(expected)


def test_biases_norms_and_named_weights_do_not_decay():
    module = nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3))
    module.scale = nn.Parameter(torch.ones(1, 3))
    module.frozen = nn.Parameter(torch.ones(2, 2), requires_grad=False)
    decaying, free = parameter_groups(module, 0.01, ("scale",))
    assert (decaying["weight_decay"], free["weight_decay"]) == (0.01, 0.0)
    assert [tuple(p.shape) for p in decaying["params"]] == [(3, 2)]
    assert sorted(tuple(p.shape) for p in free["params"]) == [(1, 3), (3,), (3,), (3,)]


def test_a_collapse_ends_the_training_once_predictions_had_their_time():
    monitor = CollapseMonitor({"target_over_time": 0.1}, grace=10, memory=0.5)
    for step in range(10):
        monitor.watch(step, {"target_over_time": 0.0, "loss": 1.0})
    monitor.means["target_over_time"] = 1.0
    monitor.watch(10, {"target_over_time": 0.05})  # the running mean is still above
    with pytest.raises(CollapseError, match=r"step 14: the deviation of the targets over time is"):
        for step in range(11, 20):
            monitor.watch(step, {"target_over_time": 0.05})


def test_a_collapse_is_still_known_after_an_interruption(folder, tmp_path):
    watched = CollapseMonitor({"loss": 0.0})
    train(folder, tmp_path, monitor=watched)
    resumed = CollapseMonitor({"loss": 0.0})
    train(folder, tmp_path, monitor=resumed)
    assert resumed.means == watched.means != {}


def test_a_checkpoint_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "checkpoint.pt"
    write_state(path, {"step": 1})
    (tmp_path / "checkpoint.pt.99.tmp").write_bytes(b"half a checkpoint of a killed process")

    def fail(state: object, file: object) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as patched, pytest.raises(OSError, match="no space"):
        patched.setattr(torch, "save", fail)
        write_state(path, {"step": 2})
    assert read_state(path) == {"step": 1}
    write_state(path, {"step": 3})
    assert read_state(path) == {"step": 3}
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint.pt"]
    assert read_state(tmp_path / "none.pt") is None


def test_operations_are_counted_and_compared_with_a_matrix_product():
    left, right = torch.ones(8, 16), torch.ones(16, 4)
    assert count_flops(lambda: left @ right) == 2 * 8 * 16 * 4
    assert measure_peak(torch.device("cpu"), torch.float32) > 1e8


@pytest.mark.parametrize(
    ("steps", "minutes", "expected"),
    [(None, None, 100_000), (7, None, 7), (None, 2.0, None), (7, 2.0, 7)],
)
def test_a_training_without_an_end_takes_100000_steps(steps, minutes, expected):
    assert LoopSettings(steps=steps, max_minutes=minutes).num_steps == expected
