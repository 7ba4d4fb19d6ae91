"""A frozen teacher in pre-training: its states are stored once, and aligned with every crop."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from accelerate import Accelerator
from torch import Tensor

from conversation_emotion.pretraining.batches import ClipStream
from conversation_emotion.pretraining.collapse import CollapseMonitor
from conversation_emotion.pretraining.loop import StepReport, pretrain
from conversation_emotion.pretraining.recordings import find_sources
from conversation_emotion.pretraining.teacher import ChosenLayers, store_states
from conversation_emotion.settings.pretraining import AudioSettings, LoopSettings
from speech_encoders.emotion2vec import Emotion2vecForPreTraining
from speech_encoders.emotion2vec.distillation import OnlineDistillation
from speech_encoders.settings import DistillationSettings
from tests.emotion2vec_models import make_config


class Means:
    """Four layers: the mean of each 20 ms of samples, times 10, 20, 30 and 40."""

    identity = "means"
    num_layers = 4
    hidden_size = 1
    frame_rate = 50.0
    min_samples = 320

    def __init__(self) -> None:
        self.num_encoded = 0

    def __call__(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        if (waveforms.abs().amax(dim=1) == 0).any():
            raise RuntimeError("silence")
        self.num_encoded += len(waveforms)
        scale = torch.tensor([10.0, 20.0, 30.0, 40.0])
        means = waveforms.unfold(1, 320, 320).mean(dim=2)
        return means[:, None, :, None] * scale[:, None, None], lengths // 320


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng, place = np.random.default_rng(0), tmp_path / "speech"
    place.mkdir()
    for number in range(6):
        samples = 0.1 * rng.standard_normal(8_000 + 400 * number)
        soundfile.write(place / f"clip{number}.wav", samples, 16_000, subtype="FLOAT")
    return place


def configure(folder: Path, **settings: object) -> AudioSettings:
    chosen = {"min_seconds": 0.4, "max_seconds": 2.0, "batch_samples": 32_000, "workers": 0}
    return AudioSettings(root=(str(folder),), **{**chosen, **settings})  # pyright: ignore[reportArgumentType]


def make_stream(folder: Path, cache: Path, teacher: Means, **settings: object) -> ClipStream:
    audio = configure(folder, **settings)
    sources, states = store_states(find_sources(audio), ChosenLayers(teacher, range(1, 3)), cache)
    return ClipStream(sources, audio, teacher=states)


@pytest.mark.parametrize("crop", [None, 0.3])
@pytest.mark.parametrize("workers", [0, 1])
def test_the_states_of_a_crop_are_those_of_its_own_samples(folder, tmp_path, crop, workers):
    stream = make_stream(folder, tmp_path, Means(), crop_seconds=crop, workers=workers)
    batches = iter(stream)
    for batch, _ in zip(batches, range(6), strict=False):
        assert batch.states is not None
        size = batch.waveforms.size(1) // 320 * 320
        expected = batch.waveforms[:, :size].unfold(1, 320, 320).mean(dim=2)
        layers = torch.stack([20 * expected, 30 * expected], dim=2)
        torch.testing.assert_close(batch.states[..., 0].float(), layers, atol=1e-3, rtol=1e-3)


def test_pieces_of_a_long_recording_have_the_states_of_their_own_samples(tmp_path):
    samples = 0.1 * np.random.default_rng(0).standard_normal(40_000)
    soundfile.write(tmp_path / "long.wav", samples, 16_000, subtype="FLOAT")
    stream = make_stream(tmp_path / "long.wav", tmp_path, Means(), max_seconds=1.0)
    assert stream.teacher is not None
    second = stream.sources[0].clips[1]
    states = stream.teacher.cut_all([second], [640], 3_200)[0, :, 0, 0]
    start = round(16_000 * second.offset) + 640
    expected = samples[start : start + 3_200].reshape(10, 320).mean(axis=1)
    np.testing.assert_allclose(states, 20 * expected, atol=1e-3)


def test_states_are_extracted_once_in_half_precision(folder, tmp_path):
    teacher = Means()
    for _ in range(2):
        stream = make_stream(folder, tmp_path, teacher)
        batch = next(iter(stream))
        assert batch.states is not None
        assert batch.states.dtype == torch.float16
        assert teacher.num_encoded == 6


def test_a_clip_that_the_teacher_cannot_encode_is_named_and_left_out(folder, tmp_path):
    silent = folder / "silent.wav"
    soundfile.write(silent, np.zeros(8_000), 16_000)
    stream = make_stream(folder, tmp_path, Means())
    (source,) = stream.sources
    assert str(silent) not in {clip.path for clip in source.clips}
    assert len(source.clips) == 6
    assert (
        "silent.wav: the encoder fails on it (RuntimeError: silence)" in source.broken[str(silent)]
    )


def train(folder: Path, out: Path, on_step: Callable[[StepReport], None]) -> dict[str, Tensor]:
    torch.manual_seed(0)
    student = Emotion2vecForPreTraining(make_config())
    settings = DistillationSettings(teacher="means", top_blocks=2, num_clones=2)
    objective = OnlineDistillation(student, settings, num_states=2)
    pretrain(
        objective,
        make_stream(folder, out, Means()),
        LoopSettings(steps=6, checkpoint_minutes=1e-9),
        out / "run",
        monitor=CollapseMonitor({}),
        accelerator=Accelerator(cpu=True),
        on_step=on_step,
    )
    return objective.state_dict()


def test_a_killed_training_with_a_teacher_ends_as_if_it_had_not_been(folder, tmp_path):
    def stop(report: StepReport) -> None:
        if report.progress.step == 3:
            raise SystemExit

    whole = train(folder, tmp_path / "whole", lambda report: None)
    with pytest.raises(SystemExit):
        train(folder, tmp_path / "parts", stop)
    resumed = train(folder, tmp_path / "parts", lambda report: None)
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert float(whole["frozen.standard.num_batches"]) == 6
