"""The command across corpora: every direction, lists of targets, refusals."""

import re
import shlex

import optuna
import pytest

from conversation_emotion.settings.probes import CrossCorpusSettings
from experiments.cross_corpus import EXPERIMENT
from experiments.framework import commandline
from tests.command_line import read_commands, squeeze, usage_error
from tests.hums import write_emodb_hums, write_ravdess_hums
from tests.splits.test_emobox import write_list
from tests.tracked import find_runs

ROOTS = ("emodb=EmoDB", "ravdess=RAVDESS")


@pytest.fixture
def roots(workplace) -> tuple[str, str]:
    """Two corpora in which the same class has the same tone; boredom and calm are dropped."""
    write_emodb_hums(workplace / "EmoDB", ("03", "08", "09", "10"), "WFNTL", takes=2)
    tones = {"05": 0, "03": 1, "01": 2, "04": 3, "02": 5}
    write_ravdess_hums(workplace / "RAVDESS", (1, 2, 3, 4), tones)
    return f"emodb={workplace / 'EmoDB'}", f"ravdess={workplace / 'RAVDESS'}"


def configure(roots: tuple[str, ...], *flags: str) -> CrossCorpusSettings:
    usual = ["--speech-encoder=fbank", "--epochs=15", "--learning-rate=0.03"]
    return commandline.parse(CrossCorpusSettings, ["--roots", *roots, *usual, *flags])


def test_each_corpus_is_tested_with_the_model_of_the_other(roots, capsys):
    EXPERIMENT.run(configure(roots))
    printed = capsys.readouterr().out
    for row in ("emodb → ravdess: fbank", "ravdess → emodb: fbank"):
        assert re.search(rf"{row} +(9\d|100)\.\d ", printed), printed
    assert re.search(r"emodb → ravdess: majority +25\.0 ", printed)
    over = (
        r"95 % interval over \d speakers of ravdess, \d speakers of emodb\], n: ravdess 32, emodb"
    )
    assert re.search(over, squeeze(printed))
    assert "anger = angry, happiness = happy, sadness = sad; dropped: 8 boredom" in squeeze(printed)
    assert "dropped: 8 calm" in squeeze(printed)
    commands = read_commands(printed, "cross_corpus")
    parsed = [commandline.parse(CrossCorpusSettings, command) for command in commands]
    assert parsed == list(configure(roots).rows())
    parents = find_runs("cross_corpus").parents
    assert {parent.data.params["train"] for parent in parents} == {"emodb", "ravdess"}
    assert all(parent.data.metrics["test/num_targets"] == 32 for parent in parents)
    assert {parent.info.run_name for parent in parents} == {
        "emodb-ravdess-fbank",
        "ravdess-emodb-fbank",
    }
    kept = {parent.data.tags["command"] for parent in parents}
    assert kept == {
        f"python -m experiments.cross_corpus {shlex.join(command)}" for command in commands
    }


def test_a_list_names_the_targets_and_shipped_weights_their_pre_training(roots, capsys, tmp_path):
    names = [
        ("Actor_01/03-01-05-01-01-01-01.wav", "angry", "01"),
        ("Actor_02/03-01-03-01-01-01-02.wav", "happy", "02"),
        ("Actor_15/03-01-03-01-01-02-15.wav", "happy", "15"),
    ]
    listed = write_list(tmp_path / "RAVDESS_selected.jsonl", *names)
    flags = ["--train", "emodb", "--test-lists", f"ravdess={listed}", "--epochs", "1"]
    EXPERIMENT.run(configure(roots, *flags, "--speech-encoder", "emotion2vec-mini"))
    printed = capsys.readouterr().out
    assert "ravdess: 2 of 3 listed utterances are there; 0 names fit several" in printed
    assert "n: ravdess 2" in printed
    assert "ravdess: targets by its list; " in squeeze(printed)
    assert "emotion2vec-mini was pre-trained on ravdess: its 720 clips of actors 01" in squeeze(
        printed
    )


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], r"--roots needs two corpora or more .* got 0"),
        (["--roots", "emodb"], "--roots takes NAME=PATH, got 'emodb'"),
        (["--roots", "emodb=a", "emodb=b"], "--roots names emodb more than once"),
        (["--roots", "emobd=a", "tess=b"], "--roots: no corpus 'emobd' here; choose from aesdd"),
        (["--roots", *ROOTS, "--train", "tess"], "--train tess: --roots does not name its folder"),
        (["--roots", *ROOTS, "--train", "emodb", "ravdess"], "--train names every corpus"),
        (
            ["--roots", *ROOTS, "--train", "emodb", "--test", "emodb"],
            "emodb is in --train and in --test",
        ),
        (["--roots", *ROOTS, "--test-lists", "tess=x"], "--test-lists: no corpus 'tess' here"),
    ],
)
def test_a_rejected_value_is_a_usage_error(flags, message, capsys):
    assert re.search(message, usage_error(CrossCorpusSettings, flags, capsys))


def test_pooled_corpora_are_one_row_and_what_is_not_trained_on_is_tested():
    config = commandline.parse(
        CrossCorpusSettings,
        [
            "--roots",
            *ROOTS,
            "tess=T",
            "--train",
            "emodb",
            "ravdess",
            "--speech-encoder",
            "mfcc",
            "x",
        ],
    )
    rows = [(row.features.speech_encoder, row.train, row.test) for row in config.rows()]
    assert rows == [
        (("mfcc",), ("emodb", "ravdess"), ("tess",)),
        (("x",), ("emodb", "ravdess"), ("tess",)),
    ]


def test_a_table_of_corpora_is_not_swept():
    with pytest.raises(ValueError, match="cross_corpus has no settings to sweep"):
        EXPERIMENT.search_space(optuna.trial.FixedTrial({}), CrossCorpusSettings(roots=ROOTS))
