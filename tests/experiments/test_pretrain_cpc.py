"""The command that pre-trains CPC, from recordings to an encoder, and its settings."""

import signal
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from mlflow import MlflowClient
from mlflow.entities import Run

from experiments.framework import commandline
from experiments.framework.pretraining.objectives import build_cpc
from experiments.pretrain_cpc import EXPERIMENT, CpcSettings, PretrainCpcSettings
from speech_encoders import load_speech_encoder
from speech_encoders.cpc import CpcModel
from tests.processes import Command
from tests.tracked import write_empty_store

ARGUMENTS = ["--crop-seconds=0.5", "--batch-samples=24000", "--accumulate=2", "--negatives=10"]
ARGUMENTS += ["--workers=0", "--precision=fp32"]


@pytest.fixture
def recordings(tmp_path, monkeypatch) -> Path:
    """Ten clips of noise between 0.6 and 1.5 s, and an own place to write."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.chdir(tmp_path)
    write_empty_store(tmp_path / "mlflow.db")
    folder = tmp_path / "speech"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(10):
        samples = 0.1 * rng.standard_normal(9_600 + 1_600 * number)
        soundfile.write(folder / f"{number}.wav", samples, 16_000)
    return folder


def configure(recordings: Path, *arguments: str) -> PretrainCpcSettings:
    arguments = ("--root", str(recordings), *ARGUMENTS, *arguments)
    return commandline.parse(PretrainCpcSettings, arguments)


def find_runs(tmp_path: Path) -> list[Run]:
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("pretrain_cpc")
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id]))


def test_the_command_trains_reports_and_keeps_an_encoder(recordings, tmp_path, capsys):
    EXPERIMENT.run(configure(recordings, "--steps", "11", "--output", str(tmp_path / "encoder")))
    printed = capsys.readouterr().out
    assert f"{recordings}: 10 clips, 0.00 hours" in printed
    assert "11 of 11 updates" in printed
    assert "  accuracy_01: " in printed
    assert "  accuracy_12: " in printed
    encoder = load_speech_encoder(str(tmp_path / "encoder"))
    states, lengths = encoder(0.1 * torch.randn(1, 16_000), torch.tensor([16_000]))
    assert lengths.tolist() == [98]  # floor((16,000 - 425) / 160) + 1
    untrained = build_cpc(CpcSettings(), seed=0).model.cpc
    trained = CpcModel.from_pretrained(tmp_path / "encoder")
    before, after = (m.get_parameter("gru.weight_hh_l0") for m in (untrained, trained))
    assert (after - before).abs().max() > 1e-4
    assert states.shape == (1, 1, 98, 256)
    (found,) = find_runs(tmp_path)
    assert found.info.status == "FINISHED"
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    curve = client.get_metric_history(found.info.run_id, "accuracy_12")
    assert [point.step for point in curve] == [1, 10]


@pytest.mark.faults
def test_a_killed_command_goes_on_and_ends_as_if_it_had_not_been(recordings, tmp_path, capsys):
    steps = ["--steps", "5", "--checkpoint-minutes", "0.0001"]
    arguments = ["--root", str(recordings), *ARGUMENTS, *steps]
    with Command("experiments.pretrain_cpc", *arguments, folder=tmp_path) as process:
        while not (checkpoints := list(tmp_path.glob("mlruns/pretraining/*/checkpoint.pt"))):
            assert process.returncode is None
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    assert torch.load(checkpoints[0], weights_only=True)["progress"]["step"] < 5

    EXPERIMENT.run(configure(recordings, *steps))
    assert "5 of 5 updates" in capsys.readouterr().out
    (found,) = find_runs(tmp_path)
    assert found.info.status == "FINISHED"
    resumed = load_speech_encoder(str(checkpoints[0].parent / "encoder"))
    EXPERIMENT.run(configure(recordings, *steps, "--output", str(tmp_path / "whole")))
    assert load_speech_encoder(str(tmp_path / "whole")).identity == resumed.identity


def test_the_defaults_are_those_of_the_paper():
    config = commandline.parse(PretrainCpcSettings, [])
    assert config.audio.crop_seconds == 10
    assert config.audio.batch_samples is not None
    clips = config.audio.batch_samples / 160_000 * config.training.accumulate
    objective = build_cpc(config.model, seed=0)
    settings = objective.settings
    assert (clips, objective.learning_rate, config.training.weight_decay) == (64, 2e-4, 1e-5)
    assert (settings.negatives, settings.negatives_from) == (50, "same")
    assert objective.model.config.num_steps == 12


def test_settings_reach_the_objective():
    arguments = ["--negatives=7", "--negatives-from=other", "--temperature=0.5", "--no-norms"]
    objective = build_cpc(commandline.parse(PretrainCpcSettings, arguments).model, seed=0)
    settings = objective.settings
    assert (settings.negatives, settings.negatives_from, settings.temperature) == (7, "other", 0.5)
    assert not objective.model.config.has_norms


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--negatives 0", "--negatives must be 1 or more, got 0"),
        ("--temperature 0", "--temperature must be above 0, got 0"),
        ("--crop-seconds 0", "--crop-seconds must be 0.1 or more, got 0"),
        (
            "--batch-samples 100000",
            "--batch-samples 100000 is less than a clip of --crop-seconds 10",
        ),
    ],
)
def test_settings_that_cannot_be_end_in_a_usage_error(arguments, message, capsys):
    with pytest.raises(SystemExit):
        commandline.parse(PretrainCpcSettings, arguments.split())
    printed = " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert message in printed
