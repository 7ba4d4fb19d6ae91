"""Ratings from the command line to one table: rows, tracking, missing ratings, refusals."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from conversation_emotion.evaluation.published import find_published
from conversation_emotion.settings.corpus import CorpusSettings
from conversation_emotion.settings.dimensional import (
    DimensionalSettings,
    MiniSettings,
    RatingSettings,
)
from conversation_emotion.training import cross_validation
from experiments.dimensional import EXPERIMENT
from experiments.framework import commandline
from experiments.framework.pretraining.rating_inputs import pretrain_mini
from speech_encoders import load_speech_encoder
from tests.command_line import squeeze, usage_error
from tests.tracked import find_runs

QUICK = ["--epochs=2", "--stride=8", "--num-folds=2"]
QUICK += ["--corpus=manifest", "--split=speaker-k-fold"]
MINI = ["--mini-steps=2", "--mini-clips=2", "--mini-crop-seconds=0.5"]


@pytest.fixture
def corpus(workplace) -> Path:
    """Four speakers whose loudness is their activation; some ratings are missing."""
    folder = workplace / "corpus"
    folder.mkdir()
    rng = np.random.default_rng(0)
    rows = []
    for number in range(32):
        arousal = 1 + 4 * rng.random()
        soundfile.write(
            folder / f"{number}.wav", 0.02 * arousal * rng.standard_normal(9_600), 16_000
        )
        rows.append(
            {
                "utterance_id": f"u{number}",
                "dialogue_id": f"d{number // 2}",
                "speaker": f"s{number // 2 % 4}",
                "audio": f"{number}.wav",
                "emotion": ["angry", "happy", "neutral", "sad"][number % 4],
                "arousal": arousal if number % 5 else None,
                "valence": round(float(rng.uniform(1, 5)), 1),
                "dominance": round(float(rng.uniform(1, 5)), 1),
            }
        )
    pd.DataFrame(rows).to_csv(folder / "manifest.csv", index=False)
    return folder


def configure(corpus: Path, *flags: str) -> DimensionalSettings:
    return commandline.parse(DimensionalSettings, [*QUICK, "--root", str(corpus), *flags])


def test_every_kind_of_row_stands_in_the_table(corpus, capsys):
    encoders = ("mfcc", "end-to-end", "mini-cpc")
    EXPERIMENT.run(configure(corpus, "--speech-encoder", *encoders, "--seeds", "2", *MINI))
    printed = capsys.readouterr().out
    for row in encoders:
        assert re.search(rf"^ *{row} +-?0\.\d+ ± 0\.\d+", printed, re.MULTILINE)
    assert "2 folds x 2 seeds" in squeeze(printed)
    assert "n: activation 25, valence 32, dominance 32" in squeeze(printed)
    tracked = find_runs("dimensional")
    assert len(tracked.parents) == 3
    assert len(tracked.children) == 3 * 2 * 2
    assert {"test/ccc_mean", "test/ccc_arousal_ci_low", "valid/ccc_valence_std"} <= set(
        tracked.parents[0].data.metrics
    )
    # The two seeds of a fold share what mini-cpc learnt from its train part.
    assert len(list(Path("mlruns/pretraining").glob("mini-cpc-*/encoder"))) == 2


def test_loudness_that_was_planted_is_found(corpus, capsys):
    EXPERIMENT.run(
        configure(corpus, "--speech-encoder", "mfcc", "--epochs", "30", "--learning-rate", "0.002")
    )
    capsys.readouterr()
    (parent,) = find_runs("dimensional").parents
    assert parent.data.metrics["test/ccc_arousal"] > 0.7
    assert parent.data.metrics["test/ccc_valence"] < 0.4


def test_mini_cpc_reads_the_train_part_alone_and_only_once(corpus, capsys):
    manifest = pd.read_csv(corpus / "manifest.csv")
    columns = {"offset": np.nan, "duration": np.nan, "channel": np.nan}
    table = manifest.assign(audio=[str(corpus / name) for name in manifest["audio"]], **columns)
    settings = MiniSettings(mini_steps=2, mini_clips=2, mini_crop_seconds=0.5)
    first = pretrain_mini(settings, table.iloc[:16])
    for name in table["audio"][16:]:
        Path(name).unlink()  # what is not in train is never opened
    assert pretrain_mini(settings, table.iloc[:16]) == first
    assert capsys.readouterr().out.count("mini-cpc: 2 updates") == 1
    other = pretrain_mini(settings, table.iloc[:12])
    assert other != first
    assert load_speech_encoder(str(other)).hidden_size == 256


def test_an_interrupted_command_reads_back_what_it_had_finished(corpus, capsys, monkeypatch):
    trained = []
    real = cross_validation.train_fold

    def interrupt(task, fold, *given, **named):
        if len(trained) == 1:
            trained.append("interrupted")
            raise KeyboardInterrupt
        trained.append(fold.name)
        return real(task, fold, *given, **named)

    monkeypatch.setattr(cross_validation, "train_fold", interrupt)
    with pytest.raises(KeyboardInterrupt):
        EXPERIMENT.run(configure(corpus))
    EXPERIMENT.run(configure(corpus))
    assert "resuming run" in capsys.readouterr().out
    assert trained == ["1", "interrupted", "2"]


def test_published_figures_stand_beside_ours(corpus):
    names = ("ccc_mean", "ccc_arousal", "ccc_valence", "ccc_dominance")
    figures = find_published("dimensional", corpus="iemocap")
    assert tuple(figures[0].values[name] for name in names) == (0.731, 0.752, 0.752, 0.691)
    iemocap = DimensionalSettings(data=CorpusSettings(corpus="iemocap", root=corpus))
    label_map = SimpleNamespace(corpus="iemocap", label_set="all")
    task = SimpleNamespace(dataset=SimpleNamespace(label_map=label_map))
    run: Any = SimpleNamespace(settings=iemocap, task=task)
    assert EXPERIMENT.published(iemocap, [run]) == figures


def test_a_corpus_without_dimensions_is_refused(corpus):
    table = pd.read_csv(corpus / "manifest.csv")
    table.drop(columns=["dominance"]).to_csv(corpus / "manifest.csv", index=False)
    with pytest.raises(ValueError, match="manifest: no utterance has a rating of dominance"):
        EXPERIMENT.run(configure(corpus))


def test_a_part_without_ratings_is_refused(corpus):
    table = pd.read_csv(corpus / "manifest.csv")
    names = ["arousal", "valence", "dominance"]
    table.loc[table["speaker"].isin(["s0", "s1", "s2"]), names] = np.nan
    table.to_csv(corpus / "manifest.csv", index=False)
    with pytest.raises(ValueError, match="speaker-k-fold: no target in the train part of fold '1'"):
        EXPERIMENT.run(configure(corpus))


def test_samples_are_given_back_as_they_are():
    encoder = load_speech_encoder("samples")
    waveforms = torch.randn(2, 600)
    states, lengths = encoder(waveforms.clone(), torch.tensor([600, 425]))
    assert states.shape == (2, 1, 600, 1)
    torch.testing.assert_close(states[0, 0, :, 0], waveforms[0])
    torch.testing.assert_close(states[1, 0, :425, 0], waveforms[1, :425])
    assert not states[1, 0, 425:].any()
    assert lengths.tolist() == [600, 425]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--speech-encoder"], "--speech-encoder needs one encoder or more"),
        (["--speech-encoder", "mfcc", "mfcc"], "--speech-encoder names mfcc more than once"),
        (["--stride", "0"], "--stride must be 1 or more, got 0"),
        (["--dropout", "1"], r"--dropout must lie in \[0, 1\), got 1.0"),
        (["--learning-rate", "0"], r"--learning-rate must lie in \(0, 1\), got 0.0"),
        (["--loss-weights", "0", "0", "0"], "--loss-weights must be 0 or more, and one of them"),
        (["--mini-steps", "0"], "--mini-steps must be 1 or more, got 0"),
        (["--mini-crop-seconds", "0"], "--mini-crop-seconds must be 0.1 or more, got 0"),
    ],
)
def test_a_rejected_value_is_a_usage_error(flags, message, capsys):
    assert re.search(message, usage_error(DimensionalSettings, flags, capsys))


def test_each_row_has_a_run_of_its_own_settings():
    settings = commandline.parse(
        DimensionalSettings, ["--speech-encoder", "a", "mini-cpc", "--mini-steps", "9"]
    )
    rows = EXPERIMENT.rows(settings)
    assert rows["a"] == DimensionalSettings(features=RatingSettings(speech_encoder=("a",)))
    assert rows["mini-cpc"].mini == MiniSettings(mini_steps=9)
