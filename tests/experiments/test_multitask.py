"""Emotion and transcript at once, from the command line to one table and some transcripts."""

import re

import numpy as np
import optuna
import pandas as pd
import pytest
import soundfile

from conversation_emotion.settings.corpus import CorpusSettings
from conversation_emotion.settings.fine_tuning import MultitaskSettings, TunableSettings
from conversation_emotion.settings.training import FineTuningSettings
from conversation_emotion.training import cross_validation
from experiments.framework import commandline
from experiments.multitask import EXPERIMENT
from tests.command_line import usage_error
from tests.emotion2vec_models import make_model
from tests.tracked import find_runs

TEXTS = {"up": "Hi!", "down": "no."}


def write_corpus(folder, **changes) -> CorpusSettings:
    """Four speakers whose two words are hums of their own."""
    generator = np.random.default_rng(0)
    rows = []
    for number in range(32):
        emotion = "up" if number % 2 else "down"
        hertz = 300 if number % 2 else 900
        hum = 0.3 * np.sin(2 * np.pi * hertz * np.arange(3_200) / 16_000)
        sound = hum + 0.01 * generator.normal(size=3_200)
        soundfile.write(folder / f"{number}.wav", sound, 16_000)
        rows.append(
            {
                "utterance_id": f"u{number}",
                "dialogue_id": f"d{number // 2}",
                "speaker": f"p{number // 8}",
                "text": TEXTS[emotion],
                "audio": f"{number}.wav",
                "emotion": emotion,
            }
        )
    pd.DataFrame(rows).assign(**changes).to_csv(folder / "table.csv", index=False)
    return CorpusSettings(
        corpus="manifest", root=folder / "table.csv", labels="all", split="leave-one-speaker-out"
    )


@pytest.fixture
def config(tmp_path) -> MultitaskSettings:
    make_model(num_hidden_layers=1).save_pretrained(tmp_path / "encoder")
    return MultitaskSettings(
        data=write_corpus(tmp_path),
        tuned=TunableSettings(speech_encoder=str(tmp_path / "encoder")),
        training=FineTuningSettings(
            epochs=12,
            patience=12,
            learning_rate=5e-3,
            head_learning_rate=2e-2,
            batch_size=4,
            average_best=1,
            select_by="uar",
            max_folds=1,
        ),
        alphas=(0.0, 1.0),
        shown=2,
    )


def test_spelling_is_learned_with_alpha_alone(workplace, config, capsys):
    table = EXPERIMENT.run(config)
    assert [row.name for row in table.rows] == ["alpha 0", "alpha 1"]
    printed = " ".join(capsys.readouterr().out.split())
    for expected in (
        "alpha 0",
        "only the first 1 of 4 folds",
        "transcripts in 32 characters; 0 of 64 are unknown; 0 utterances have no words",
        "100% of the test sentences also occur in train, word for word",
        "mean of the real frames",
        "transcripts of test, alpha 1: u0: NO decoded: ",
    ):
        assert expected in printed, expected
    runs = {run.data.params["alphas"]: run for run in find_runs("multitask").parents}
    assert runs["1.0"].data.metrics["test/wer"] < 0.5
    assert runs["0.0"].data.metrics["test/wer"] >= 0.9
    assert runs["0.0"].data.metrics["test/wa"] == 1.0


def test_a_second_call_reads_what_was_finished(workplace, config, monkeypatch):
    quick = MultitaskSettings(
        data=config.data,
        tuned=config.tuned,
        training=FineTuningSettings(epochs=1, max_folds=2),
        alphas=(0.1,),
        pooling="sum",
    )
    real, trained = cross_validation.train_fold, []

    def train_until(last):
        def train(task, fold, seed, **rest):
            if len(trained) == last:
                raise KeyboardInterrupt
            trained.append(fold.name)
            return real(task, fold, seed, **rest)

        return train

    monkeypatch.setattr(cross_validation, "train_fold", train_until(1))
    with pytest.raises(KeyboardInterrupt):
        EXPERIMENT.run(quick)
    monkeypatch.setattr(cross_validation, "train_fold", train_until(None))
    EXPERIMENT.run(quick)
    assert trained == ["p0", "p1"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "manifest: no utterance has a text, which this experiment needs"),
        ("42", "the transcript of 'u0', '?42'?, has none of the characters"),
        ("[LAUGHTER]", "fold 'p0': no utterance of the train part has a transcript"),
    ],
)
def test_transcripts_that_teach_nothing_are_refused(workplace, config, tmp_path, text, message):
    data = write_corpus(tmp_path, text=text)
    with pytest.raises(ValueError, match=message):
        EXPERIMENT.run(MultitaskSettings(data=data, tuned=config.tuned, training=config.training))
    assert not (tmp_path / "mlruns").exists()


def test_a_class_without_example_in_a_fold_is_refused(workplace, config, tmp_path):
    emotion = ["down" if number < 8 else "up" for number in range(32)]
    data = write_corpus(tmp_path, emotion=emotion)
    with pytest.raises(ValueError, match="fold 'p0': the train part has no example of down"):
        EXPERIMENT.run(MultitaskSettings(data=data, tuned=config.tuned, training=config.training))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--alphas", "-1"], "--alphas needs one number or more of 0 and above"),
        (["--alphas", "0.1", "0.1"], "--alphas names 0.1 more than once"),
        (["--blocks", "0"], "--blocks must be 1 or more, got 0"),
    ],
)
def test_a_rejected_value_is_a_usage_error(flags, message, capsys):
    assert re.search(message, usage_error(MultitaskSettings, flags, capsys))


def test_flags_reach_the_config():
    flags = ["--alphas", "0", "0.5", "--pooling", "sum", "--blocks", "None"]
    config = commandline.parse(MultitaskSettings, flags)
    assert config.alphas == (0.0, 0.5)
    assert config.pooling == "sum"
    assert config.tuned.blocks is None


def test_search_leaves_the_rest_of_the_config_alone(config):
    proposed = {"alpha": 0.05, "pooling": "sum", "learning_rate": 1e-4, "dropout": 0.2}
    found = EXPERIMENT.search_space(optuna.trial.FixedTrial(proposed), config)
    assert (found.alphas, found.pooling) == ((0.05,), "sum")
    assert found.training.learning_rate == 1e-4
    assert found.training.epochs == config.training.epochs
    assert found.data == config.data
