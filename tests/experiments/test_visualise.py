"""Pictures of representations from the command line to numbers, a PNG and a page."""

import dataclasses
import json
import re
import sys

import numpy as np
import pytest
import torch

from conversation_emotion.evaluation import separation
from conversation_emotion.figures import representation as drawing
from conversation_emotion.settings.corpus import CorpusSettings
from conversation_emotion.settings.flags import change
from conversation_emotion.settings.probes import PictureSettings, StageSettings, VisualiseSettings
from conversation_emotion.tasks.emotion import UtteranceEmotion
from conversation_emotion.tracker import Memory, MemoryTracker
from conversation_emotion.training import representation as training
from experiments.framework import commandline
from experiments.visualise import EXPERIMENT
from tests.command_line import squeeze, usage_error
from tests.hums import write_emodb_hums
from tests.tracked import find_runs


def first_two(representations, *, num_neighbors):
    """Stands for UMAP, which compiles for long; `test_separation` tests the real one."""
    return representations[:, :2]


@pytest.fixture
def config(tmp_path, monkeypatch) -> VisualiseSettings:
    monkeypatch.setattr(separation, "check_umap", lambda: None)
    monkeypatch.setattr(drawing, "project_to_plane", first_two)
    root = write_emodb_hums(tmp_path / "EmoDB", ("03", "08", "16"), "WLEAFTN", 2)
    return VisualiseSettings(
        data=CorpusSettings(corpus="emodb", root=root, num_folds=3),
        stage=StageSettings(speech_encoder=("fbank", "mfcc"), epochs=6, hidden_size=8),
        picture=PictureSettings(fold="2", audio_mib=1 / 64),
    )


def check_runs_keep_pictures_and_numbers():
    tracked = find_runs("visualise")
    assert {parent.data.params["speech_encoder"] for parent in tracked.parents} == {"fbank", "mfcc"}
    for parent in tracked.parents:
        run_id = str(parent.info.run_id)
        files = {file.path for file in tracked.client.list_artifacts(run_id)}
        assert {"planes.parquet", "planes.png", "planes.html", "table.txt"} <= files
        assert {"test/uar", "test/silhouette_arousal", "test/compactness_emotion"} <= set(
            parent.data.metrics
        )
    for child in tracked.children:  # every probe goes to the same stage
        history = tracked.client.get_metric_history(str(child.info.run_id), "train/loss")
        assert len(history) == 6


def test_pictures_show_held_out_utterances_with_their_numbers(workplace, config, capsys):
    EXPERIMENT.run(config)
    printed = capsys.readouterr().out
    for expected in (
        r"mean ± deviation over 3 folds x 1 seed \[lowest, highest\], n = 42",
        r"every probe after 6 epochs on train, none selected",
        r"protocol speaker-k-fold; .* the picture is of fold 2, seed 0",
        r"high: anger, fear, happiness",
        r"fbank \d+\.\d ± \d+\.\d -?\d\.\d\d ± .* \[\d+\.\d, \d+\.\d\] \[-?\d\.\d\d, ",
        r"left silent by the limit of 0\.0156 MiB",
    ):
        assert re.search(expected, squeeze(printed)), expected
    assert "bootstrap" not in printed
    folder = workplace / "mlruns" / "visualise" / "emodb"
    names = {path.name for path in folder.iterdir()}
    assert names == {"planes.png", "planes.html", "separation.csv"}
    page = (folder / "planes.html").read_text("utf-8")
    assert str(workplace) not in page
    found = re.search('id="clips">(.*?)</script>', page, re.S)
    assert found is not None
    speakers = {name[:2] for name in json.loads(found[1])}
    assert len(speakers) == 1, "a fold of three tests one of three speakers"
    check_runs_keep_pictures_and_numbers()


def test_the_representation_is_the_first_linear_layer_of_the_test_part(
    workplace, config, monkeypatch
):
    models, real = [], training.train_fold

    def watch(*args, **kwargs):
        trained = real(*args, **kwargs)
        models.append(trained.model)
        return trained

    monkeypatch.setattr(training, "train_fold", watch)
    task = EXPERIMENT.task(change(config, speech_encoder=("fbank",), output=None), Memory())
    assert isinstance(task, UtteranceEmotion)
    found = training.represent("fbank", task, MemoryTracker())
    fold = task.dataset.split.folds[0]
    table = found.tables[fold.name, 0]
    assert table["row"].tolist() == fold.test.tolist()
    perception = models[0].perceptions["speech"]
    states, frames = task.inputs.arrays[fold.name]["speech"].gather(torch.from_numpy(fold.test))
    expected = models[0].projection(perception(states, frames)).detach().numpy()
    np.testing.assert_allclose(drawing.read_units(table), expected, rtol=1e-4, atol=1e-5)


def test_what_a_killed_run_finished_is_read_back(workplace, config, monkeypatch):
    real, trained = training.train_fold, []

    def train_until(last):
        def train_fold(*args, **kwargs):
            if len(trained) == last:
                raise KeyboardInterrupt
            trained.append(1)
            return real(*args, **kwargs)

        return train_fold

    monkeypatch.setattr(training, "train_fold", train_until(2))
    with pytest.raises(KeyboardInterrupt):
        EXPERIMENT.run(config)
    monkeypatch.setattr(training, "train_fold", train_until(None))
    EXPERIMENT.run(config)
    assert len(trained) == 2 * 3


def test_an_unknown_fold_names_those_there_are(workplace, config):
    picture = dataclasses.replace(config.picture, fold="9")
    with pytest.raises(ValueError, match="--fold 9: speaker-k-fold has the folds 1, 2, 3"):
        EXPERIMENT.run(dataclasses.replace(config, picture=picture))
    assert not (workplace / "mlruns").exists()


@pytest.mark.parametrize(
    ("corpus", "split", "expected"),
    [
        ("iemocap", "auto", "leave-one-session-out"),
        ("emodb", "auto", "speaker-k-fold"),
        ("emodb", "leave-one-speaker-out", "leave-one-speaker-out"),
        ("subesco", "auto", "auto"),  # speaker-k-fold by itself, a fifth of the speakers
    ],
)
def test_a_picture_has_enough_held_out_utterances(tmp_path, corpus, split, expected):
    data = CorpusSettings(corpus=corpus, root=tmp_path, split=split)
    assert VisualiseSettings(data=data).probe().data.split == expected


def test_missing_umap_ends_with_the_remedy(workplace, monkeypatch):
    monkeypatch.setattr("sys.argv", ["visualise"])
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(SystemExit, match=r"error: UMAP .*'conversation-emotion\[visual\]'"):
        EXPERIMENT.main()
    assert not (workplace / "mlruns").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--epochs", "0"], "--epochs must be 1 or more, got 0"),
        (["--seeds", "0"], "--seeds must be 1 or more, got 0"),
        (["--neighbors", "1"], "--neighbors must be 2 or more, got 1"),
        (["--audio-mib=-1"], "--audio-mib must be 0 or more, got -1"),
        (["--learning-rate", "2"], r"--learning-rate must lie in \(0, 1\), got 2.0"),
        (["--speech-encoder", "mfcc", "mfcc"], "--speech-encoder names mfcc more than once"),
    ],
)
def test_a_rejected_value_is_a_usage_error(flags, message, capsys):
    assert re.search(message, usage_error(VisualiseSettings, flags, capsys))


def test_flags_reach_the_config():
    flags = [
        "--speech-encoder",
        "a/b",
        "mfcc",
        "--epochs",
        "7",
        "--fold",
        "Ses05",
        "--audio-mib",
        "0",
    ]
    assert commandline.parse(VisualiseSettings, flags) == VisualiseSettings(
        stage=StageSettings(speech_encoder=("a/b", "mfcc"), epochs=7),
        picture=PictureSettings(fold="Ses05", audio_mib=0),
    )
