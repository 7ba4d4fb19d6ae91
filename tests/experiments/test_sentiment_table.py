"""The sentiment command: rows by modality, context, regression, refusals, and exact commands."""

import dataclasses
import re
from pathlib import Path

import optuna
import pandas as pd
import pytest

from conversation_emotion.inference.predictor import Predictor
from conversation_emotion.inference.saved_model import read_card
from conversation_emotion.settings.features import FeatureSettings
from conversation_emotion.settings.sentiment import ModalitySettings, SentimentSettings
from conversation_emotion.settings.training import TrainingSettings
from experiments.framework import commandline
from experiments.sentiment import EXPERIMENT
from experiments.tracking.registry import find_model
from tests.command_line import read_commands, squeeze, usage_error
from tests.hums import write_hum
from tests.tracked import find_runs

SENTIMENTS = ("negative", "neutral", "positive")
WORDS = {"negative": "I hate it.", "neutral": "It is Monday.", "positive": "I love it!"}


@pytest.fixture
def corpus(workplace) -> Path:
    """Six dialogues of two speakers each, whose sentiment both pitch and words give away."""
    rows = []
    for number in range(54):
        sentiment = SENTIMENTS[number * 7 % 3 if number % 9 else 0]
        dialogue = number // 9
        write_hum(workplace / "corpus" / f"{number}.wav", 3 * SENTIMENTS.index(sentiment), number)
        rows.append(
            {
                "utterance_id": f"u{number}",
                "dialogue_id": f"d{dialogue}",
                "order": number % 9,
                "speaker": f"s{dialogue}{number % 2}",
                "text": WORDS[sentiment],
                "audio": f"{number}.wav",
                "sentiment": sentiment,
                "split": ["train", "train", "train", "valid", "test", "test"][dialogue],
            }
        )
    pd.DataFrame(rows).to_csv(workplace / "corpus" / "manifest.csv", index=False)
    return workplace / "corpus"


def configure(corpus: Path, *flags: str) -> SentimentSettings:
    usual = ["--corpus=manifest", f"--root={corpus}", "--epochs=15"]
    return commandline.parse(SentimentSettings, [*usual, *flags])


def test_modalities_are_rows_of_one_table_without_neutral(corpus, capsys):
    EXPERIMENT.run(configure(corpus, "--speech-encoder", "fbank", "--learning-rate", "0.01"))
    printed = capsys.readouterr().out
    text = "all-MiniLM-L6-v2"
    for row in ("speech: fbank", f"text: {text}", f"speech+text: fbank, {text}"):
        assert re.search(rf"^{re.escape(row)} +100\.0", printed, re.MULTILINE), printed
    neutral = pd.read_csv(corpus / "manifest.csv")["sentiment"].eq("neutral").sum()
    dropped = f"classes: negative, positive; other emotions, not predicted: {neutral} neutral"
    assert f"{dropped}; 0 unlabelled" in squeeze(printed)
    assert "protocol official; valid: the corpus' own valid part" in printed
    parents = find_runs("sentiment").parents
    assert len(parents) == 3
    assert all(parent.data.metrics["test/weighted_f1"] == 1.0 for parent in parents)


def test_the_command_below_the_table_gives_its_row_again(corpus, capsys):
    EXPERIMENT.run(
        configure(corpus, "--modality", "speech", "--speech-encoder", "fbank", "--patience", "3")
    )
    printed = capsys.readouterr().out
    [command] = read_commands(printed, "sentiment")
    assert commandline.parse(SentimentSettings, command) == configure(
        corpus, "--modality", "speech", "--speech-encoder", "fbank", "--patience", "3"
    )


def test_context_adds_the_turns_before_and_shows_their_gold_as_a_baseline(corpus, capsys):
    flags = ["--modality", "speech", "--speech-encoder", "fbank", "--history", "2"]
    table = EXPERIMENT.run(configure(corpus, *flags, "--hidden-size", "8", "--labels", "all"))
    printed = capsys.readouterr().out
    assert "Sentiment, its polarity: manifest, 2 turns of context" in printed
    baseline = table.rows[-1]
    assert baseline.name == "same sentiment as the last turn (given its gold label)"
    assert "n = 18" in printed  # two test dialogues of nine, neutral among them


def test_regression_predicts_numbers_from_their_pitch(corpus, capsys):
    table = pd.read_csv(corpus / "manifest.csv")
    table["sentiment"] = table["sentiment"].map({"negative": -2, "neutral": 0, "positive": 3})
    table.to_csv(corpus / "manifest.csv", index=False)
    flags = ["--modality", "speech", "--speech-encoder", "fbank", "--learning-rate", "0.01"]
    EXPERIMENT.run(configure(corpus, *flags, "--regression", "--epochs", "60"))
    printed = capsys.readouterr().out
    assert re.search(r"speech: fbank +0\.9\d\d", printed), printed
    assert re.search(r"mean of train +0\.000 \[0\.000, 0\.000\] +\d\.\d\d\d", printed)
    metrics = find_runs("sentiment").parents[0].data.metrics
    assert metrics["test/pearson"] > 0.9
    assert metrics["test/mae"] < 0.6


def test_mosi_has_its_split_both_tasks_and_the_published_figure(workplace, capsys):
    pytest.importorskip("h5py")
    from tests.corpora.test_cmu_corpora import write_csd, write_folds

    root = workplace / "MOSI"
    root.mkdir()
    strengths = [-3.0, -1.0, 0.0, 1.0, 2.0]
    videos = {
        video: [(float(place), place + 1.0, [strength]) for place, strength in enumerate(strengths)]
        for video in ("aaa", "bbb", "ccc")
    }
    write_csd(root / "CMU_MOSI_Opinion_Labels.csd", "Opinion Segment Labels", videos)
    write_folds(root / "cmu_mosi_std_folds.py", "aaa", "bbb", "ccc")
    clips = root / "Raw/Audio/WAV_16000/Segmented"
    for number, video in enumerate(videos):
        for place in range(5):
            write_hum(clips / f"{video}_{place + 1}.wav", place, 5 * number + place)
    flags = ["--corpus=cmu-mosi", f"--root={root}", "--modality=speech", "--speech-encoder=fbank"]
    flags += ["--epochs=30", "--learning-rate=0.02"]
    EXPERIMENT.run(commandline.parse(SentimentSettings, flags))
    printed = capsys.readouterr().out
    assert re.search(r"published: emotion2vec, speech +65\.41", printed)
    assert "n = 4" in printed
    assert "not predicted: 3 neutral" in squeeze(printed)
    EXPERIMENT.run(commandline.parse(SentimentSettings, [*flags, "--regression"]))
    printed = capsys.readouterr().out
    assert "n = 5" in printed
    assert "published" not in printed
    assert re.search(r"speech: fbank +0\.[89]", printed), printed


def test_regression_of_words_is_refused_before_any_training(corpus, workplace):
    with pytest.raises(ValueError, match=r"found: negative, neutral, positive\); numbers from"):
        EXPERIMENT.run(configure(corpus, "--regression"))
    assert not (workplace / "mlruns").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--history=-1"], "--history must be 0 or more, got -1"),
        (["--labels", "4-class"], "--labels 4-class are emotions; sentiment has auto"),
        (["--modality", "text", "text"], "--modality names text more than once"),
        (["--speech-encoder"], "--speech-encoder needs one encoder or more"),
        (["--register", "mood"], "--register needs one --modality, got speech text speech.text"),
        (["--register", "mood", "--regression"], "--register keeps a model of classes"),
        (["--train-on-all"], "--train-on-all makes a model to use: give it a name"),
        (["--register", "default-text"], "default-text: has the name of a model of the package"),
        (["--state-dropout", "1"], r"--state-dropout must lie in \[0, 1\), got 1.0"),
    ],
)
def test_a_rejected_value_is_a_usage_error(flags, message, capsys):
    assert re.search(message, usage_error(SentimentSettings, flags, capsys))


def test_a_registered_model_of_all_targets_names_sentiment(corpus):
    flags = ["--labels=all", "--modality=speech", "--speech-encoder=fbank", "--learning-rate=0.01"]
    settings = configure(corpus, *flags, "--register=mood", "--train-on-all", "--workers=1")
    row = EXPERIMENT.run(settings).rows[0]
    card = read_card(find_model("mood") / "config.json")
    assert (card.task, card.target) == ("Sentiment of single utterances", "sentiment")
    assert (card.labels, card.training.on_all) == (SENTIMENTS, True)
    assert card.training.test.num_targets == row.n
    found = Predictor.load("mood").predict([corpus / f"{number}.wav" for number in (1, 2, 3)])
    truth = pd.read_csv(corpus / "manifest.csv")["sentiment"]
    assert found["sentiment"].tolist() == truth[1:4].tolist()
    assert {"emotion", "valence"}.isdisjoint(found.columns)


def test_plain_features_have_one_layer_and_others_the_mean_of_the_last_four():
    row = ModalitySettings(modality=("speech",), speech_encoder=("mfcc",)).for_row()
    assert row == FeatureSettings(
        modality="speech",
        speech_encoder="mfcc",
        speech_layers="last",
        speech_pooling="mean",
        text_layers="last-4",
        layer_mixture="sum",
    )
    other = ModalitySettings(modality=("speech",), speech_encoder=("x",)).for_row()
    assert other.speech_layers == "last-4"


def test_search_chooses_a_row_and_leaves_the_rest_of_the_config_alone():
    proposed = {"hidden_size": 64, "dropout": 0.25}
    training = {"optimizer": "adam", "learning_rate": 1e-3, "weight_decay": 0.1}
    config = SentimentSettings(history=3, training=TrainingSettings(epochs=2))
    trial = optuna.trial.FixedTrial({"row": "text: all-MiniLM-L6-v2", **proposed, **training})
    assert EXPERIMENT.search_space(trial, config) == SentimentSettings(
        features=dataclasses.replace(config.features, modality=("text",)),
        history=3,
        hidden_size=64,
        dropout=0.25,
        training=dataclasses.replace(config.training, **training),
    )
