"""The tables of languages, of English corpora and of song: rows that are given, figures beside."""

import re
import shlex

import optuna
import pytest
from experiments.song import SongConfig
from experiments.song import run as run_song
from experiments.song import search_space as song_space

from conversation_emotion.settings.training import TrainingSettings
from experiments import commandline as _cli
from experiments.languages import TABLES, LanguagesConfig, run, search_space
from tests.command_line import usage_error
from tests.hums import write_emodb_hums, write_hum, write_ravdess_hums
from tests.tracked import find_runs

QUICK = ["--resamples=50", "--epochs=15", "--learning-rate=0.03", "--encoders", "fbank"]
PROPOSED = {"dropout": 0.25, "learning_rate": 1e-3, "weight_decay": 0.1}
FOUND = TrainingSettings(epochs=2, learning_rate=1e-3, weight_decay=0.1)


def test_the_table_has_the_corpora_that_are_given_and_their_published_rows(workplace, capsys):
    write_emodb_hums(workplace / "EmoDB", ("03", "08", "09"), "WLEAFTN", takes=1)
    for number in range(12):
        emotion = number % 4
        name = f"{'AHNS'[emotion]}{number:03}"
        folder = workplace / "URDU" / ("Angry", "Happy", "Neutral", "Sad")[emotion]
        write_hum(folder / f"SM{number // 4}_F1_{name}.wav", emotion, number)
        write_hum(folder / f"SF{number // 4 + 5}_F1_{name}.wav", emotion, 50 + number)
    roots = ["--roots", f"urdu={workplace / 'URDU'}", f"emodb={workplace / 'EmoDB'}"]
    config = _cli.parse(LanguagesConfig, [*roots, *QUICK])
    run(config)
    told = capsys.readouterr().out
    assert re.search(r"in percent +WA +UA +weighted F1", told)
    rows = re.findall(r"^  (\w+) \((\w+)\): (.+?)  ", told, re.MULTILINE)
    assert [row for row in rows if "published" not in row[2]] == [
        ("emodb", "German", "fbank"),
        ("emodb", "German", "majority"),
        ("urdu", "Urdu", "fbank"),
        ("urdu", "Urdu", "majority"),
    ]
    assert re.search(r"urdu \(Urdu\): published: emotion2vec +81\.50 +81\.87 +81\.60", told)
    assert re.search(r"emodb \(German\): fbank +100\.0 ", told)
    assert re.search(r"urdu: classes: anger, happiness, neutral, sadness; not judged: none", told)
    assert "emodb: protocol leave-one-speaker-out" in told
    assert "no --roots were given for aesdd, cafe, resd, emovo, m3ed, subesco, shemo" in told
    commands = re.findall(r"^ python -m experiments\.languages (.*)$", told, re.MULTILINE)
    parsed = [_cli.parse(LanguagesConfig, shlex.split(command)) for command in commands]
    assert parsed == [config.of_corpus("emodb"), config.of_corpus("urdu")]
    names = {parent.info.run_name for parent in find_runs("languages").parents}
    assert names == {"emodb-fbank", "urdu-fbank"}


def test_song_is_told_apart_by_folds_of_actors_of_which_one_further_selects(workplace, capsys):
    tones = {"01": 0, "02": 1, "03": 2, "04": 3, "05": 4, "06": 5}
    write_ravdess_hums(workplace / "RAVDESS", (1, 2, 3, 4, 5), tones, channel="02")
    run_song(_cli.parse(SongConfig, ["--root", str(workplace / "RAVDESS"), *QUICK]))
    told = capsys.readouterr().out
    assert re.search(r"\n +fbank +(9\d|100)\.\d ±", told), told
    assert re.search(r"published: emotion2vec +85\.20 +85\.00 +84\.80", told)
    assert re.search(r"5 fold\(s\) x 1 seed\(s\).*n = 60", told)
    assert "protocol speaker-k-fold; valid: one further fold, the next after the tested" in told
    assert "classes: anger, calm, fear, happiness, neutral, sadness; not judged: none" in told


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "--roots names the folders of the corpora; --table languages has aesdd, cafe"),
        (["--roots", "savee=S"], "--roots: no corpus 'savee' here; choose from aesdd"),
        (["--table", "english", "--roots", "savee"], "--roots takes NAME=PATH, got 'savee'"),
        (["--roots", "urdu=U", "--dropout", "1"], r"--dropout must lie in \[0, 1\), got 1.0"),
    ],
)
def test_a_rejected_value_is_a_usage_error(flags, message, capsys):
    assert re.search(message, usage_error(LanguagesConfig, flags, capsys))


def test_song_needs_its_folder(capsys):
    assert "--root is the folder that holds Audio_Song" in usage_error(SongConfig, [], capsys)


def test_the_tables_are_the_published_ones():
    assert len(TABLES["languages"]) == 9
    assert TABLES["english"] == ("meld", "ravdess", "savee")


def test_search_leaves_the_rest_of_the_config_alone(tmp_path):
    trial = optuna.trial.FixedTrial(PROPOSED)
    languages = LanguagesConfig(roots=("urdu=U",), training=TrainingSettings(epochs=2))
    assert search_space(trial, languages) == LanguagesConfig(
        roots=("urdu=U",), dropout=0.25, training=FOUND
    )
    song = SongConfig(root=tmp_path, training=TrainingSettings(epochs=2))
    assert song_space(trial, song) == SongConfig(root=tmp_path, dropout=0.25, training=FOUND)
