"""The fusion table from the command line to its two tables, one tracked run per row."""

import re

import numpy as np
import optuna
import pandas as pd
import pytest
import soundfile

from conversation_emotion.settings.corpus import CorpusSettings
from conversation_emotion.settings.fusion import ROWS, FusionSettings, read_rows
from conversation_emotion.settings.training import TrainingSettings
from experiments.framework import commandline
from experiments.fusion import EXPERIMENT
from tests.command_line import usage_error
from tests.tracked import find_runs


def test_a_row_is_titled_by_the_encoders_that_it_has():
    settings = FusionSettings(rows="7,11", wav2vec2="models/whisper-base")
    assert settings.title(7) == "HuBERT + whisper-base"
    assert settings.title(11) == "Fbank & BERT"


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("9,10,11", (9, 10, 11)), ("1-3,11", (1, 2, 3, 11)), ("7, 7", (7,)), ("19", (9, 10, 19))],
)
def test_rows_are_read_by_number_and_range(text, numbers):
    assert read_rows(text) == numbers


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--rows", "9;10"], "--rows takes numbers such as 9,10,11 or 1-8, got '9;10'"),
        (["--rows", "11,99"], "the table has the rows 1 to 20, not 99"),
        (["--aggregator-size", "9"], "--aggregator-size of ecapa must be a multiple of 8: 9"),
        (["--dropout", "1"], r"--dropout must lie in \[0, 1\), got 1.0"),
    ],
)
def test_a_rejected_value_is_a_usage_error(flags, message, capsys):
    assert re.search(message, usage_error(FusionSettings, flags, capsys))


def test_a_row_that_is_not_averaged_takes_the_best_checkpoint_alone():
    config = FusionSettings(rows="1,3")
    assert [config.for_row(n).training.average_best for n in (1, 3)] == [1, 5]


def test_search_chooses_among_the_rows_asked_for():
    proposed = {"rows": "13", "aggregator_size": 32, "dropout": 0.1, "learning_rate": 1e-3}
    config = EXPERIMENT.search_space(
        optuna.trial.FixedTrial(proposed), FusionSettings(rows="11-14")
    )
    assert (config.rows, config.aggregator_size, config.dropout) == ("13", 32, 0.1)
    with pytest.raises(ValueError, match="--rows 19 fuses decisions"):
        EXPERIMENT.search_space(optuna.trial.FixedTrial(proposed), FusionSettings(rows="19"))


@pytest.fixture
def corpus(tmp_path) -> CorpusSettings:
    """Four speakers; the pitch gives one half of the emotion and the words the other."""
    generator = np.random.default_rng(0)
    rows = []
    for number in range(64):
        is_high, is_glad = number % 2, number // 2 % 2
        hum = np.sin(2 * np.pi * (200 + 400 * is_high) * np.arange(3_200) / 16_000)
        path = tmp_path / f"u{number}.wav"
        soundfile.write(path, 0.3 * hum + 0.01 * generator.normal(size=3_200), 16_000)
        rows.append(
            {
                "utterance_id": f"u{number:02d}",
                "dialogue_id": f"d{number}",
                "speaker": f"s{number % 16 // 4}",
                "audio": path.name,
                "text": ["what a loss", "what a joy"][is_glad],
                "emotion": ["neutral", "happy"][is_high & is_glad],
            }
        )
    pd.DataFrame(rows).to_csv(tmp_path / "corpus.csv", index=False)
    return CorpusSettings(
        corpus="manifest", root=tmp_path / "corpus.csv", labels="all", num_folds=2
    )


def test_the_table_compares_fusions_each_with_a_run_of_its_own(workplace, corpus, capsys):
    training = TrainingSettings(epochs=2, average_best=2)
    EXPERIMENT.run(
        FusionSettings(data=corpus, rows="9-14,19", aggregator_size=8, training=training)
    )
    printed = capsys.readouterr().out
    for number in (*range(9, 15), 19):
        title = re.escape(re.sub(" (cross-attention|decisions)$", "", ROWS[number].title))  # wraps
        assert re.search(rf"\n{number} +{title} +\d+\.\d ±", printed), number
    p_values = r"[+-]\d+\.\d +\[.+?\] +\d\.\d{3} +\d\.\d{3}\n"
    assert re.search(rf"\n9  Fbank - 11  Fbank & BERT +{p_values}", printed)
    assert "fbank: fbank; bert: tokens:all-MiniLM-L6-v2" in printed
    tracked = find_runs("fusion")
    assert sorted(parent.data.params["rows"] for parent in tracked.parents) == sorted(
        str(number) for number in (*range(9, 15), 19)
    )
    assert all(parent.info.status == "FINISHED" for parent in tracked.parents)


def test_flags_reach_the_config():
    flags = ["--rows", "9,10,11", "--bert", "tokens:x", "--seeds", "3"]
    config = commandline.parse(FusionSettings, flags)
    assert (config.rows, config.bert, config.training.seeds) == ("9,10,11", "tokens:x", 3)
    assert config.training.average_best == 5
