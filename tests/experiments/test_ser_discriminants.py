"""The head ``lda`` of the recognition table: solved, never trained."""

import optuna
import pytest

from conversation_emotion.settings.corpus import CorpusSettings
from conversation_emotion.settings.features import EncoderSettings
from conversation_emotion.settings.models import UtteranceModelSettings
from conversation_emotion.settings.recognition import SERSettings
from conversation_emotion.settings.training import TrainingSettings
from experiments.ser import EXPERIMENT
from tests.command_line import squeeze, usage_error
from tests.small_corpus import write_corpus
from tests.tracked import find_runs

LDA = UtteranceModelSettings(head="lda")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ["--aggregator", "ecapa"],
            "--head lda is solved, without epochs or chance",
        ),
        (["--seeds", "3"], "--seeds 3 has no effect; leave it out, or choose --head sup"),
        (
            ["--head", "svm", "--aggregator", "ecapa"],
            "--aggregator ecapa has no effect",
        ),
        (["--epochs", "3"], "--epochs 3 has no effect"),
        (["--dropout", "0.5"], "--dropout 0.5 has no effect"),
    ],
)
def test_what_would_be_trained_or_left_to_chance_is_refused(flags, message, capsys):
    assert message in usage_error(SERSettings, ["--head", "lda", *flags], capsys)


def test_several_encoders_are_solved_and_scored(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("CONVERSATION_EMOTION_CACHE", str(tmp_path / "cache"))
    write_corpus(tmp_path)
    settings = SERSettings(
        data=CorpusSettings(corpus="manifest", root=tmp_path / "manifest.csv"),
        features=EncoderSettings(speech_encoder=("fbank+mfcc", "fbank"), speech_components=50),
        training=TrainingSettings(),
        model=LDA,
    )
    first, again = (
        {row.name: row.metrics for row in EXPERIMENT.run(settings).rows if row.kind == "model"}
        for _ in range(2)
    )
    assert set(first) == {"fbank+mfcc", "fbank"}
    assert again == first
    printed = squeeze(capsys.readouterr().out)
    assert "linear discriminant analysis" in printed
    assert "on test the head learns from train and valid, but for the dialogues of test" in printed
    assert [run.info.status for run in find_runs("ser").parents] == ["FINISHED"] * 4


def test_a_sweep_of_discriminants_varies_their_input():
    settings = SERSettings(
        features=EncoderSettings(speech_encoder=("emotion2vec-mini",)), model=LDA
    )
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    proposed = [EXPERIMENT.search_space(study.ask(), settings) for _ in range(20)]
    assert {one.features.speech_pooling for one in proposed} == {"mean", "statistics"}
    assert {one.features.speech_layers for one in proposed} == {"last", "last-4", "all"}
    assert {one.features.aggregator for one in proposed} == {"mean"}
    assert all(one.model.dropout == 0 for one in proposed)
