"""Probes of layers from the command line to a table, a curve and a page."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import speech_encoders
from conversation_emotion.settings.corpus import CorpusSettings
from conversation_emotion.settings.probes import LayersSettings
from conversation_emotion.settings.training import TrainingSettings
from conversation_emotion.tracker import Memory
from conversation_emotion.training import layers as training
from conversation_emotion.training.layers import LayerProbes
from experiments.framework import commandline
from experiments.layers import EXPERIMENT
from speech_encoders.spectral import fbank
from tests.command_line import squeeze, usage_error
from tests.hums import write_emodb_hums
from tests.tracked import find_runs


class Stack:
    """Five layers, of which only the third carries anything: the other four are constant."""

    identity, num_layers, min_samples = "stack", 5, 400

    def __init__(self, device: str) -> None:
        self.encoder = fbank(device=device)
        self.hidden_size, self.frame_rate = self.encoder.hidden_size, self.encoder.frame_rate

    def __call__(self, waveforms, lengths):
        states, num_frames = self.encoder(waveforms, lengths)
        layers = torch.ones_like(states).repeat(1, 5, 1, 1)
        layers[:, 2:3] = states
        return layers, num_frames


@pytest.fixture
def config(tmp_path, monkeypatch) -> LayersSettings:
    monkeypatch.setitem(speech_encoders.BUILDERS, "stack", lambda name, device: Stack(device))
    return LayersSettings(
        data=CorpusSettings(
            corpus="emodb",
            root=write_emodb_hums(tmp_path / "EmoDB", ("03", "08", "16"), "WLEAFTN", 2),
        ),
        speech_encoder=("stack", "mfcc"),
        training=TrainingSettings(epochs=8),
    )


def check_runs_have_a_curve_over_layers():
    tracked = find_runs("layers")
    assert {parent.data.params["speech_encoder"] for parent in tracked.parents} == {"stack", "mfcc"}
    parent = next(one for one in tracked.parents if one.data.params["speech_encoder"] == "stack")
    names = {child.info.run_name for child in tracked.children}
    assert names == {"0", "1", "2", "3", "4", "sum", "last-4"}
    curve = tracked.client.get_metric_history(str(parent.info.run_id), "layer/test_uar")
    assert [point.step for point in curve] == [0, 1, 2, 3, 4]
    files = {file.path for file in tracked.client.list_artifacts(str(parent.info.run_id))}
    assert {"results.parquet", "layers.csv", "layers.png", "layers.html", "table.txt"} <= files


def test_the_layer_that_carries_emotion_stands_out(workplace, config, capsys):
    EXPERIMENT.run(config)
    printed = capsys.readouterr().out
    for expected in (
        r"stack, layer 0 +14\.3 ±",
        r"stack, layer 2 +(9\d|100)\.\d ±",
        r"stack, weighted sum +(9\d|100)\.\d ±",
        r"stack, layer chosen.* (9\d|100)\.\d ±",
        r"mfcc, its one layer",
        r"majority +14\.3 ±",
        r"python -m experiments.layers --corpus emodb --root \S+ --speech-encoder stack --epochs 8",
        r"stack: layers that valid chose, and how often: 2 \(3\)",
        r"n = 42",
    ):
        assert re.search(expected, squeeze(printed).replace("\\ ", "")), expected
    folder = workplace / "mlruns" / "layers" / "emodb"
    assert {path.name for path in folder.iterdir()} == {"layers.csv", "layers.png", "layers.html"}
    table = pd.read_csv(folder / "layers.csv")
    uar = table.query("metric == 'uar'").set_index("name")["score"]
    means = [name for name in uar.index if "stack" in name and "last four" in name]
    assert len(means) == 1
    assert uar[means[0]] > 0.9  # its mean holds that layer
    assert sum(name.startswith("stack, ") for name in uar.index) == 5 + 3
    assert sum(name.startswith("mfcc, ") for name in uar.index) == 1
    weights = table.query("metric == 'weight_in_sum' and encoder == 'stack'")["score"]
    assert weights.sum() == pytest.approx(1)
    check_runs_have_a_curve_over_layers()


def test_an_interrupted_comparison_keeps_the_layers_it_finished(workplace, config, monkeypatch):
    real, trained = training.train_fold, []

    def train_until(last):
        def train_fold(*args, **kwargs):
            if len(trained) == last:
                raise KeyboardInterrupt
            trained.append(1)
            return real(*args, **kwargs)

        return train_fold

    config = dataclasses.replace(
        config,
        speech_encoder=("stack",),
        layers=("2", "sum"),
        training=TrainingSettings(epochs=1),
    )
    monkeypatch.setattr(training, "train_fold", train_until(3 + 1))
    with pytest.raises(KeyboardInterrupt):
        EXPERIMENT.run(config)
    monkeypatch.setattr(training, "train_fold", train_until(None))
    EXPERIMENT.run(config)
    # Three folds of each of two probes, of which the second began twice.
    assert len(trained) == 3 * 2 + 1


def test_the_mean_of_the_last_four_is_that_of_the_states(workplace, config):
    task = EXPERIMENT.task(next(config.rows()), Memory())
    assert isinstance(task, LayerProbes)
    states = task.states.states[0]
    assert states is not None
    arrays = task.for_layer("last-4").inputs.arrays["03"]["speech"]
    kept = arrays.stack_frames(np.array([0]))
    np.testing.assert_allclose(kept[0, 0], states[1:, 0].mean(axis=0), rtol=1e-5)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--layers", "5", "top"], "--layers takes numbers, sum and last-4, got 'top'"),
        (["--also", "emodb"], "--also takes NAME=PATH, got 'emodb'"),
        (["--also", "atlantis=x"], "--also: no corpus 'atlantis' here"),
        (["--speech-encoder"], "--speech-encoder needs one encoder or more"),
        (["--hidden-size", "0"], "--hidden-size must be 1 or more, got 0"),
    ],
)
def test_a_rejected_value_is_a_usage_error(flags, message, capsys):
    assert re.search(message, usage_error(LayersSettings, flags, capsys))


def test_a_layer_that_an_encoder_lacks_ends_before_anything_is_trained(workplace, config):
    with pytest.raises(ValueError, match="--layers 7: stack has no such layer, it has 0, 1, 2, 3"):
        EXPERIMENT.run(
            LayersSettings(data=config.data, speech_encoder=("stack",), layers=("2", "7"))
        )
    assert not (workplace / "mlruns").exists()


def test_further_corpora_are_read_with_their_own_protocol(tmp_path):
    flags = ["--also", f"ravdess={tmp_path}", "subesco=x", "--labels", "all"]
    rows = commandline.parse(LayersSettings, [*flags, "--speech-encoder", "mfcc"]).rows()
    first, second, third = (row.data for row in rows)
    assert (first.corpus, first.labels) == ("demo", "all")
    assert second == CorpusSettings(corpus="ravdess", root=tmp_path)
    assert third == CorpusSettings(corpus="subesco", root=Path("x"))
