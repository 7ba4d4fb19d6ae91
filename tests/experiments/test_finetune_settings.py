"""Settings of fine-tuning from the command line and from a search."""

import re

import optuna
import pytest

from conversation_emotion.settings.fine_tuning import FinetuneSettings, TunableSettings
from conversation_emotion.settings.training import FineTuningSettings
from experiments.finetune import EXPERIMENT
from experiments.framework import commandline
from tests.command_line import usage_error

QUICK = FineTuningSettings(epochs=2, average_best=2, learning_rate=1e-2)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--epochs", "0"], "--epochs must be 1 or more, got 0"),
        (["--average-best", "0"], "--average-best must be 1 or more, got 0"),
        (["--learning-rate", "1"], r"--learning-rate must lie in \(0, 1\), got 1.0"),
        (["--layer-decay", "0"], r"--layer-decay must lie in \(0, 1\], got 0.0"),
        (["--dropout", "1"], r"--dropout must lie in \[0, 1\), got 1.0"),
        (["--lora-rank", "0"], "--lora-rank must be 1 or more, got 0"),
        (["--batch-seconds", "0"], "--batch-seconds must be above 0, got 0.0"),
    ],
)
def test_a_rejected_value_is_a_usage_error(flags, message, capsys):
    assert re.search(message, usage_error(FinetuneSettings, flags, capsys))


def test_flags_reach_the_config():
    flags = [
        "--speech-encoder",
        "a/b",
        "--average",
        "greedy",
        "--average-best",
        "3",
        "--freeze",
        "nothing",
    ]
    assert commandline.parse(FinetuneSettings, flags) == FinetuneSettings(
        tuned=TunableSettings(speech_encoder="a/b", freeze="nothing"),
        training=FineTuningSettings(average="greedy", average_best=3),
    )


def test_search_leaves_the_rest_of_the_config_alone():
    proposed = {"learning_rate": 1e-4, "layer_decay": 0.9, "dropout": 0.2, "batch_size": 8}
    config = EXPERIMENT.search_space(
        optuna.trial.FixedTrial(proposed), FinetuneSettings(training=QUICK)
    )
    training = FineTuningSettings(epochs=2, average_best=2, **proposed)  # type: ignore[arg-type]
    assert config == FinetuneSettings(training=training)
