"""Targets from votes, from the command line to the tables against the votes of raters."""

import pandas as pd
import pytest

from conversation_emotion.settings.recognition import SERSettings
from experiments.framework import commandline
from experiments.ser import EXPERIMENT
from tests.command_line import squeeze
from tests.commands import FBANK, MANIFEST
from tests.small_corpus import write_corpus
from tests.tracked import find_runs


@pytest.fixture
def corpus(workplace) -> pd.DataFrame:
    (workplace / "corpus").mkdir()
    return write_corpus(workplace / "corpus", num_train=2)


def run(*flags: str) -> None:
    given = [*MANIFEST, *FBANK, "--epochs=2", *flags]
    EXPERIMENT.run(commandline.parse(SERSettings, given))


def test_targets_are_rows_whose_predictions_are_compared_with_the_votes(corpus, capsys):
    run("--targets", "label", "distribution", "--no-agreement=keep")
    printed = squeeze(capsys.readouterr().out)
    for title in (
        "Against the votes of raters; Emotion of single utterances: linear probe",
        "By the agreement of raters; Emotion of single utterances",
        "Differences from fbank, label, paired t test",
    ):
        assert title in printed
    assert "ceiling: a rater against the others" in printed
    assert f"votes: {5 * len(corpus)} on {len(corpus)} utterances" in printed
    assert "--targets distribution --no-agreement keep" in printed
    assert "utterances, not tested" in printed  # one dialogue has few on which most agree
    runs = find_runs("ser").parents
    for one in runs:
        assert 0 < one.data.metrics["votes/jsd"] < 1
        assert one.data.metrics["votes/jsd_of_rater"] > 0
    assert len({one.data.metrics["votes/jsd"] for one in runs}) == 2


def test_a_corpus_without_votes_is_refused_before_any_training(workplace, corpus):
    corpus.drop(columns=["corpus", "votes"]).to_csv(workplace / "corpus/manifest.csv", index=False)
    with pytest.raises(ValueError, match="manifest: no utterance has votes of raters"):
        run("--targets=distribution")
