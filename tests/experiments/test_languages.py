"""The tables of languages, English corpora and song: rows that are given, published figures."""

import dataclasses
import re

import optuna
import pytest

from conversation_emotion.settings.probes import TABLES, LanguagesSettings
from experiments.framework import commandline
from experiments.languages import EXPERIMENT
from tests.command_line import read_commands, squeeze, usage_error
from tests.hums import write_emodb_hums, write_hum, write_ravdess_hums
from tests.tracked import find_runs

QUICK = ["--epochs=15", "--learning-rate=0.03", "--speech-encoder", "fbank"]


def test_the_table_has_the_corpora_that_are_given_and_their_published_rows(workplace, capsys):
    write_emodb_hums(workplace / "EmoDB", ("03", "08", "09"), "WLEAFTN", takes=1)
    for number in range(12):
        emotion = number % 4
        name = f"{'AHNS'[emotion]}{number:03}"
        folder = workplace / "URDU" / ("Angry", "Happy", "Neutral", "Sad")[emotion]
        write_hum(folder / f"SM{number // 4}_F1_{name}.wav", emotion, number)
        write_hum(folder / f"SF{number // 4 + 5}_F1_{name}.wav", emotion, 50 + number)
    roots = ["--roots", f"urdu={workplace / 'URDU'}", f"emodb={workplace / 'EmoDB'}"]
    config = commandline.parse(LanguagesSettings, [*roots, *QUICK])
    table = EXPERIMENT.run(config)
    printed = capsys.readouterr().out
    assert re.search(r"in percent +WA +UAR +pooled UAR +weighted F1", printed)
    names = [row.name for row in table.rows if row.kind != "published"]
    assert names == [
        "emodb (German): fbank",
        "emodb (German): majority",
        "urdu (Urdu): fbank",
        "urdu (Urdu): majority",
    ]
    published = table.rows[-1]
    assert published.name == "urdu (Urdu): published: emotion2vec"
    assert published.values == pytest.approx({"wa": 0.815, "uar": 0.8187, "weighted_f1": 0.816})
    assert re.search(r"emodb \(German\): fbank +100\.0 ", printed)
    assert re.search(
        r"urdu: classes: anger, happiness, neutral, sadness; other emotions, not predicted: none",
        squeeze(printed),
    )
    assert "emodb: protocol leave-one-speaker-out" in printed
    assert "no --roots were given for aesdd, cafe, resd, emovo, m3ed, subesco, shemo" in squeeze(
        printed
    )
    commands = read_commands(printed, "languages")
    parsed = [commandline.parse(LanguagesSettings, command) for command in commands]
    assert parsed == [dataclasses.replace(config, roots=(root,)) for root in reversed(config.roots)]
    names = {parent.info.run_name for parent in find_runs("languages").parents}
    assert names == {"emodb-fbank", "urdu-fbank"}


def test_song_has_folds_of_actors_of_which_one_further_selects(workplace, capsys):
    tones = {"01": 0, "02": 1, "03": 2, "04": 3, "05": 4, "06": 5}
    write_ravdess_hums(workplace / "RAVDESS", (1, 2, 3, 4, 5), tones, channel="02")
    flags = ["--table", "song", "--roots", f"ravdess-song={workplace / 'RAVDESS'}", *QUICK]
    table = EXPERIMENT.run(commandline.parse(LanguagesSettings, flags))
    printed = capsys.readouterr().out
    model, _, published = table.rows
    assert model.name == "ravdess-song (English, sung): fbank"
    assert model.metrics["wa"].score > 0.9
    assert published.values == pytest.approx({"wa": 0.85, "uar": 0.852, "weighted_f1": 0.848})
    assert re.search(r"5 folds x 1 seed .*n = 60", squeeze(printed))
    assert "protocol speaker-k-fold; valid: one further fold, the next after the tested" in squeeze(
        printed
    )
    classes = "anger, calm, fear, happiness, neutral, sadness"
    assert f"classes: {classes}; other emotions, not predicted: none" in squeeze(printed)


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
    assert re.search(message, usage_error(LanguagesSettings, flags, capsys))


def test_song_needs_its_folder(capsys):
    message = usage_error(LanguagesSettings, ["--table", "song"], capsys)
    assert "--roots names the folders of the corpora; --table song has ravdess-song" in message


def test_the_tables_are_the_published_ones():
    assert len(TABLES["languages"]) == 9
    assert TABLES["english"] == ("meld", "ravdess", "savee")


def test_a_table_of_languages_is_not_swept():
    with pytest.raises(ValueError, match="languages has no settings to sweep"):
        EXPERIMENT.search_space(optuna.trial.FixedTrial({}), LanguagesSettings(roots=("urdu=U",)))
