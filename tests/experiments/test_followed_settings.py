"""What selects, weighs and trains follows the settings, in every row and every command."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from conversation_emotion.evaluation import decisions
from conversation_emotion.settings.fine_tuning import FinetuneSettings
from conversation_emotion.settings.fusion import FusionSettings
from conversation_emotion.settings.recognition import SERSettings
from conversation_emotion.settings.sentiment import SentimentSettings
from conversation_emotion.tasks.emotion import UtteranceEmotion
from conversation_emotion.tasks.sentiment import prepare_sentiment
from conversation_emotion.tracker import Memory
from conversation_emotion.training.cross_validation import train_fold, validate
from experiments import choose, fusion, sentiment, ser
from experiments.choose import ChooseSettings
from experiments.framework.commandline import parse
from experiments.models.tuned import prepare_fine_tuning
from experiments.tracking import runs
from experiments.tracking.finished import read_systems
from experiments.tracking.store import tracking_uri
from tests.command_line import usage_error
from tests.commands import FBANK, MANIFEST, QUICK, all_commands_in, find_command, interrupt


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Iterator[Path]:
    with all_commands_in(tmp_path_factory.mktemp("settings")) as folder:
        yield folder


REGRESSION = ["--corpus=manifest", "--root=corpus/numbers.csv", *FBANK]
REGRESSION += ["--modality=speech", "--regression"]


def train_sentiment(*flags: str) -> "pd.Series[float]":
    """Predicts numbers after two epochs of training."""
    settings = parse(SentimentSettings, [*REGRESSION, "--epochs=2", "--learning-rate=0.01", *flags])
    task = prepare_sentiment(settings, Memory())
    return train_fold(task, task.dataset.split.folds[0], seed=0).predictions["predicted_sentiment"]


def test_regression_of_sentiment_follows_how_it_is_to_be_trained(place):
    usual = train_sentiment()
    pd.testing.assert_series_equal(usual, train_sentiment())
    for flags in (
        ["--optimizer=rmsprop"],
        ["--schedule=cosine"],
        ["--average-best=0"],
        ["--updates=1", "--evaluate-every=1"],
        ["--batch-size=8"],
    ):
        assert not usual.equals(train_sentiment(*flags)), flags


def test_regression_of_sentiment_is_selected_by_the_metric_that_is_named(place):
    settings = parse(SentimentSettings, [*REGRESSION, "--epochs=2", "--select-by=mae"])
    task = prepare_sentiment(settings, Memory())
    assert task.rank({"mae": 2.0, "ccc": 0.5, "pearson": 0.9}) == -2.0
    (found,) = validate(task)
    assert found.metric == "mae"
    assert found.score == pytest.approx(-min(found.curves["valid/mae"]), rel=0.2)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--class-weights=balanced"], "--class-weights has no effect with --regression"),
        (["--labels=all"], "--labels has no effect with --regression"),
    ],
)
def test_regression_of_sentiment_refuses_what_classes_alone_have(place, flags, message, capsys):
    assert message in usage_error(SentimentSettings, [*REGRESSION, *flags], capsys)


@pytest.mark.parametrize(
    ("name", "flags", "message"),
    [
        ("sentiment", [*REGRESSION, "--select-by=wa"], "wa: this task has ccc, pearson, mae"),
        ("ser", [*MANIFEST, *FBANK, "--select-by=ccc"], "ccc: this task has uar, wa, macro_f1"),
    ],
)
def test_a_metric_of_another_task_is_refused_before_any_run(
    place, name, flags, message, monkeypatch
):
    monkeypatch.setattr(runs, "open_runs", interrupt)
    kind, run = find_command(name)
    with pytest.raises(ValueError, match=f"--select-by {message}"):
        run(parse(kind, flags))


def probe_frozen(*flags: str) -> pd.DataFrame:
    """Predicts by the probe of the frozen encoder that fine-tuning is compared with."""
    task = prepare_frozen(*flags)
    return train_fold(task, task.dataset.split.folds[0], seed=0).predictions


def prepare_frozen(*flags: str) -> UtteranceEmotion:
    usual = [*MANIFEST, "--speech-encoder=encoder", "--blocks=1"]
    task = prepare_fine_tuning(parse(FinetuneSettings, [*usual, *flags]), Memory()).frozen
    task.training = dataclasses.replace(task.training, epochs=3)
    return task


def test_the_frozen_row_of_fine_tuning_follows_class_weights_and_metric(place):
    weighted, alike = probe_frozen(), probe_frozen("--class-weights=none")
    columns = [name for name in weighted if str(name).startswith("p_")]
    assert not np.allclose(weighted[columns], alike[columns], atol=1e-3)
    assert prepare_frozen().select_by == "wa"
    assert prepare_frozen("--select-by=macro_f1").select_by == "macro_f1"


def test_one_metric_selects_in_sweeps_registry_and_choices(place, monkeypatch):
    flags = [*MANIFEST, *QUICK, *FBANK, "--select-by=wa"]
    experiment = ser.EXPERIMENT
    (found,) = experiment.validate(parse(SERSettings, flags), Memory())
    assert (found.metric, found.score) == ("wa", max(found.curves["valid/wa"]))
    run = experiment.run(parse(SERSettings, [*flags, "--register=selected"])).rows[0].run_id
    tags = MlflowClient(tracking_uri()).get_model_version("selected", "1").tags
    assert {name for name in tags if name.startswith(("valid_", "test_"))} >= {"valid_wa"}
    assert "valid_uar" not in tags
    other = experiment.run(parse(SERSettings, flags)).rows[0].run_id
    systems = read_systems((run, other))
    assert choose.choose_metric(ChooseSettings(runs=(run, other)), systems) == "wa"


def test_a_choice_follows_the_metric_that_selected_where_a_task_has_its_own(place):
    flags = [*MANIFEST, *QUICK, *FBANK, "--modality=speech"]
    found = [
        sentiment.EXPERIMENT.run(parse(SentimentSettings, [*flags, size])).rows[0].run_id
        for size in ("--hidden-size=8", "--hidden-size=16")
    ]
    assert {*read_systems(found).metrics.values()} == {"wa"}


def test_fused_decisions_are_weighed_by_the_metric_that_selects(place, monkeypatch):
    asked = []

    def pool(*given: Any, metric: str) -> object:
        asked.append(metric)
        return real(*given, metric=metric)

    real = decisions.pool_decisions
    monkeypatch.setattr(decisions, "pool_decisions", pool)
    flags = [*MANIFEST, *QUICK, "--rows=19", "--aggregator-size=8", "--select-by=macro_f1"]
    fusion.EXPERIMENT.run(parse(FusionSettings, flags))
    assert asked == ["macro_f1"]
