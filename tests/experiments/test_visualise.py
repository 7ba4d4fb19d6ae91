"""Pictures of representations from the command line to numbers, a PNG and a page."""

import dataclasses
import json
import re
import sys

import numpy as np
import pandas as pd
import pytest
from hums import write_emodb_hums

from conversation_emotion.evaluation import separation as embedding
from conversation_emotion.settings.corpus import CorpusSettings
from experiments import _plane_report, _stages, commandline
from experiments.visualise import PictureSettings, StageSettings, VisualiseSettings, main, run
from tests.command_line import usage_error
from tests.tracked import find_runs


def first_two(representations, *, num_neighbors):
    """Stands for UMAP, which compiles for long; `test_embedding` holds the real one."""
    return representations[:, :2]


@pytest.fixture
def config(tmp_path, monkeypatch) -> VisualiseSettings:
    monkeypatch.setattr(embedding, "check_umap", lambda: None)
    monkeypatch.setattr(_plane_report, "project_to_plane", first_two)
    root = write_emodb_hums(tmp_path / "EmoDB", ("03", "08", "16"), "WLEAFTN", 2)
    return VisualiseSettings(
        data=CorpusSettings(corpus="emodb", root=root, num_folds=3),
        stage=StageSettings(encoders=("fbank", "mfcc"), epochs=6, hidden_size=8),
        picture=PictureSettings(fold="2", audio_mib=1 / 64),
    )


def check_runs_keep_pictures_and_numbers():
    tracked = find_runs("visualise")
    assert {parent.data.params["encoders"] for parent in tracked.parents} == {"fbank", "mfcc"}
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
    run(config)
    printed = capsys.readouterr().out
    for expected in (
        r"over 3 fold\(s\) x 1 seed\(s\), n = 42; every probe after 6 epochs on train, none sel",
        r"protocol speaker-k-fold; the picture is of fold 2, seed 0",
        r"mean ± deviation \[lowest, highest\]",
        r"high: anger, fear, happiness",
        r"fbank +\d+\.\d ± \d+\.\d \[\d+\.\d, \d+\.\d\] +-?\d\.\d\d ±",
        r"left silent by the limit of 0\.0156 MiB",
    ):
        assert re.search(expected, printed), expected
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
    models, real = [], _stages.train_fold

    def watch(*args, **kwargs):
        trained = real(*args, **kwargs)
        models.append(trained.model)
        return trained

    monkeypatch.setattr(_stages, "train_fold", watch)
    prepared = _stages.prepare(config)["fbank"]
    from experiments.tracking import runs as _tracking

    with _tracking.open_run("visualise", config, prepared.fingerprint) as parent:
        found = _stages.represent(config, "fbank", prepared, parent)
    fold = prepared.corpus.split.folds[0]
    table = found.tables[fold.name, 0]
    assert table["row"].tolist() == fold.test.tolist()
    perception = models[0].perceptions["speech"]
    states, frames = prepared.arrays[fold.name]["speech"].gather(table_rows(table))
    expected = models[0].projection(perception(states, frames)).detach().numpy()
    np.testing.assert_allclose(_stages.read_units(table), expected, rtol=1e-4, atol=1e-5)


def table_rows(table: pd.DataFrame):
    import torch

    return torch.tensor(table["row"].to_numpy())


def test_what_a_killed_run_finished_is_read_back(workplace, config, monkeypatch):
    real, trained = _stages.train_fold, []

    def train_until(last):
        def train_fold(*args, **kwargs):
            if len(trained) == last:
                raise KeyboardInterrupt
            trained.append(1)
            return real(*args, **kwargs)

        return train_fold

    monkeypatch.setattr(_stages, "train_fold", train_until(2))
    with pytest.raises(KeyboardInterrupt):
        run(config)
    monkeypatch.setattr(_stages, "train_fold", train_until(None))
    run(config)
    assert len(trained) == 2 * 3


def test_an_unknown_fold_names_those_there_are(workplace, config):
    picture = dataclasses.replace(config.picture, fold="9")
    with pytest.raises(ValueError, match="--fold 9: speaker-k-fold has the folds 1, 2, 3"):
        run(dataclasses.replace(config, picture=picture))
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
    assert _stages.suit(data).split == expected


def test_missing_umap_ends_with_the_remedy(workplace, monkeypatch):
    monkeypatch.setattr("sys.argv", ["visualise"])
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(SystemExit, match=r"error: UMAP .*'conversation-emotion\[visual\]'"):
        main()
    assert not (workplace / "mlruns").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--epochs", "0"], "--epochs must be 1 or more, got 0"),
        (["--seeds", "0"], "--seeds must be 1 or more, got 0"),
        (["--neighbors", "1"], "--neighbors must be 2 or more, got 1"),
        (["--audio-mib=-1"], "--audio-mib must be 0 or more, got -1"),
        (["--learning-rate", "2"], r"--learning-rate must lie in \(0, 1\), got 2.0"),
        (["--speech-encoder", "mfcc", "mfcc"], "--encoders names mfcc more than once"),
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
        stage=StageSettings(encoders=("a/b", "mfcc"), epochs=7),
        picture=PictureSettings(fold="Ses05", audio_mib=0),
    )
