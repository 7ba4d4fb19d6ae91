"""The command that pre-trains emotion2vec, from recordings to an encoder; killed and resumed."""

import re
import signal
import time
from functools import partial
from pathlib import Path

import numpy as np
import optuna
import pytest
import soundfile
import torch
from mlflow import MlflowClient
from mlflow.entities import Run

from conversation_emotion.pretraining.collapse import CollapseMonitor
from experiments.framework import commandline
from experiments.framework.pretraining import command as pretraining
from experiments.framework.pretraining.objectives import build_emotion2vec, load_teacher
from experiments.pretrain_emotion2vec import (
    EXPERIMENT,
    Emotion2vecSettings,
    PretrainEmotion2vecSettings,
)
from speech_encoders import load_speech_encoder
from speech_encoders.emotion2vec import Emotion2vecForPreTraining, configuration
from speech_encoders.emotion2vec.distillation import COLD_LEARNING_RATE, WARM_LEARNING_RATE
from tests.emotion2vec_models import SETTINGS
from tests.processes import Command, free_port
from tests.tracked import write_empty_store

ARGUMENTS = ["--max-seconds=2", "--batch-samples=40000", "--num-clones=2", "--top-blocks=2"]
ARGUMENTS += ["--workers=0"]


@pytest.fixture
def recordings(tmp_path, monkeypatch) -> Path:
    """Ten clips of noise, a small model under the name mini, and an own place to write."""
    monkeypatch.setitem(configuration.SIZES, "mini", SETTINGS)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.setenv("CONVERSATION_EMOTION_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    write_empty_store(tmp_path / "mlflow.db")
    folder = tmp_path / "speech"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(10):
        soundfile.write(folder / f"{number}.wav", 0.1 * rng.standard_normal(16_000), 16_000)
    return folder


def configure(recordings: Path, *arguments: str) -> PretrainEmotion2vecSettings:
    arguments = ("--root", str(recordings), *ARGUMENTS, *arguments)
    return commandline.parse(PretrainEmotion2vecSettings, arguments)


def find_runs(tmp_path: Path) -> list[Run]:
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("pretrain_emotion2vec")
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id]))


def test_the_command_trains_reports_and_keeps_an_encoder(recordings, tmp_path, capsys):
    EXPERIMENT.run(configure(recordings, "--steps", "25", "--output", str(tmp_path / "encoder")))
    printed = capsys.readouterr().out
    assert f"{recordings}: 10 clips, 0.00 hours" in printed
    assert "25 of 25 updates" in printed
    assert "audio hours an hour" in printed
    encoder = load_speech_encoder(str(tmp_path / "encoder"))
    states, lengths = encoder(torch.randn(1, 16_000), torch.tensor([16_000]))
    assert states.shape == (1, 4, 49, 32)
    assert lengths.tolist() == [49]
    (found,) = find_runs(tmp_path)
    assert found.info.status == "FINISHED"
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    curve = client.get_metric_history(found.info.run_id, "frame_loss")
    assert [point.step for point in curve] == [1, 10, 20]
    assert {"share_of_peak", "target_over_time", "learning_rate"} <= found.data.metrics.keys()


@pytest.mark.slow
def test_the_loss_falls_on_speech_that_has_a_pattern(recordings, tmp_path, capsys):
    for number, path in enumerate(sorted(recordings.iterdir())):
        times = np.arange(16_000) / 16_000
        pitch = 100 * (1 + number % 5) * (1 + 0.5 * np.sin(2 * np.pi * 3 * times))
        soundfile.write(path, 0.1 * np.sin(2 * np.pi * np.cumsum(pitch) / 16_000), 16_000)
    arguments = ["--steps", "80", "--tau-start", "0.99", "--tau-end", "0.99"]
    EXPERIMENT.run(configure(recordings, *arguments))
    printed = capsys.readouterr().out
    before, after = printed.partition("  frame_loss: ")[2].splitlines()[0].split(" -> ")
    assert float(after) < 0.8 * float(before)


@pytest.fixture
def script(tmp_path) -> Path:
    """The command as a script of its own, with the small model under the name mini."""
    script = tmp_path / "command.py"
    script.write_text(
        "import sys\n"
        "from experiments.framework import commandline\n"
        "from experiments.pretrain_emotion2vec import EXPERIMENT\n"
        "from speech_encoders.emotion2vec import configuration\n"
        f"configuration.SIZES['mini'] = {SETTINGS!r}\n"
        "EXPERIMENT.run(commandline.parse(EXPERIMENT.settings, sys.argv[1:]))\n"
    )
    return script


@pytest.mark.faults
def test_a_killed_command_goes_on_and_ends_as_if_it_had_not_been(
    script, recordings, tmp_path, capsys
):
    steps = ["--steps", "20", "--checkpoint-minutes", "0.0001"]
    arguments = ["--root", str(recordings), *ARGUMENTS, *steps]
    with Command(script, *arguments, folder=tmp_path) as process:
        while not (checkpoints := list(tmp_path.glob("mlruns/pretraining/*/checkpoint.pt"))):
            assert process.returncode is None
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    state = torch.load(checkpoints[0], weights_only=True)
    assert state["progress"]["step"] < 20

    EXPERIMENT.run(configure(recordings, *steps))
    printed = capsys.readouterr().out
    assert "resuming run" in printed
    assert "20 of 20 updates" in printed
    (found,) = find_runs(tmp_path)
    assert found.info.status == "FINISHED"
    resumed = load_speech_encoder(str(checkpoints[0].parent / "encoder"))
    EXPERIMENT.run(configure(recordings, *steps, "--output", str(tmp_path / "whole")))
    assert load_speech_encoder(str(tmp_path / "whole")).identity == resumed.identity


@pytest.mark.slow
def test_processes_train_one_model_together(script, recordings, tmp_path):
    arguments = ["--root", str(recordings), *ARGUMENTS, "--steps", "3", "--batch-samples", "32000"]
    printed = tmp_path / "printed.txt"

    def start(rank: int) -> Command:
        environment = {**address, "RANK": str(rank), "LOCAL_RANK": str(rank)}
        return Command(
            script, *arguments, folder=tmp_path, environment=environment, printed=printed
        )

    # What torchrun gives its processes.
    address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "2"}
    with start(0) as first, start(1) as second:
        assert (first.wait(300), second.wait(300)) == (0, 0), printed.read_text()
    assert printed.read_text().count("3 of 3 updates") == 1  # one process reports, and tracks
    (found,) = find_runs(tmp_path)
    assert found.info.status == "FINISHED"
    (encoder,) = tmp_path.glob("mlruns/pretraining/*/encoder")
    assert load_speech_encoder(str(encoder)).num_layers == 4


def test_a_collapse_ends_the_run_as_failed(recordings, tmp_path, monkeypatch):
    monkeypatch.setattr(pretraining, "CollapseMonitor", partial(CollapseMonitor, grace=50))
    for path in recordings.iterdir():
        soundfile.write(path, np.full(16_000, 0.1), 16_000)  # the same everywhere
    settings = configure(recordings, "--steps=400", "--mask=spans", "--precision=fp32")
    with pytest.raises(ArithmeticError, match=r"collapse at step 50: the deviation of the"):
        EXPERIMENT.run(settings)
    (found,) = find_runs(tmp_path)
    assert found.info.status == "FAILED"
    assert "collapse" in found.data.tags["error"]


def test_a_warm_start_takes_smaller_steps(recordings, tmp_path, capsys):
    cold = build_emotion2vec(Emotion2vecSettings(top_blocks=2), seed=0)
    cold.save(tmp_path / "cold")
    warm = build_emotion2vec(Emotion2vecSettings(top_blocks=2, start=str(tmp_path / "cold")), 1)
    assert cold.learning_rate == COLD_LEARNING_RATE
    assert pytest.approx(10 * WARM_LEARNING_RATE) == COLD_LEARNING_RATE
    assert warm.learning_rate == WARM_LEARNING_RATE
    assert "0 weights are random" in capsys.readouterr().out
    assert cold.teacher is not None
    assert warm.teacher is not None
    for one, other in zip(cold.teacher.parameters(), warm.teacher.parameters(), strict=True):
        torch.testing.assert_close(one, other)


def test_frozen_convolutions_stay_as_they_were_and_the_others_learn(recordings, tmp_path):
    build_emotion2vec(Emotion2vecSettings(top_blocks=2), seed=0).save(tmp_path / "start")
    arguments = ["--start", str(tmp_path / "start"), "--frozen-convolutions", "2", "--steps", "3"]
    EXPERIMENT.run(configure(recordings, *arguments, "--output", str(tmp_path / "end")))
    before, after = (
        Emotion2vecForPreTraining.from_pretrained(tmp_path / name).emotion2vec.front_end
        for name in ("start", "end")
    )
    states = before.state_dict(), after.state_dict()
    same = {name for name in states[0] if torch.equal(states[0][name], states[1][name])}
    assert same == {name for name in states[0] if name.split(".")[1] in "01"}


def test_the_command_stores_the_states_of_a_teacher_and_predicts_them(recordings, tmp_path, capsys):
    soundfile.write(recordings / "broken.wav", np.full(16_000, np.nan), 16_000, subtype="FLOAT")
    arguments = ["--teacher", "untrained:mini", "--teacher-layers", "1-2", "--max-broken", "0.1"]
    EXPERIMENT.run(configure(recordings, *arguments, "--steps", "2"))
    printed = capsys.readouterr().out
    assert f"{recordings}: 10 clips, 0.00 hours" in printed
    assert "broken.wav" in printed.partition("skipped: ")[2].splitlines()[0]
    assert "teacher_utterance_loss: " in printed
    (stored,) = tmp_path.glob("cache/features/*/*.npy")
    states = np.load(stored)
    assert states.shape == (10 * 49, 2, 32)
    assert states.dtype == np.float16


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("fbank",), "--teacher fbank has 100 frames a second, the student 50; choose a teacher"),
        (("untrained:mini", "--teacher-layers", "2-4"), "2-4: untrained:mini has layers 0 to 3"),
    ],
)
def test_a_teacher_that_does_not_fit_is_refused_before_anything_is_encoded(
    recordings, tmp_path, arguments, message
):
    with pytest.raises(ValueError, match=re.escape(message)):
        EXPERIMENT.run(configure(recordings, "--teacher", *arguments))
    assert not (tmp_path / "cache").exists()


def test_a_teacher_of_weight_0_is_not_even_loaded():
    settings = Emotion2vecSettings(top_blocks=2, teacher="no-such-encoder", teacher_weight=0)
    assert load_teacher(settings) is None


def test_a_sweep_with_a_teacher_alone_varies_only_what_has_an_effect():
    settings = commandline.parse(
        PretrainEmotion2vecSettings,
        ["--teacher", "x", "--frame-weight", "0", "--utterance", "none"],
    )
    trial = optuna.trial.FixedTrial({"dropout": 0.2, "learning_rate": 1e-3, "weight_decay": 1e-2})
    proposed = EXPERIMENT.search_space(trial, settings)
    assert (proposed.model.dropout, proposed.model.mask_share) == (0.2, 0.5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--weights 1 2", "--weights has 2 numbers for 1 of --root"),
        ("--weights 0", "--weights must be 0 or more, and one of them above 0"),
        ("--batch-samples 100", "--batch-samples 100 is less than a clip of --max-seconds"),
        ("--min-seconds 30", "--min-seconds must lie between 0.1 and --max-seconds"),
        ("--noise 2", r"--noise must lie in [0, 1], got 2.0"),
        ("--tau-start 0.9 --tau-end 0.8", "--tau-start and --tau-end must rise within [0, 1]"),
        ("--steps 0", "--steps must be above 0, got 0"),
        ("--teacher x --speed 0.4", "--speed 0.4 changes clips whose hidden states --teacher has"),
        ("--teacher x --pitch 0.1", "--pitch 0.1 changes clips whose hidden states --teacher has"),
        ("--teacher x --crop-seconds 1", "--crop-seconds 1 would repeat shorter clips"),
        ("--frozen-convolutions 8 --start x", "--frozen-convolutions must lie in [0, 7], got 8"),
        ("--frozen-convolutions 3", "--frozen-convolutions 3 would keep random weights; pass"),
        ("--warmup 1", r"--warmup must lie in [0, 1), got 1.0"),
    ],
)
def test_settings_that_cannot_be_end_in_a_usage_error(arguments, message, capsys):
    with pytest.raises(SystemExit):
        commandline.parse(PretrainEmotion2vecSettings, arguments.split())
    printed = " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert message in printed
